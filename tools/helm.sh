#!/bin/bash
# Builds Helm, with which the tests check the chart, once: helm.sh [--print]
#
# It lands in ${GODWIT_CACHE:-/var/cache/godwit}/helm-<hash of its version>/helm, and the link `helm` beside the folder
# points to it. Its sources come as a Go module, checked against Go's checksum database.
# --print: only says where it is (fails if it is not there).
# How it is kept, replaced and removed: lib/build-once.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
what=helm
name=helm
version=v3.22.0
# shellcheck source=tools/lib/build-once.sh
. "$here/lib/build-once.sh"
key=$(key_of "$0")

# Second stage, started by build_once.
if [ "${1:-}" = --build-in ]; then
  log=$2.log
  step "compiling Helm $version with $(go env GOVERSION)"
  # No C: a static program runs in every node image.
  CGO_ENABLED=0 GOBIN=$2 GOFLAGS=-trimpath go install -v \
    -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$version" "helm.sh/helm/v3/cmd/helm@$version" 2>&1 |
    progress .
  [[ $("$2/helm" version --short) == "$version"* ]] || give_up "helm calls itself $("$2/helm" version --short)"
  exit 0
fi
if [ "${1:-}" = --print ]; then
  print_built tools/helm.sh
  exit 0
fi

if [ ! -d "$cache/$name-$key" ]; then
  command -v go >/dev/null ||
    give_up "Go is missing, and Debian 12's is too old: install a newer one (only tests of the chart need it)"
fi
build_once 2048 "$0" --build-in
