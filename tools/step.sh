#!/bin/sh
# step.sh WHAT COMMAND...: says what is being done, does it, says how long it took.
set -u
what=$1
shift
started=$(date +%s)
printf '==> %s\n' "$what"
"$@"
status=$?
took=$(($(date +%s) - started))
if [ "$status" = 0 ]; then
  printf '    done in %d s\n' "$took"
else
  printf '    FAILED after %d s (status %d)\n' "$took" "$status"
fi
exit "$status"
