#!/bin/sh
# Installs what building and testing Godwit needs on a bare Debian 12, and nothing that is there already. Run by
# `make setup`, and by every target that needs it: takes well under a second when nothing is missing.
set -eu

# Compiler and build; libraries; what the lab and the node image need; what container images need; what lint needs. Not
# Go, which only tools/kubernetes.sh needs: Debian 12's is too old.
packages="
clang-19 clang-tidy-19 clang-format-19 lld-19 libclang-rt-19-dev libc6-dev libstdc++-12-dev
ccache cmake ninja-build pkg-config make git
libssl-dev nlohmann-json3-dev libcli11-dev liblz4-dev libzstd-dev libmnl-dev libprotozero-dev libxxhash-dev libfmt-dev
libcurl4-openssl-dev libevent-dev libyaml-cpp-dev libtomlplusplus-dev libarchive-dev
libgtest-dev libgmock-dev
debootstrap gpgv debian-archive-keyring ca-certificates iproute2 iptables nftables util-linux procps
jq
shellcheck
"

say() { printf 'setup: %s\n' "$*" >&2; }

missing_packages() {
  # shellcheck disable=SC2086 # one word a package
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
    awk -v wanted="$(printf '%s ' $packages)" '
      $1 == "installed" { have[$2] = 1 }
      END { n = split(wanted, names, " "); for (i = 1; i <= n; i++) if (!(names[i] in have)) printf "%s ", names[i] }'
}

missing=$(missing_packages)
if [ -z "$missing" ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  say "this machine has no apt-get; install these by hand (Debian's names): $missing"
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  say "missing packages; as root: apt-get install $missing"
  exit 1
fi

# Two checkouts may be set up at once: apt's own locks make the second one fail, so wait here instead.
exec 9>/run/godwit-setup.lock
flock 9
missing=$(missing_packages)
[ -n "$missing" ] || exit 0

started=$(date +%s)
export DEBIAN_FRONTEND=noninteractive
say "installing $missing"
say "1/2 refreshing package lists"
if ! apt-get -qq -o DPkg::Lock::Timeout=300 update; then
  say "some package lists could not be refreshed; going on with those that could"
fi
say "2/2 downloading and unpacking (a minute or two on a fresh machine)"
# shellcheck disable=SC2086
apt-get -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends $missing |
  awk '/^(Get:|Setting up )/ { print "setup:   " $0; fflush() }' >&2 || true
missing=$(missing_packages)
if [ -n "$missing" ]; then
  say "could not install: $missing"
  say "see what \`apt-get install\` of them says; Godwit is built and tested on Debian 12 (bookworm)"
  exit 1
fi
say "done in $(($(date +%s) - started)) s"
