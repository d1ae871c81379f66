#!/bin/sh
# Runs one libFuzzer target, or all of them in turn, for a number of seconds each:
#     tests/fuzz/run.sh BUILD_FOLDER SECONDS [TARGET ...]
# BUILD_FOLDER is made by: CC=clang CXX=clang++ cmake -G Ninja -DUVIC_FUZZ=ON -S . -B BUILD_FOLDER
# The corpus grows in BUILD_FOLDER/corpus/TARGET. A finding is left as BUILD_FOLDER/findings/TARGET-*; once fixed, it goes to
# tests/fuzz/regressions/TARGET/, where fuzz_test reads it from then on.
set -eu
build=$1 seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(sed -n 's/^uvic_fuzz(\([a-z_0-9]*\).*/\1/p' "$here/CMakeLists.txt")
status=0
for target in "$@"; do
  cmake --build "$build" --target "fuzz_$target"
  corpus=$build/corpus/$target
  mkdir -p "$corpus" "$build/findings"
  for pattern in $(sed -n "s/^UVIC_FUZZ_TARGET($target, \(.*\)) {.*/\1/p" "$here/fuzz_$target.cpp" | tr -d '",'); do
    cp "$here"/../golden/formats/*"$pattern" "$here"/../../configs/*"$pattern" "$corpus" 2>/dev/null || true
  done
  [ ! -d "$here/regressions/$target" ] || cp "$here/regressions/$target"/* "$corpus"
  echo "== $target"
  # Readers may allocate in proportion to the file: 16 KiB of deflated data or of image make 64 MiB at most.
  "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=16384 -malloc_limit_mb=128 -rss_limit_mb=2048 \
    -timeout=10 -print_final_stats=1 -artifact_prefix="$build/findings/$target-" "$corpus" || status=1
done
exit $status
