#!/bin/bash
# Makes the container image of Godwit itself, which its DaemonSet and its controllers run: godwit-image.sh FILE [BUILD]
#
# FILE becomes an OCI archive with the image NAME (GODWIT_IMAGE, by default godwit.test/godwit:1), for `ctr images
# import` or whatever takes such archives to a registry. BUILD is the folder that the programs were built in, by default
# build/release. From Debian it takes the libraries that the programs are linked with, out of the cluster image
# (node-image.sh --cluster), so nothing is downloaded. No shell and no package manager come along.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
what="image of Godwit"
# shellcheck disable=SC2034 # for lib/build-once.sh
name=godwit-image key=
# shellcheck source=tools/lib/build-once.sh
. "$here/lib/build-once.sh"
file=$(realpath "${1:?usage: godwit-image.sh FILE [BUILD]}")
build=$(realpath "${2:-$here/../build/release}")
[ "$(id -u)" = 0 ] || give_up "building this needs root"
command -v jq >/dev/null || give_up "jq is missing: run tools/setup.sh"
image=$(readlink -f "$("$here/node-image.sh" --cluster --print)")
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
out=$work/layout
mkdir "$out"
# shellcheck source=tools/lib/oci.sh
. "$here/lib/oci.sh"

# On the node, and in the controllers' pods.
layer=$(new_layer programs)
mkdir -p "$layer/opt/godwit/bin" "$layer/usr/bin"
for program in godwit godwit-agent godwit-criu godwit-runc godwit-cni godwit-controller godwit-install; do
  install -m 755 "$build/bin/$program" "$layer/opt/godwit/bin/"
done
install -m 755 "$build/lib/libgodwit-shim.so" "$layer/opt/godwit/bin/"
for program in godwit-controller godwit-install; do ln -s "/opt/godwit/bin/$program" "$layer/usr/bin/$program"; done

layer=$(new_layer libraries)
mkdir -p "$layer"/{dev,etc,proc,run,sys,tmp,usr/bin,usr/lib,usr/lib64}
chmod 1777 "$layer/tmp"
for folder in bin lib lib64; do ln -s "usr/$folder" "$layer/$folder"; done
echo 'root:x:0:0::/root:/' >"$layer/etc/passwd"
echo 'hosts: files dns' >"$layer/etc/nsswitch.conf"
# The cluster image's own, as its own loader finds them, which also comes along: all of one Debian.
loader=$(find "$image"/lib*/ -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
search=$(find "$image"/usr/lib -maxdepth 1 -name '*-linux-gnu*' -printf '%p:')
{
  echo "$loader"
  for program in "$work"/programs/opt/godwit/bin/*; do
    "$loader" --inhibit-cache --library-path "$search" --list "$program"
  done |
    awk '/not found/ { print "no " $1 } $2 == "=>" && $3 ~ /^\// { print $3 }'
} | sort -u >"$work/found"
if missing=$(grep '^no ' "$work/found"); then give_up "the cluster image lacks libraries of the programs: $missing"; fi
while read -r path; do
  to=${path#"$image"}
  to=$layer/usr/${to#/usr/}
  case $path in "$loader") to=$layer/usr/$(basename "$(dirname "$loader")")/$(basename "$loader") ;; esac
  mkdir -p "$(dirname "$to")"
  cp -L "$path" "$to"
done <"$work/found"

pack_layer libraries
pack_layer programs
add_image godwit "libraries programs" '{"Cmd": ["godwit-install", "--help"]}'
wanted=${GODWIT_IMAGE:-godwit.test/godwit:1}
jq --arg name "$wanted" --arg tag "${wanted##*:}" '.manifests[].annotations =
  {"io.containerd.image.name": $name, "org.opencontainers.image.ref.name": $tag}' "$out/index.json" >"$work/index.json"
mv "$work/index.json" "$out/index.json"
tar -C "$out" --sort=name --mtime=@0 --owner=0 --group=0 -cf "$file" index.json oci-layout blobs
say "$wanted, $(du -m "$file" | cut -f1) MiB, in $file"
