# shellcheck shell=bash disable=SC2154
# Container images in the OCI image layout, made from folders: sourced with
#   image    a root file system with Debian packages, from which files are taken
#   work     a folder for layers in the making
#   out      the layout: blobs/sha256/..., index.json
# https://github.com/opencontainers/image-spec: layers are plain tar files, since nothing sends them over a network.

declare -A layer_digest layer_bytes

in_image() { LC_ALL=C.UTF-8 chroot "$image" "$@"; }
# A user of the image, as chown takes it.
owner() { awk -F: -v user="$1" '$1 == user { print $3 ":" $4 }' "$image/etc/passwd"; }

# new_layer NAME: makes the folder, prints its path.
new_layer() {
  mkdir -p "$work/$1"
  echo "$work/$1"
}

# copy_files FOLDER PATH...: regular files and links of the image, with their parents.
copy_files() {
  local folder=$1
  shift
  tar -C "$image" -cf - "${@#/}" | tar -C "$folder" -xpf -
}

# copy_packages FOLDER PATTERN PACKAGE...: the packages' files whose path matches.
copy_packages() {
  local folder=$1 pattern=$2 path paths=()
  shift 2
  while read -r path; do
    if [ -L "$image$path" ] || [ -f "$image$path" ]; then paths+=("$path"); fi
  done < <(in_image dpkg -L "$@" | grep -E "$pattern" | sort -u)
  [ ${#paths[@]} -gt 0 ] || give_up "nothing in $* matches $pattern"
  copy_files "$folder" "${paths[@]}"
}

# What the programs and modules of a layer are linked with, one path a line.
libraries_of() {
  # A file that is not dynamically linked makes ldd fail, after it looked at the others.
  (cd "$work/$1" && find . -type f \( -perm /111 -o -name '*.so*' \) -printf '/%P\n') |
    { in_image xargs ldd 2>/dev/null || true; } |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u
}

# copy_libraries COMMON LAYER...: to each layer the libraries that it needs alone, to the layer COMMON those that several
# need. By the name that programs look for: the links that lead to the file are not copied.
copy_libraries() {
  local common=$1 layer path to
  shift
  for layer in "$@"; do libraries_of "$layer" | sed "s|^|$layer |"; done >"$work/needed"
  awk -v common="$common" '
    { count[$2]++; layer[$2] = $1 }
    END { for (path in count) print (count[path] > 1 ? common : layer[path]), path }' "$work/needed" >"$work/places"
  while read -r layer path; do
    to=$work/$layer
    # /lib and /lib64 are links to usr/lib and usr/lib64, made by the lowest layer.
    case $path in /usr/*) ;; *) to=$to/usr ;; esac
    mkdir -p "$to$(dirname "$path")"
    cp -L "$image$path" "$to$path"
  done <"$work/places"
}

# Adds a file to the layout, prints "DIGEST BYTES".
add_blob() {
  local digest bytes
  digest=$(sha256sum "$1" | cut -c1-64)
  bytes=$(stat -c %s "$1")
  mkdir -p "$out/blobs/sha256"
  mv "$1" "$out/blobs/sha256/$digest"
  echo "sha256:$digest $bytes"
}

# The same files make the same layer, whenever it is made.
pack_layer() {
  tar -C "$work/$1" --sort=name --mtime=@0 --numeric-owner --format=gnu -cf "$work/$1.tar" .
  read -r "layer_digest[$1]" "layer_bytes[$1]" < <(add_blob "$work/$1.tar")
}

# add_image NAME "LAYER..." CONFIG: CONFIG as in the specification's image configuration, "config".
add_image() {
  local layer digest bytes layers=() architecture
  architecture=$(in_image dpkg --print-architecture) # Debian's names are Go's, for all that we run on
  for layer in $2; do
    layers+=("$(jq -n --arg digest "${layer_digest[$layer]}" --argjson size "${layer_bytes[$layer]}" \
      '{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $digest, size: $size}')")
  done
  printf '%s\n' "${layers[@]}" | jq -s --arg architecture "$architecture" --argjson config "$3" '{
    architecture: $architecture, os: "linux", created: "1970-01-01T00:00:00Z",
    config: ({Env: []} + $config
      | .Env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] + .Env),
    rootfs: {type: "layers", diff_ids: map(.digest)}}' >"$work/config.json"
  read -r digest bytes < <(add_blob "$work/config.json")
  printf '%s\n' "${layers[@]}" | jq -s --arg digest "$digest" --argjson size "$bytes" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $digest, size: $size}, layers: .}' \
    >"$work/manifest.json"
  read -r digest bytes < <(add_blob "$work/manifest.json")
  jq -n --arg name "godwit.test/$1:1" --arg digest "$digest" --argjson size "$bytes" '{
    mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
    annotations: {"io.containerd.image.name": $name, "org.opencontainers.image.ref.name": "1"}}' >>"$work/images.json"
  jq -s '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' "$work/images.json" \
    >"$out/index.json"
  echo '{"imageLayoutVersion": "1.0.0"}' >"$out/oci-layout"
}
