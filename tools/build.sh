#!/bin/sh
# build.sh PRESET [TARGET...]: configures if need be, and builds (CMakePresets.json; build/PRESET).
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift
if [ ! -f "build/$preset/build.ninja" ]; then
  cmake --preset "$preset" --log-level=WARNING >"/tmp/godwit-cmake-$$.log" 2>&1 ||
    { cat "/tmp/godwit-cmake-$$.log"; rm -f "/tmp/godwit-cmake-$$.log"; exit 1; }
  rm -f "/tmp/godwit-cmake-$$.log"
fi
cmake --build "build/$preset" --parallel "$(nproc)" ${1:+--target "$@"}
