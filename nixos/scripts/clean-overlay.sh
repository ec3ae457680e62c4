#!/usr/bin/env bash
# Makes the host's store paths visible again that were deleted in the guest: clean-overlay UPPER
#
# The guest's store is an overlay over the host's. Deleting a path of the host there cannot delete it; it leaves a
# whiteout in the upper layer, a character device 0:0, which hides the path for good, and also from a later system of the
# host that needs it. A path that is visible and that nobody needs does no harm, so whiteouts can all go. Files and
# directories are what the guest has built and stay.
#
# Only while the overlay is not mounted (initial RAM disk): changing the layers of a mounted one is undefined.
# With the shell and coreutils alone, because more is not there.
set -u
upper=$1
removed=0
shopt -s nullglob dotglob
for entry in "$upper"/*; do
  [[ -c $entry && ! -L $entry && $(stat -c %t:%T "$entry") == 0:0 ]] || continue
  rm -f "$entry" && removed=$((removed + 1))
done
((removed == 0)) || echo "ai-vm: $removed paths of the host's store are visible again"
