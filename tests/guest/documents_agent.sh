#!/bin/sh
# Plays Claude Code in a guest, where nobody can log in: commits something where it is asked without a terminal, and waits
# for lines where it has one.
note() { printf '%s\n' "$1" >"$AI_VM_AGENT/state.$$" && mv "$AI_VM_AGENT/state.$$" "$AI_VM_AGENT/state"; }
work() {
  date +%N >>hello
  git add hello
  git -c user.name=agent -c user.email=agent@localhost commit -qm 'Say hello' >&2
}
case " $* " in
  *' stream-json '*)
    cat >/dev/null
    work
    echo '{"type":"system","subtype":"init","session_id":"1","model":"played","cwd":"/"}'
    echo '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"said hello","session_id":"1","total_cost_usd":0.5}'
    ;;
  *' -p '*)
    work
    echo 'said hello'
    ;;
  *)
    [ -z "${AI_VM_AGENT-}" ] || note 'done'
    while IFS= read -r line; do echo "heard $line"; done
    ;;
esac
