# Reads, writes and removes the login of Claude Code here, as the user whose it is. Arguments: what is to be done.
#   read                     says what there is: lines of a word and a value, `end` last; contents in base64
#   write WHICH OLD NEW      replaces a file by what comes on stdin, if the SHA-256 of what is there is OLD (`none` where
#                            there is nothing, `any` for whatever) and that of what has come is NEW
#   wipe WHICH               removes the token; with `login`, both
# WHICH is `login`, Claude Code's own file, or `token`, the one that start-claude reads.
# A file is replaced by a rename, so that whoever reads it gets the old one or the new one.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
umask 077
verb=$1 which=${2-}
[ -n "${HOME-}" ] || exit 80
claude=${CLAUDE_CONFIG_DIR:-$HOME/.claude}
login=$claude/.credentials.json
state=${CLAUDE_CONFIG_DIR:-$HOME}/.claude.json
token=$HOME/.config/ai-vm/claude-token

kind() {
  if [ -L "$1" ]; then echo link
  elif [ ! -e "$1" ]; then echo none
  elif [ -f "$1" ]; then echo file
  else echo other
  fi
}
line() { base64 | tr -d '\n'; }
sum() { sha256sum | cut -d ' ' -f 1; }

case $verb in
  read)
    for tool in base64 head tr sha256sum cut mktemp; do command -v "$tool" >/dev/null 2>&1 || exit 86; done
    printf 'login %s\n' "$(kind "$login")"
    if [ "$(kind "$login")" = file ]; then
      [ -r "$login" ] || exit 85
      # One byte more than a login may have tells that it has more.
      content=$(head -c 65537 <"$login" | line)
      # Not to be taken for a file without a login.
      [ -n "$content" ] || [ ! -s "$login" ] || exit 85
      printf 'content %s\n' "$content"
    fi
    if [ -f "$state" ]; then
      # It is flat, and everything else in there is nobody's business.
      printf 'account %s\n' "$(head -c 33554432 <"$state" | tr '\n' ' ' |
        grep -o '"oauthAccount" *: *{[^}]*}' | head -n 1 | head -c 4096 | line)"
    fi
    case $(kind "$token") in
      none) ;;
      file) printf 'token %s\n' "$(head -c 4097 <"$token" | line)" ;;
      *) echo 'token ' ;;
    esac
    echo end
    ;;
  write)
    old=$3 new=$4
    case $which in
      login) place=$login ;;
      token) place=$token ;;
      *) exit 80 ;;
    esac
    dir=${place%/*}
    mkdir -p -- "$dir" || exit 81
    # Of those that were killed.
    find "$dir/." -maxdepth 1 -name '.ai-vm-login.*' -mmin +10 -exec rm -f -- {} + 2>/dev/null
    made=$(mktemp "$dir/.ai-vm-login.XXXXXX") || exit 81
    trap 'rm -f -- "$made"' EXIT
    trap 'exit 84' HUP INT TERM
    head -c 131072 >"$made" || exit 82
    [ "$(sum <"$made")" = "$new" ] || exit 84
    there=none
    case $which:$(kind "$place") in
      *:none) ;;
      login:file) there=$(sum <"$place") ;;
      token:file | token:link) ;;
      *) exit 85 ;;
    esac
    [ "$old" = any ] || [ "$there" = "$old" ] || exit 83
    mv -f -- "$made" "$place" || exit 82
    ;;
  wipe)
    set -- "$token"
    [ "$which" != login ] || set -- "$token" "$login"
    rm -f -- "$@" || exit 87
    for place; do [ "$(kind "$place")" = none ] || exit 87; done
    ;;
esac
