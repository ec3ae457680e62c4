#!/usr/bin/env bash
# Plays apt-get, apt-cache, apt-mark, dpkg and dpkg-query, by the name under which it is called, as far as `rebuild` asks
# them something. Beside the directory that it is called from lie, in a directory `world`:
#   repository  what can be had: name, version, names that it needs, names that it cannot be beside; - for none
#   lists       what of that is known since the last `apt-get update`
#   status      what is installed: name, version, auto or manual
#   calls       how it was called, where something could change
#   offline, broken, hold  if they exist: the repository cannot be reached, nothing can be installed, an installation
#               stands still when it is half done, until the file is gone
#   updates/    what dpkg leaves where it was killed
set -euo pipefail
world=$(cd "$(dirname "$0")/../world" && pwd)
me=${0##*/}
declare -A version=() mark=() offered=() needs=() beside=()
while read -r name number how; do version[$name]=$number mark[$name]=$how; done <"$world/status"
if [[ -f $world/lists ]]; then
  while read -r name number need not; do
    offered[$name]=$number needs[$name]=${need//[,-]/ } beside[$name]=${not//[,-]/ }
  done <"$world/lists"
fi
store() {
  for name in "${!version[@]}"; do printf '%s %s %s\n' "$name" "${version[$name]}" "${mark[$name]}"; done |
    sort >"$world/status.new"
  mv "$world/status.new" "$world/status"
}

case $me in
  dpkg-query)
    while read -r name number _; do printf 'installed %s %s\n' "$name" "$number"; done <"$world/status"
    exit
    ;;
  dpkg)
    [[ $1 != --audit ]] || exit 0
    printf '%s\n' "$me $1 $2" >>"$world/calls"
    for pending in "$world"/updates/*; do
      while read -r name number how; do version[$name]=$number mark[$name]=$how; done <"$pending"
      rm "$pending"
    done
    store
    exit
    ;;
  apt-mark)
    shift
    for name; do mark[$name]=auto; done
    store
    exit
    ;;
  apt-cache)
    shift
    for name; do
      [[ -z ${offered[$name]-} ]] || printf '%s:\n  Installed: (none)\n  Candidate: %s\n' "$name" "${offered[$name]}"
    done
    exit
    ;;
esac

simulate='' orphans='' words=()
while (($#)); do
  case $1 in
    -o) shift ;;
    --simulate) simulate=yes ;;
    --auto-remove) orphans=yes ;;
    -*) ;;
    *) words+=("$1") ;;
  esac
  shift
done
set -- "${words[@]}"
verb=$1
shift
[[ -n $simulate ]] || printf '%s\n' "apt-get $verb $*" >>"$world/calls"
if [[ $verb == update ]]; then
  if [[ -e $world/offline ]]; then
    echo 'E: Failed to fetch' >&2
    exit 100
  fi
  cp "$world/repository" "$world/lists"
  exit
fi
[[ -n $simulate || -z $(ls "$world/updates") ]] || {
  echo "E: dpkg was interrupted" >&2
  exit 100
}

declare -A come=() go=()
# What needs one that goes goes too.
leave() {
  local other
  [[ -n ${version[$1]-} && -z ${go[$1]-} ]] || return 0
  go[$1]=yes
  for other in "${!version[@]}"; do
    [[ " ${needs[$other]-} " != *" $1 "* ]] || leave "$other"
  done
}
enter() {
  local other
  [[ -z ${version[$1]-} && -z ${come[$1]-} ]] || return 0
  [[ -n ${offered[$1]-} ]] || {
    echo "E: Unable to locate package $1" >&2
    exit 100
  }
  come[$1]=yes
  for other in ${needs[$1]}; do enter "$other"; done
  for other in ${beside[$1]}; do leave "$other"; done
}
for name; do
  if [[ $verb == remove ]]; then leave "$name"; elif [[ $name == *- ]]; then leave "${name%-}"; fi
done
for name; do
  [[ $verb == remove || $name == *- ]] || enter "$name"
done
for name in "${!come[@]}"; do
  for other in ${needs[$name]}; do
    [[ -z ${go[$other]-} ]] || {
      echo "E: $name needs $other, which is to be removed" >&2
      exit 100
    }
  done
done
if [[ -n $orphans ]]; then
  found=yes
  while [[ -n $found ]]; do
    found=''
    for name in "${!version[@]}"; do
      [[ -z ${go[$name]-} && ${mark[$name]} == auto ]] || continue
      needed=''
      for other in "${!version[@]}"; do
        [[ -n ${go[$other]-} || " ${needs[$other]-} " != *" $name "* ]] || needed=yes
      done
      [[ -n $needed ]] || go[$name]=yes found=yes
    done
  done
fi
for name in "${!go[@]}"; do echo "Remv $name [${version[$name]}]"; done
for name in "${!come[@]}"; do echo "Inst $name (${offered[$name]} stand-in [all])"; done
[[ -z $simulate ]] || exit 0
if [[ -e $world/broken ]]; then
  echo "E: Sub-process dpkg returned an error code" >&2
  exit 100
fi
for name in "${!go[@]}"; do unset "version[$name]"; done
if [[ -e $world/hold ]]; then
  for name in "${!come[@]}"; do
    printf '%s %s auto\n' "$name" "${offered[$name]}"
  done >"$world/updates/0001"
  store
  : >"$world/held"
  while [[ -e $world/hold ]]; do sleep 0.02; done
  rm "$world/updates/0001"
fi
for name in "${!come[@]}"; do
  version[$name]=${offered[$name]}
  mark[$name]=auto
done
for name; do [[ -z ${come[$name]-} ]] || mark[$name]=manual; done
store
