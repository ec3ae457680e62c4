# Sourced by script/demo, script/test and script/record: sees to the commands that they need.
#
# A command that is there is never touched; what is missing comes from Debian's or Ubuntu's packages, the only step
# that needs root. On another system, what is missing is named.
# shellcheck shell=bash

# The commands that the build of ai-vm needs, and the packages that bring them.
# shellcheck disable=SC2034
to_build=("cc=gcc libc6-dev")

# The commands that ai-vm needs.
# shellcheck disable=SC2034
to_run=(
  "qemu-system-x86_64=qemu-system-x86"
  "qemu-img=qemu-utils"
  "mmdebstrap=mmdebstrap"
  "newuidmap=uidmap"
  "mke2fs=e2fsprogs"
  "zstd=zstd"
  "cpio=cpio"
  "curl=curl"
)

# The commands that its tests need besides.
# shellcheck disable=SC2034
to_test=(
  "sshd=openssh-server"
  "ssh-agent=openssh-client"
  "fish=fish"
  "zsh=zsh"
  "dash=dash"
  "strace=strace"
  "rsync=rsync"
  "setsid=util-linux"
  "sfdisk=fdisk"
  "shellcheck=shellcheck"
  "nix=nix-bin"
  "git=git"
  "jq=jq"
)

# The commands that script/record needs besides what ai-vm needs.
# shellcheck disable=SC2034
to_record=(
  "tmux=tmux"
  "git=git"
)

# Commands that lie where ordinary users do not look.
PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"

say() { printf '%s\n' "$*" >&2; }

# Sets `missing` to those of the given pairs whose command is not there.
find_missing() {
  local pair
  missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("$pair")
  done
}

# Installs what is missing, or says exactly what to install.
require_commands() {
  local missing pair
  find_missing "$@"
  ((${#missing[@]})) || return 0
  if command -v apt-get >/dev/null; then
    install_packages "${missing[@]#*=}"
    # Packages from different releases can exclude one another: apt then removes what was there to install what was not.
    find_missing "$@"
    ((${#missing[@]} == 0)) || install_packages "${missing[@]#*=}"
    find_missing "$@"
    ((${#missing[@]})) || return 0
  fi
  say "missing on this machine:"
  for pair in "${missing[@]}"; do say "  ${pair%%=*}  (on Debian: ${pair#*=})"; done
  exit 1
}

# Installs Debian packages; one argument can hold several, separated by blanks.
install_packages() {
  local packages as_root=()
  read -ra packages <<<"$*"
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      say "install these as root, then run this again: apt-get install ${packages[*]}"
      exit 1
    fi
    as_root=(sudo)
  fi
  say "installing ${packages[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${packages[@]}" >&2 </dev/null
  # The shell remembers where commands were.
  hash -r
}

# Sees to a Rust toolchain of at least the version that Cargo.toml asks for.
require_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if ! command -v cargo >/dev/null; then
    if command -v apt-cache >/dev/null && apt-cache show rustup >/dev/null 2>&1; then
      require_commands "rustup=rustup"
    fi
    if command -v rustup >/dev/null; then
      rustup toolchain install stable --profile minimal >&2
    else
      say "no Rust toolchain: install rustup as https://rustup.rs says, then run this again"
      exit 1
    fi
  fi
  found=$(cargo --version | cut -d' ' -f2)
  if [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1) != "$wanted" ]]; then
    say "cargo $found is too old, $wanted is needed: rustup update stable"
    exit 1
  fi
}

# Sees to parts of the Rust toolchain.
require_components() {
  local component
  for component in "$@"; do
    cargo "${component#rust}" --version >/dev/null 2>&1 || rustup component add "$component" >&2
  done
}
