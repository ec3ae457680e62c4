#!/usr/bin/env bash
# Starts Claude Code at full permission, without a question: the VM is the sandbox. The same in every guest that ai-vm makes.
# What was found out about Claude Code here was seen in 2.1.332.
set -euo pipefail

# No login, and nobody there who could log in.
readonly NO_LOGIN=77

say() { printf 'start-claude: %s\n' "$*" >&2; }

case ${1-} in
  -v | --version | -h | --help) exec claude "$@" ;;
esac

# Claude Code refuses full permission to root.
if ((EUID == 0)); then
  user=$(cat "${AI_VM_RUN:-/run/ai-vm}/user" 2>/dev/null || printf '%s' "${AI_VM_USER-}")
  if [[ -z $user || $user == root ]]; then
    say "Claude Code refuses full permission to root, and this VM has no other user: make one with \`--user NAME\`"
    exit 1
  fi
  home=$(getent passwd "$user" | cut -d: -f6)
  exec runuser -u "$user" -- env -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR \
    HOME="$home" USER="$user" LOGNAME="$user" "$BASH" "$0" "$@"
fi
# Where root was, an ordinary user may not be.
[[ -r . && -x . ]] || cd

config=${CLAUDE_CONFIG_DIR:-$HOME/.claude}
state=${CLAUDE_CONFIG_DIR:-$HOME}/.claude.json

# A login that somebody has set for this one run goes first.
token_file=$HOME/.config/ai-vm/claude-token
if [[ -z ${ANTHROPIC_API_KEY-}${ANTHROPIC_AUTH_TOKEN-}${CLAUDE_CODE_OAUTH_TOKEN-} && -s $token_file ]]; then
  token=$(tr -d '[:space:]' <"$token_file")
  case $token in
    sk-ant-oat*) export CLAUDE_CODE_OAUTH_TOKEN=$token ;;
    sk-ant-api*) export ANTHROPIC_API_KEY=$token ;;
    *)
      say "$token_file holds neither a token of \`claude setup-token\` (sk-ant-oat...) nor an API key (sk-ant-api...)"
      exit "$NO_LOGIN"
      ;;
  esac
fi

# These do their own and need neither a login nor permissions.
case ${1-} in
  agents | attach | auth | auto-mode | doctor | import | install | kill | logs | mcp | plugin | plugins | purge | respawn | rm | \
    setup-token | stop | update | upgrade)
    exec claude "$@"
    ;;
esac

has_login() {
  [[ -z ${ANTHROPIC_API_KEY-}${ANTHROPIC_AUTH_TOKEN-}${CLAUDE_CODE_OAUTH_TOKEN-}${CLAUDE_CODE_OAUTH_REFRESH_TOKEN-} ]] || return 0
  # Logins of clouds are the clouds' matter.
  [[ -z ${CLAUDE_CODE_USE_BEDROCK-}${CLAUDE_CODE_USE_VERTEX-}${CLAUDE_CODE_USE_FOUNDRY-} ]] || return 0
  # Claude Code leaves an empty one behind when a login has been refused.
  jq -e '.claudeAiOauth | any(.refreshToken, .accessToken; strings | length > 0)' "$config/.credentials.json" >/dev/null 2>&1 ||
    grep -qs '"apiKeyHelper"' "$config/settings.json" /etc/claude-code/managed-settings.json
}

# Without a terminal, Claude Code prints and ends as with -p.
can_ask() {
  local arg
  for arg; do
    [[ $arg != -- ]] || break
    [[ $arg != --print && ! $arg =~ ^-[a-z]*p[a-z]*$ ]] || return 1
  done
  [[ -t 0 && -t 1 ]]
}

if ! can_ask "$@" && ! has_login; then
  say "there is no login for Claude here"
  say "from the host:  ai-vm creds set ${HOSTNAME:-NAME} --token - < TOKEN, with one of \`claude setup-token\`"
  say "or in the VM:   ai-vm exec ${HOSTNAME:-NAME} -- start-claude, then /login"
  exit "$NO_LOGIN"
fi

# Changes a JSON file by a filter of jq, as a whole or not at all. What is no JSON is left to Claude Code.
merge() {
  local file new beside
  file=$(readlink -f -- "$1")
  new=$(if [[ -s $file ]]; then cat -- "$file"; else echo '{}'; fi |
    jq ". as \$before | $2 | if . == \$before then empty else . end") || {
    say "$1 is left as it is: it is no JSON"
    return 0
  }
  [[ -n $new ]] || return 0
  beside=$(mktemp "$file.XXXXXX") || return 0
  if printf '%s\n' "$new" >"$beside" && { [[ ! -e $file ]] || chmod --reference="$file" "$beside"; }; then
    mv -f -- "$beside" "$file"
  else
    rm -f -- "$beside"
  fi
}

