#!/bin/bash
# Builds and runs all tests: everything in the release build, the unit tests once more under AddressSanitizer with
# UndefinedBehaviorSanitizer and under ThreadSanitizer. Ends with what was skipped and what failed, with the failed
# checks' own words, and one line that counts all runs together, "N passed, N failed, N skipped"; fails unless every test
# passed or was skipped. Few tests with nodes or clusters that failed are run once more, when the machine has calmed down:
# what passes then is named as unsteady, with what it said when it failed.
# test.sh [ctest argument...]: the arguments, e.g. -R Lifecycle, go to every run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
skipped=0
broken=0

# run_tests PRESET WHAT CTEST-ARGUMENT...: counts into passed, failed and skipped; the names of what failed: $log.failed
run_tests() {
  local preset=$1 what=$2 log=build/$1/tests.log started
  shift 2
  started=$(date +%s)
  printf '==> test: %s, %s\n' "$preset" "$what"
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=ignore "$@" 2>&1 | tee "$log" |
    grep --line-buffered -v -E '^ *Start +[0-9]+:|^Internal ctest|^Test project'
  # "  3/120 Test  #7: lab_root_test.Lifecycle.EndsWithItsObject ......   Passed    0.10 sec"
  local counts
  counts=$(awk -v preset="$preset" -v failed_names="$log.failed" '
    BEGIN { printf "" >failed_names }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
      if (/   Passed +[0-9.]+ sec/) passed++
      else if (/\*\*\*(Skipped|Not Run \(Disabled\))/) { skipped++; print "skipped (" preset "): " name() >"/dev/stderr" }
      else { failed++; print "failed (" preset "): " name() >failed_names }
    }
    function name(  text) { text = $0; sub(/^.*Test +#[0-9]+: /, "", text); sub(/ \.*\*?.*$/, "", text); return text }
    END { print passed + 0, failed + 0, skipped + 0 }' "$log" 2>>build/test-names.log)
  # Of each failed check its place and the lines that follow, which are far up by then.
  awk -v preset="$preset" '
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
      lines = 0
      failing = /   Passed +[0-9.]+ sec/ ? 0 : 80
      if (/\*\*\*(Failed|Timeout|Exception)/) printf "--- %s: %s\n", preset, $0
    }
    /: Failure$/ { lines = 12 }
    failing > 0 && lines > 0 { print "    " substr($0, 1, 400); --lines; --failing }
  ' "$log" >>build/test-failures.log
  local p f s
  read -r p f s <<<"$counts"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  printf '    %d passed, %d failed, %d skipped in %d s\n' "$p" "$f" "$s" $(($(date +%s) - started))
}

# As run_tests; a few that failed have a second chance.
run_unsteady_tests() {
  local preset=$1 what=$2 log=build/$1/tests.log before=$failed again
  run_tests "$@"
  again=$((failed - before))
  if [ "$again" -gt 0 ] && [ "$again" -le 3 ]; then
    cp "$log.failed" "$log.failed-first"
    failed=$before
    run_tests "$preset" "$what that failed, once more" --rerun-failed
    grep -v -x -F -f "$log.failed" "$log.failed-first" | sed 's/^failed/unsteady/' >>build/test-names.log
  fi
  cat "$log.failed" >>build/test-names.log
}

mkdir -p build
: >build/test-names.log
: >build/test-failures.log
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
    cat build/release/tests.log.failed >>build/test-names.log
    # One at a time: they measure, and each has nodes of its own.
    run_unsteady_tests release "tests with root and nodes" --label-exclude 'unit|bench|cluster' "$@"
    # Clusters wait more than they work, and know nothing of each other. Those whose tests measure run alone.
    run_unsteady_tests release "tests with clusters" --label-regex cluster --parallel 2 "$@"
  else
    run_tests "$preset" "unit tests" --label-regex unit --parallel "$jobs" "$@"
    cat "build/$preset/tests.log.failed" >>build/test-names.log
  fi
done

cat build/test-failures.log build/test-names.log
failed=$((failed + broken))
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ] && [ $passed -gt 0 ]
