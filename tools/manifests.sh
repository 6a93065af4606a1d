#!/bin/bash
# Renders the chart as plain manifests, for those who do without Helm: manifests.sh [FOLDER]
#
# godwit.yaml is the installation, godwit-uninstall.yaml the Job that takes Godwit off the nodes before it is deleted.
# They land in FOLDER, by default deploy/. A test compares what is there with what this renders.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
chart=$here/../deploy/helm/godwit
folder=${1:-$here/../deploy}
helm=$("$here/helm.sh" --print)/helm

# render ARGUMENT...: without what only Helm understands.
render() {
  "$helm" template godwit "$chart" --namespace godwit --kube-version 1.35.0 "$@" 2>/dev/null |
    sed -e '/app.kubernetes.io\/managed-by: Helm$/d' -e '/^ *helm.sh\/hook/d' -e '/^ *helm.sh\/resource-policy/d' \
      -e '/^# Source: /d' |
    # What is left of a map all of whose members were Helm's.
    awk '{ if (held != "") { match($0, /^ */); if (RLENGTH > depth) print held; held = "" }
           if ($0 ~ /^ *annotations:$/) { held = $0; match($0, /^ */); depth = RLENGTH } else print }'
}

{
  echo "# Godwit without Helm; see \"In a cluster\" in README.md. Made by tools/manifests.sh from deploy/helm/godwit."
  printf -- '---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: godwit\n'
  render --no-hooks
} >"$folder/godwit.yaml"
{
  echo "# Before godwit.yaml is deleted. Made by tools/manifests.sh from deploy/helm/godwit."
  render --show-only templates/withdrawal.yaml
} >"$folder/godwit-uninstall.yaml"
