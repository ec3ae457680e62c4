# Offers a repository of this guest to git at the other end: its branches, and below refs/ai-vm/TOKEN, for this time only,
# what is checked out (head) and with `yes` also what is not committed (working).
dir=$1 token=$2 working=$3 ours=refs/ai-vm/$2
cd || exit 70
command -v git >/dev/null || exit 71
[ -e "$dir" ] || exit 72
cd -- "$dir" 2>/dev/null && git rev-parse --git-dir >/dev/null || exit 73
GIT_AUTHOR_NAME=ai-vm GIT_AUTHOR_EMAIL=ai-vm@localhost
GIT_COMMITTER_NAME=ai-vm GIT_COMMITTER_EMAIL=ai-vm@localhost
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
index=
leave() {
    git for-each-ref --format='delete %(refname)' "$ours" | git update-ref --stdin
    [ -z "$index" ] || rm -f -- "$index" "$index.lock"
}
trap leave EXIT
trap 'exit 79' HUP INT TERM PIPE
head=$(git rev-parse --quiet --verify 'HEAD^{commit}')
[ -z "$head" ] || git update-ref "$ours/head" "$head" || exit 75
if [ "$working" = yes ]; then
    [ "$(git rev-parse --is-inside-work-tree)" = true ] || exit 74
    index=$(git rev-parse --git-path "ai-vm-index.$token")
    case $index in /*) ;; *) index=$PWD/$index ;; esac
    was=$(git rev-parse --git-path index)
    [ ! -e "$was" ] || cp -- "$was" "$index" || exit 75
    cd -- "$(git rev-parse --show-toplevel)" || exit 75
    tree=$(GIT_INDEX_FILE=$index git add --all >&2 && GIT_INDEX_FILE=$index git write-tree) &&
        commit=$(echo 'What is not committed' | git commit-tree "$tree" ${head:+-p "$head"}) &&
        git update-ref "$ours/working" "$commit" || exit 75
fi
git upload-pack .
