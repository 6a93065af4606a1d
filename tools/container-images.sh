#!/bin/bash
# Makes the container images of test clusters, once: container-images.sh [--print]
#
# They land in ${GODWIT_CACHE:-/var/cache/godwit}/container-images-<hash of their recipe>, with a link
# `container-images` beside it:
#   images.tar  godwit.test/{pause,tiny,workload,redis,postgres,nginx}:1 as one OCI archive, for `ctr images import`
#   store/      the same as a containerd's root folder into which they were imported, for nodes that cannot wait for
#               that: `cp -a /opt/container-images/store/. /var/lib/containerd/`. Only its databases are files; blobs and
#               layers are links into data/, so a node needs the whole folder, read-only, at /opt/container-images.
# --print: only says where they are (fails if they are not there).
# How it is kept, replaced and removed: lib/build-once.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
readonly in_node=/opt/container-images
what="container images"
name=container-images
# shellcheck source=tools/lib/build-once.sh
. "$here/lib/build-once.sh"
image_link=$cache/cluster-image # what node-image.sh --cluster made
if [ "${1:-}" != --print ] && [ "${1:-}" != --build-in ]; then "$here/node-image.sh" --cluster; fi
image=$(readlink -f "$image_link")
key=$(key_of "$here"/container-images/* "$here/../tests/workloads/memory_guest.cpp" "$here/lib/oci.sh" "$0" -- "$image")

in_store_root() { chroot "$root" "$@"; }
ctr() { in_store_root ctr --namespace k8s.io "$@"; }

# wait_until WHAT COMMAND...
wait_until() {
  local wanted=$1
  shift
  for ((i = 0; i < 300; i++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  give_up "containerd: no $wanted within 30 s"
}
# The kubelet's side of containerd keeps a record of its own for each image, which it makes soon after the import.
all_known_to_kubelet() {
  [ "$(ctr images list -q | grep -c ^sha256:)" = "$(ctr images list -q | grep -c ^godwit.test/)" ]
}

# Runs the cluster image's containerd on an empty root folder, in memory (an overlay's layers cannot be on an overlay).
import_images() {
  local daemon
  root=$work/root
  mkdir "$root"
  mount --bind "$image" "$root"
  mount -o remount,bind,ro "$root"
  for folder in run tmp; do mount -t tmpfs -o mode=755 store "$root/$folder"; done
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  cat >"$root/run/config.toml" <<END
version = 3
root = '/run/store'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'godwit.test/pause:1'
[plugins.'io.containerd.cri.v1.runtime'.cni]
  conf_dir = '/run/cni'
END
  in_store_root containerd --config /run/config.toml >>"$log" 2>&1 &
  daemon=$!
  wait_until answer ctr version
  ctr images import - <"$building/images.tar" >>"$log" 2>&1
  wait_until "image records" all_known_to_kubelet
  ctr images list -q | grep ^godwit.test/ | sed 's/^/  /' >&2
  # A kubelet that is short of disk removes images that nothing uses, and these can be had nowhere else.
  ctr images list -q | while read -r image; do ctr images label "$image" io.cri-containerd.pinned=pinned; done >>"$log"
  kill -TERM "$daemon"
  wait "$daemon" || true
}

# What containerd made, with links for everything that it will never change.
keep_store() {
  local made=$root/run/store store=$building/store data=$building/data entry
  local blobs=io.containerd.content.v1.content/blobs/sha256 layers=io.containerd.snapshotter.v1.overlayfs/snapshots
  mkdir -p "$store" "$data/blobs" "$data/layers"
  cp -a "$made/io.containerd.content.v1.content" "$made/io.containerd.metadata.v1.bolt" \
    "$made/io.containerd.snapshotter.v1.overlayfs" "$store"
  for entry in "$store/$blobs"/*; do
    mv "$entry" "$data/blobs/"
    ln -s "$in_node/data/blobs/${entry##*/}" "$entry"
  done
  for entry in "$store/$layers"/*; do
    mv "$entry" "$data/layers/"
    ln -s "$in_node/data/layers/${entry##*/}" "$entry"
  done
}

# Second stage, started by build_once.
if [ "${1:-}" = --build-in ]; then
  building=$2
  log=$building.log
  work=$building/work
  out=$work/layout
  mkdir -p "$work" "$out"
  # shellcheck source=tools/lib/oci.sh
  . "$here/lib/oci.sh"
  # shellcheck source=/dev/null
  . "$here/container-images/images.recipe"
  tar -C "$out" --sort=name --mtime=@0 --owner=0 --group=0 -cf "$building/images.tar" index.json oci-layout blobs
  step "3/3 store of containerd"
  import_images
  keep_store
  for mounted in dev sys proc run tmp ""; do umount --lazy "$root/$mounted"; done
  rm -rf --one-file-system "$work"
  exit 0
fi
if [ "${1:-}" = --print ]; then
  print_built tools/container-images.sh
  exit 0
fi

if [ ! -d "$cache/$name-$key" ]; then
  for program in jq clang-19 clang++-19; do
    command -v $program >/dev/null || give_up "$program is missing: run tools/setup.sh"
  done
fi
exec 8<"$image"
flock --shared 8 # nobody removes it meanwhile
build_once 2048 "$0" --build-in
