#!/bin/bash
# Builds the root file system that the lab's nodes share, once: node-image.sh [--cluster] [--print]
#
# It lands in ${GODWIT_CACHE:-/var/cache/godwit}/image-<hash of its recipe>, and the link `image` beside it points to it.
# --cluster: the image of a Kubernetes node, `cluster-image`: a copy of the node image with more packages.
# --print: only says where the image is (fails if it is not there).
# How it is kept, replaced and removed: lib/build-once.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
what="node image"
name=image
recipes=("$here/node-image/node.recipe")
mib_needed=2048
flag=
if [ "${1:-}" = --cluster ]; then
  shift
  what="cluster image"
  name=cluster-image
  recipes+=("$here/node-image/cluster.recipe")
  mib_needed=3072
  flag=--cluster
fi
# shellcheck source=tools/lib/build-once.sh
. "$here/lib/build-once.sh"
key=$(key_of "${recipes[@]}")

in_image() { LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }

# Second stage, started by build_once.
if [ "${1:-}" = --build-in ]; then
  root=$2
  log=$root.log
  # The mirror that this machine's own apt uses, unless told another.
  # shellcheck disable=SC2016,SC2034 # apt's variables; `mirror` and `base` are for the recipes
  mirror=${GODWIT_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1)}
  [ -n "$mirror" ] || give_up "apt knows no Debian mirror; name one in GODWIT_DEBIAN_MIRROR"
  # shellcheck disable=SC2034
  [ -z "$flag" ] || base=$("$0" --print)
  trap '[ ! -f "$root/debootstrap/debootstrap.log" ] || tail -n 15 "$root/debootstrap/debootstrap.log" >>"$log"' ERR
  # shellcheck source=/dev/null
  . "${recipes[-1]}"
  exit 0
fi
if [ "${1:-}" = --print ]; then
  print_built "tools/node-image.sh${flag:+ $flag}"
  exit 0
fi

if [ ! -d "$cache/$name-$key" ]; then
  command -v debootstrap >/dev/null || give_up "debootstrap is missing: run tools/setup.sh"
fi
# Also when the cluster image is there already: its base counts as used.
[ -z "$flag" ] || "$0"
# shellcheck disable=SC2086 # no flag is no word
build_once "$mib_needed" "$0" $flag --build-in
