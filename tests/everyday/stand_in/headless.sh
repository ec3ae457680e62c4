#!/bin/sh
# Stands in for start-claude without a terminal: reads the prompt, says in stream-json that it works, does what lines of the
# prompt that begin with `!` say, and answers with the prompt's first line.
[ "$*" = '-p --output-format stream-json --verbose' ] || exit 64
cat >"$AI_VM_AGENT/got"
say() { printf '%s\n' "$1"; }
say '{"type":"system","subtype":"init","session_id":"5e55-10","model":"stand-in","cwd":"'"$PWD"'"}'
say '{"type":"assistant","message":{"content":[{"type":"text","text":"I shall look.\nAt all."}]},"parent_tool_use_id":null}'
say '{"type":"assistant","message":{"content":[{"type":"tool_use","name":"Bash","input":{"command":"make test"}}]}}'
say '{"type":"user","message":{"content":[{"type":"tool_result","content":"ok"}]}}'
first=$(head -n 1 "$AI_VM_AGENT/got")
sed -n 's/^!//p' "$AI_VM_AGENT/got" >"$AI_VM_AGENT/do"
# shellcheck source=/dev/null
. "$AI_VM_AGENT/do"
say '{"type":"result","subtype":"success","is_error":false,"num_turns":2,"result":"'"$first"' ('"$AI_VM_RUN"')","session_id":"5e55-10","total_cost_usd":0.125}'
