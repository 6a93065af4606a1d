#!/bin/bash
# Builds the root file system that the lab's nodes share, once: node-image.sh [--print]
#
# It lands in ${GODWIT_CACHE:-/var/cache/godwit}/image-<hash of its recipe>, and the link `image` beside it points to it.
# It is built in a temporary folder and renamed when complete, so a failed or interrupted build leaves nothing that could
# be taken for an image. Images of other recipes that nobody used for a day, and that no lab is running on, are removed.
# --print: only says where the image is (fails if it is not there).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${GODWIT_CACHE:-/var/cache/godwit}
# The mirror that this machine's own apt uses, unless told another.
# shellcheck disable=SC2016,SC2034 # apt's variables; `mirror` is for the recipe
mirror=${GODWIT_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1)}
recipe=$here/node-image/node.recipe
image=$cache/image-$(sha256sum "$recipe" | cut -c1-16)
started=$(date +%s)

elapsed() { echo $(($(date +%s) - started)); }
say() { printf 'node image: %s\n' "$*" >&2; }
step() { printf 'node image: [%3d s] %s\n' "$(elapsed)" "$*" >&2; }
give_up() {
  say "$*"
  exit 1
}
in_image() { LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
# Shows lines that match $1, at most one a second; all go to the log, whose end is shown when the build fails.
progress() {
  local line now last=0
  while IFS= read -r line; do
    echo "$line" >>"$log"
    now=$(elapsed)
    if [ "$now" -gt "$last" ] && [[ $line =~ $1 ]]; then
      printf 'node image: [%3d s]   %.90s\n' "$now" "$line" >&2
      last=$now
    fi
  done
}
point_link_at_image() {
  touch "$image" # used now: see remove_old
  [ "$(readlink "$cache/image" || true)" = "$(basename "$image")" ] && return
  ln -sfn "$(basename "$image")" "$cache/.image.$$"
  mv -T "$cache/.image.$$" "$cache/image"
}
# A running lab holds a shared lock on its image's folder.
remove_old() {
  find "$cache" -maxdepth 1 -name 'image-*' ! -path "$image" -mmin +1440 | while read -r old; do
    say "removing unused $old"
    flock -n -E 0 "$old" mv "$old" "$cache/.building-$(basename "$old")"
  done
  remove_interrupted
}
# For whoever holds the lock: a build that runs would hold it.
remove_interrupted() { rm -rf --one-file-system "$cache"/.building-*; }

if [ "${1:-}" = --print ]; then
  [ -d "$image" ] || give_up "$image is not there: run tools/node-image.sh"
  echo "$image"
  exit 0
fi

# Second stage, inside a mount namespace of its own: whatever the recipe mounts vanishes with it.
if [ "${1:-}" = --build-in ]; then
  root=$2
  log=$root.log
  # shellcheck source=/dev/null
  . "$recipe"
  exit 0
fi

if [ -d "$image" ]; then
  point_link_at_image
  exit 0
fi
[ "$(id -u)" = 0 ] || give_up "building the image needs root"
[ -n "$mirror" ] || give_up "apt knows no Debian mirror; name one in GODWIT_DEBIAN_MIRROR"
command -v debootstrap >/dev/null || give_up "debootstrap is missing: run tools/setup.sh"
mkdir -p "$cache"
exec 9>"$cache/.lock"
if ! flock -n 9; then
  say "another build is running, waiting for it"
  flock 9
fi
if [ ! -d "$image" ]; then
  remove_interrupted
  free_mib=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
  [ "$free_mib" -ge 2048 ] || give_up "$cache has $free_mib MiB free, the build needs 2048"
  building=$cache/.building-$$
  trap 'rm -rf --one-file-system "$building" "$building.log"' EXIT
  mkdir -p "$building"
  say "building $image (about two minutes, once for each recipe)"
  # Dies with this script, however that dies, and takes everything that runs in the image along.
  setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child \
    "$0" --build-in "$building" &
  builder=$!
  # In the background, so that these are obeyed at once.
  trap 'kill -KILL $builder; wait $builder || true; say "interrupted"; exit 1' INT TERM HUP
  if ! wait "$builder"; then
    [ ! -f "$building.log" ] || tail -n 15 "$building.log" >&2
    [ ! -f "$building/debootstrap/debootstrap.log" ] || tail -n 15 "$building/debootstrap/debootstrap.log" >&2
    give_up "the build failed after $(elapsed) s; nothing was left behind"
  fi
  mv -T "$building" "$image"
  say "built in $(elapsed) s, $(du -sm "$image" | cut -f1) MiB"
fi
point_link_at_image
remove_old
