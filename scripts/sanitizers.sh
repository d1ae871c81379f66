#!/usr/bin/env bash
# Builds preset dev (AddressSanitizer and UndefinedBehaviorSanitizer) and runs its tests; every report fails the test that
# caused it. The last line of the output is the row for docs/reliability.md, section "Sanitizers".
#   scripts/sanitizers.sh [--quick]
#     --quick   the tests of base/, data/ and diffusion/ only: file readers, threads, samplers
set -euo pipefail
cd "$(dirname "$0")/.."

what='every test' targets=() selection=()
case "${1:-}" in
  '') ;;
  --quick)
    what='base, data, diffusion'
    targets=(--target base_test data_test diffusion_test)
    selection=(--tests-regex '^(base|data|diffusion):') ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

scripts/install-packages.sh tests
# Without halt_on_error UndefinedBehaviorSanitizer prints its report and goes on, and the test passes.
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
begin=$SECONDS
libtorch=$(cmake --preset dev | sed -n 's/^-- LibTorch \([^:]*\):.*/\1/p')
cmake --build --preset dev "${targets[@]}"

log=build/dev/sanitizers.txt status=0
ctest --preset dev -j "$(nproc)" "${selection[@]}" | tee "$log" || status=$?
# "99% tests passed, 1 tests failed out of 120"
counts=$(sed -n 's/.*, \([0-9]*\) tests\? failed out of \([0-9]*\).*/\1 of \2/p' "$log")
commit=$(git rev-parse --short HEAD 2>/dev/null || echo 'no git')
git diff --quiet HEAD 2>/dev/null || commit="$commit with changes"
minutes=$(((SECONDS - begin + 59) / 60))
echo "| $(date -u +%F) | $commit | $what | ${counts:-no test} failed | $minutes min | $(g++ -dumpfullversion), LibTorch $libtorch |"
exit $status
