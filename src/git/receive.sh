# Receives a branch into a repository of this guest, which is made where there is none. A branch that is checked out is only
# moved while nothing there is uncommitted (git's own `updateInstead`); with `yes` what would be lost is kept by a ref first.
dir=$1 branch=$2 force=$3 name=$4 email=$5 format=$6
cd || exit 70
command -v git >/dev/null || exit 71
mkdir -p -- "$dir" 2>/dev/null && cd -- "$dir" || exit 76
# Not a repository that only lies around it.
if [ ! -e .git ] && ! { [ -d objects ] && [ -d refs ] && [ -f HEAD ]; }; then
    [ -z "$(ls -A)" ] || exit 77
    # Older ones know one format and no option for it.
    if [ "$format" = sha1 ]; then set --; else set -- "--object-format=$format"; fi
    git init --quiet "$@" . >&2 || exit 76
fi
git rev-parse --git-dir >/dev/null || exit 73
head=$(git rev-parse --quiet --verify 'HEAD^{commit}')
if [ -z "$head" ]; then
    git symbolic-ref HEAD "refs/heads/$branch" || exit 76
    [ -z "$name" ] || git config user.name >/dev/null || git config user.name "$name"
    [ -z "$email" ] || git config user.email >/dev/null || git config user.email "$email"
fi
there=$(git symbolic-ref --quiet HEAD)
[ "$there" = "refs/heads/$branch" ] || echo "AI-VM stays" >&2
if [ "$force" = yes ]; then
    old=$(git rev-parse --quiet --verify "refs/heads/$branch^{commit}")
    if [ "$there" = "refs/heads/$branch" ] && [ -n "$head" ] && [ -n "$(git status --porcelain)" ]; then
        index=$(git rev-parse --git-path index)
        cp -- "$index" "$index.ai-vm.$$" || exit 75
        tree=$(
            GIT_INDEX_FILE=$index.ai-vm.$$
            export GIT_INDEX_FILE
            git add --all >&2 && git write-tree
        )
        status=$?
        rm -f -- "$index.ai-vm.$$"
        [ "$status" = 0 ] || exit 75
        old=$(
            GIT_AUTHOR_NAME=ai-vm GIT_AUTHOR_EMAIL=ai-vm@localhost
            GIT_COMMITTER_NAME=ai-vm GIT_COMMITTER_EMAIL=ai-vm@localhost
            export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
            echo 'What was not committed' | git commit-tree "$tree" -p "$head"
        ) || exit 75
        replaced=yes
    fi
    if [ -n "$old" ]; then
        git update-ref "refs/ai-vm-replaced/$(date -u +%Y%m%dT%H%M%SZ)-$$" "$old" || exit 75
    fi
    if [ "${replaced-}" = yes ]; then
        git reset --quiet --hard >&2 && git clean -fdq >&2 || exit 75
    fi
fi
exec git -c receive.denyCurrentBranch=updateInstead -c receive.shallowUpdate=true receive-pack .
