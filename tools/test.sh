#!/bin/bash
# Builds and runs all tests: everything in the release build, the unit tests once more under AddressSanitizer with
# UndefinedBehaviorSanitizer and under ThreadSanitizer. Ends with one line that counts all runs together,
# "N passed, N failed, N skipped", and fails unless every test passed or was skipped.
# test.sh [ctest argument...]: the arguments, e.g. -R Lifecycle, go to every run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
skipped=0
broken=0

# run_tests PRESET WHAT CTEST-ARGUMENT...
run_tests() {
  local preset=$1 what=$2 log=build/$1/tests.log started
  shift 2
  started=$(date +%s)
  printf '==> test: %s, %s\n' "$preset" "$what"
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=ignore "$@" 2>&1 | tee "$log" |
    grep --line-buffered -v -E '^ *Start +[0-9]+:|^Internal ctest|^Test project'
  # "  3/120 Test  #7: lab_root_test.Lifecycle.EndsWithItsObject ......   Passed    0.10 sec"
  local counts
  counts=$(awk -v preset="$preset" '
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
      if (/   Passed +[0-9.]+ sec/) passed++
      else if (/\*\*\*(Skipped|Not Run \(Disabled\))/) { skipped++; print "skipped (" preset "): " name() >"/dev/stderr" }
      else { failed++; print "failed (" preset "): " name() >"/dev/stderr" }
    }
    function name(  text) { text = $0; sub(/^.*Test +#[0-9]+: /, "", text); sub(/ \.*\*?.*$/, "", text); return text }
    END { print passed + 0, failed + 0, skipped + 0 }' "$log" 2>"$log.names")
  cat "$log.names" >>build/test-names.log
  local p f s
  read -r p f s <<<"$counts"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  printf '    %d passed, %d failed, %d skipped in %d s\n' "$p" "$f" "$s" $(($(date +%s) - started))
}

mkdir -p build
: >build/test-names.log
jobs=$(nproc)
for preset in release asan tsan; do
  targets=()
  [ "$preset" = release ] || targets=(unit_tests)
  if ! tools/step.sh "build: $preset" tools/build.sh "$preset" "${targets[@]}"; then
    broken=1
    echo "failed: build of $preset" >>build/test-names.log
    continue
  fi
  if [ "$preset" = release ]; then
    run_tests release "unit tests" --label-regex unit --parallel "$jobs" "$@"
    # One at a time: they measure, and each has nodes of its own.
    run_tests release "tests with root and nodes" --label-exclude 'unit|bench|cluster' "$@"
    # Clusters wait more than they work, and know nothing of each other. Those whose tests measure run alone.
    run_tests release "tests with clusters" --label-regex cluster --parallel 2 "$@"
  else
    run_tests "$preset" "unit tests" --label-regex unit --parallel "$jobs" "$@"
  fi
done

cat build/test-names.log
failed=$((failed + broken))
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ] && [ $passed -gt 0 ]
