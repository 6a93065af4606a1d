#!/bin/bash
# Checks everything that can be checked without running it: formatting, file lengths, shell scripts, clang-tidy.
# clang-tidy is slow, so a source that passed is not looked at again until it, a header of ours that it includes, or the
# rules change; what passed is remembered in ${GODWIT_CACHE:-/var/cache/godwit}/lint.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly lines_max=500
passed=${GODWIT_CACHE:-/var/cache/godwit}/lint
mkdir -p "$passed"

# Files of the project, tracked or about to be.
files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do [ ! -f "$file" ] || echo "$file"; done; }

check_format() { files '*.h' '*.cpp' '*.c' | xargs --no-run-if-empty clang-format-19 --dry-run -Werror; }

check_lengths() {
  local too_long
  too_long=$(files '*.h' '*.cpp' '*.c' '*.sh' '*.cmake' '*.recipe' |
    xargs --no-run-if-empty wc -l | awk -v max=$lines_max '$2 != "total" && $1 > max { print "  " $2 ": " $1 " lines" }')
  [ -z "$too_long" ] || { printf 'longer than %d lines, split them:\n%s\n' $lines_max "$too_long"; return 1; }
}

check_scripts() { files '*.sh' '*.recipe' .ci/run | xargs --no-run-if-empty shellcheck --external-sources; }

# "KEY FILE" for each source of the programs (not of tests and benchmarks: reading GoogleTest's headers takes as long as
# all the rest, and the compiler's warnings hold for them as well); the key covers the source, our headers below it, and the rules.
tidy_keys() {
  local rules
  rules=$( { clang-tidy-19 --version; cat .clang-tidy cmake/Toolchain.cmake; } | sha256sum | cut -c1-64)
  # Include lines of every file, then the headers that each source reaches, itself first.
  files 'src/*' 'apps/*' 'tests/*' 'bench/*' | grep -E '\.(h|cpp|c)$' | xargs grep -H '^#include "' |
    awk -F: '{ split($2, part, "\""); folder = $1; sub(/[^\/]*$/, "", folder); print $1, part[2], folder part[2] }' |
    awk -v sources="$(sed -n 's/^ *"file": "\(.*\)".*/\1/p' build/lint/compile_commands.json | sed "s|^$PWD/||" |
      grep -E '^(src|apps)/' | grep -v '_test\.cpp$' | sort -u)" '
      function visit(file,   i, n, next_files) {
        if (file in seen) return
        seen[file] = 1
        reached = reached " " file
        n = split(includes[file], next_files, " ")
        for (i = 1; i <= n; i++) visit(next_files[i])
      }
      { line[NR] = $0 }
      END {
        for (r = 1; r <= NR; r++) {
          split(line[r], word, " ")
          includes[word[1]] = includes[word[1]] " src/" word[2] " " word[3]
        }
        n = split(sources, list, "\n")
        for (s = 1; s <= n; s++) { delete seen; reached = ""; visit(list[s]); print reached }
      }' |
    while read -r source headers; do
      # shellcheck disable=SC2086 # one word a header; those that do not exist were only candidates
      echo "$( { echo "$rules"; cat "$source" $headers 2>/dev/null; } | sha256sum | cut -c1-64) $source"
    done
}

tidy_one() {
  local key=$1 source=$2 output
  if output=$(clang-tidy-19 -p build/lint --quiet "$source" 2>/dev/null); then
    touch "$passed/$key"
    printf '  ok   %s\n' "$source"
  else
    printf '  FAIL %s\n%s\n' "$source" "$output"
    return 1
  fi
}

check_tidy() {
  local todo
  # Sources are found by glob, so what is to be compiled is only known after configuring again.
  cmake --preset lint --log-level=WARNING >/dev/null
  todo=$(tidy_keys | while read -r key source; do [ -e "$passed/$key" ] || echo "$key $source"; done)
  [ -n "$todo" ] || return 0
  echo "  $(wc -l <<<"$todo") sources to look at, some 10 s each"
  export -f tidy_one
  export passed
  # shellcheck disable=SC2016 # expanded by the inner shell
  xargs -P "$(nproc)" -L 1 bash -c 'tidy_one "$0" "$1"' <<<"$todo"
}

case ${1:-all} in
format) check_format ;;
lengths) check_lengths ;;
scripts) check_scripts ;;
tidy) check_tidy ;;
all)
  status=0
  tools/step.sh "lint: formatting (clang-format)" "$0" format || status=1
  tools/step.sh "lint: no file longer than $lines_max lines" "$0" lengths || status=1
  tools/step.sh "lint: shell scripts (shellcheck)" "$0" scripts || status=1
  tools/step.sh "lint: clang-tidy" "$0" tidy || status=1
  find "$passed" -type f -mtime +60 -delete
  exit $status
  ;;
*)
  echo "usage: lint.sh [format|lengths|scripts|tidy]" >&2
  exit 2
  ;;
esac
