#!/bin/bash
# Builds the components of Kubernetes for the clusters that the tests run on, once: kubernetes.sh [--older] [--print]
#
# They are one program (tests/cluster/main.go) that lands in ${GODWIT_CACHE:-/var/cache/godwit}/kubernetes-<hash of what
# it is made from>, with a link for each component and a file `version`; the link `kubernetes` beside the folder points
# to it.
# --older: the older minor version that is still supported (older.mod instead of go.mod), at `kubernetes-older`.
# --print: only says where it is (fails if it is not there).
# How it is kept, replaced and removed: lib/build-once.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
sources=$here/../tests/cluster
what=kubernetes
name=kubernetes
modfile=go.mod
flag=
if [ "${1:-}" = --older ]; then
  shift
  what="older kubernetes"
  name=kubernetes-older
  modfile=older.mod
  flag=--older
fi
# shellcheck source=tools/lib/build-once.sh
. "$here/lib/build-once.sh"
# This file too: it says how.
key=$(key_of "$sources/main.go" "$sources"/storage/*.go "$sources/$modfile" "$sources/${modfile%.mod}.sum" "$0")
components="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"

# Shows packages as the compiler comes to them, out of $1 at most (those in Go's build cache are not told).
count_packages() {
  local total=$1 package count=0 last=0 now
  while IFS= read -r package; do
    echo "$package" >>"$log"
    count=$((count + 1))
    now=$(elapsed)
    if [ $((now - last)) -ge 5 ]; then
      printf '%s: [%3d s]   package %d of %d: %.60s\n' "$what" "$now" "$count" "$total" "$package" >&2
      last=$now
    fi
  done
}

compile() {
  local total version minor package=k8s.io/component-base/version
  # No C: a static program runs in every node image. (The components that could use it do not need it here.)
  export CGO_ENABLED=0
  export GOFLAGS="-trimpath -buildvcs=false -tags=grpcnotrace -modfile=$modfile"
  cd "$sources"
  step "1/2 sources"
  total=$(go list -deps . 2> >(progress '^go: downloading k8s\.io') | wc -l)
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.}
  minor=${minor%%.*}
  step "2/2 compiling Kubernetes $version with $(go env GOVERSION)"
  # What the components say of themselves, to people and to each other.
  go build -v -o "$1/kubernetes" -ldflags "-s -w \
    -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=archive \
    -X k8s.io/client-go/pkg/version.gitVersion=$version" . 2>&1 | count_packages "$total"
  for component in $components; do
    ln -s kubernetes "$1/$component"
    # Not a matter of course: a version that is not stamped calls itself v0.0.0-master.
    [ "$("$1/$component" --version)" = "Kubernetes $version" ] ||
      give_up "$component calls itself $("$1/$component" --version), it should be $version"
  done
  ln -s kubernetes "$1/storage-driver"
  echo "$version" >"$1/version"
}

# Second stage, started by build_once.
if [ "${1:-}" = --build-in ]; then
  log=$2.log
  compile "$2"
  exit 0
fi
if [ "${1:-}" = --print ]; then
  print_built "tools/kubernetes.sh${flag:+ $flag}"
  exit 0
fi

if [ ! -d "$cache/$name-$key" ]; then
  command -v go >/dev/null ||
    give_up "Go is missing, and Debian 12's is too old: install Go $(awk '$1 == "go" { print $2 }' "$sources/$modfile") or" \
      "newer (only test clusters need it, Godwit itself does not)"
  say "building once for each version; without anything in Go's caches it takes some ten minutes on two cores"
fi
# shellcheck disable=SC2086 # no flag is no word
build_once 6144 "$0" $flag --build-in