# What Claude Code asks at a first start, answered beforehand: its introduction, whether full permission is meant,
# whether it may use the API key of its environment, whether this folder is trusted (that of a git work tree counts).
answer() {
  local trusted
  trusted=$(
    printf '/\n%s\n' "$(pwd -P)"
    git rev-parse --show-toplevel 2>/dev/null || true
  )
  merge "$config/settings.json" '.skipDangerousModePermissionPrompt = true'
  # shellcheck disable=SC2016 # jq's variables
  TRUSTED=$trusted merge "$state" '
    .hasCompletedOnboarding = true
    | reduce ($ENV.TRUSTED | split("\n")[] | select(. != "")) as $dir (.; .projects[$dir].hasTrustDialogAccepted = true)
    | if ($ENV.ANTHROPIC_API_KEY // "") == "" then . else
        $ENV.ANTHROPIC_API_KEY[-20:] as $tail
        | .customApiKeyResponses.approved |= ((. // []) | if index([$tail]) then . else . + [$tail] end) end'
}

# Writes down that this agent is there, for `ai-vm agents`: a directory with a file for each thing that is known of it. One
# that was begun as an agent has its directory already, unless it is another one that calls this.
register() {
  local agents=${XDG_STATE_HOME:-$HOME/.local/state}/ai-vm/agents old pid stat
  # When this process was started is the 20th word after its name in parentheses, which may be anything.
  stat=$(<"/proc/$$/stat")
  read -ra stat <<<"${stat##*) }"
  if [[ -n ${CLAUDECODE-} || ! -d ${AI_VM_AGENT-} ]]; then
    # Those of terminals that are gone have nothing to say any more.
    for old in "$agents"/*/; do
      [[ $(cat "$old/kind" 2>/dev/null) == own ]] && read -r pid _ <"$old/pid" && [[ ! -d /proc/$pid ]] && rm -rf -- "$old"
    done
    AI_VM_AGENT=$agents/$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
    mkdir -p -- "$agents" && mkdir -m 0700 -- "$AI_VM_AGENT" && note kind own && note command claude && note cwd "$PWD" &&
      note begun "$(date +%s)" && note pid "$$ ${stat[19]}" || return
  fi
  export AI_VM_AGENT
  if [[ -e $AI_VM_AGENT/prompt ]]; then
    note state working
  elif ! has_login; then
    note state 'waiting login'
  fi
}
note() { printf '%s\n' "$2" >"$AI_VM_AGENT/$1.new" && mv -f -- "$AI_VM_AGENT/$1.new" "$AI_VM_AGENT/$1"; }

# Settings beside all others, by which Claude Code says what it does. Each hook is one line that says nothing and never fails.
# Which events there are: https://code.claude.com/docs/en/hooks
hooks() {
  # shellcheck disable=SC2016 # variables of the hooks' shell
  jq -nc '
    def run(line): {hooks: [{type: "command", timeout: 60, command: line}]};
    def note(state): run("d=$AI_VM_AGENT; { echo \(state) >\"$d/state.$$\" && mv -f \"$d/state.$$\" \"$d/state\"; } 2>/dev/null; true");
    def on(matcher; state): {matcher: matcher} + note(state);
    {hooks: {
      SessionStart: [{matcher: "startup|resume|clear"}
        + run("[ -e \"$AI_VM_AGENT/prompt\" ] || { " + note("done").hooks[0].command + "; }")],
      UserPromptSubmit: [note("working")],
      PreToolUse: [on("AskUserQuestion"; "waiting answer"), on("ExitPlanMode"; "waiting approval")],
      PostToolUse: [note("working")],
      Notification: [on("permission_prompt"; "waiting permission"),
        on("elicitation_dialog|agent_needs_input"; "waiting answer"), on("idle_prompt"; "done")],
      Stop: [note("done")],
      StopFailure: [on("rate_limit|overloaded|billing_error"; "waiting limit"),
        on("authentication_failed|oauth_org_not_allowed"; "waiting login"),
        on("invalid_request|model_not_found|server_error|max_output_tokens|unknown"; "waiting retry")]
    }}'
}

# A Claude Code that runs rewrites these files itself. One start at a time.
mkdir -p "$config"
{
  flock -w 10 9 || true
  # shellcheck disable=SC2009 # pgrep looks at 15 characters only
  ps -u "$EUID" -o comm= | grep -qxE 'claude|[.]claude-.*' || answer
} 9>>"$config/.ai-vm-start.lock"
# So that a folder which could not be written down is not asked about either.
export CLAUDE_CODE_SANDBOXED=1
settings=()
if register 2>/dev/null; then
  # Of two it would read one, and whoever gave one means that.
  [[ " $* " == *' --settings'[\ =]* ]] || settings=(--settings "$(hooks)")
else
  unset AI_VM_AGENT
fi
exec claude --dangerously-skip-permissions --permission-mode bypassPermissions "${settings[@]}" "$@"
