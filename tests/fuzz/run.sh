#!/usr/bin/env bash
# Runs one libFuzzer target, or all of them in turn, for a number of seconds each:
#     tests/fuzz/run.sh BUILD_FOLDER SECONDS [TARGET ...]
# BUILD_FOLDER is made by: CC=clang CXX=clang++ cmake -G Ninja -DUVIC_FUZZ=ON -DUVIC_UNITY=ON -S . -B BUILD_FOLDER
# The corpus grows in $UVIC_FUZZ_CORPUS/TARGET, or BUILD_FOLDER/corpus/TARGET. A finding is left as
# BUILD_FOLDER/findings/TARGET-*; once fixed, it goes to tests/fuzz/regressions/TARGET/, where fuzz_test reads it from then on.
# BUILD_FOLDER/tally.tsv gets a line for each run: target, executions, edges covered at its start and end, execution of the last
# new edge, inputs in the corpus, processor seconds, wall-clock seconds, exit code.
set -eu
TIMEFORMAT="%U %S"
build=$1 seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(sed -n 's/^uvic_fuzz(\([a-z_0-9]*\).*/\1/p' "$here/CMakeLists.txt")
status=0
for target in "$@"; do
  [ -n "${UVIC_FUZZ_BUILT:-}" ] || cmake --build "$build" --target "fuzz_$target"
  corpus=${UVIC_FUZZ_CORPUS:-$build/corpus}/$target
  mkdir -p "$corpus" "$build/findings"
  for pattern in $(sed -n "s/^UVIC_FUZZ_TARGET($target, \(.*\)) {.*/\1/p" "$here/fuzz_$target.cpp" | tr -d '",'); do
    cp -n "$here"/../golden/formats/*"$pattern" "$here"/../../configs/*"$pattern" \
      "$here"/../golden/data/tokenizers/*"$pattern" "$corpus" 2>/dev/null || true
  done
  for folder in "$here/corpus/$target" "$here/regressions/$target"; do
    [ ! -d "$folder" ] || cp -n "$folder"/* "$corpus" || true
  done
  case $target in # the longest input: no longer than the form needs
    csv | sample_ask | stats_line | text_repair | token_source) longest=1024 ;;
    caption_list | captions | json | npy | request_head | sample_text | samples_folder | tar_index) longest=4096 ;;
    run_folder | autoencoder) longest=24576 ;;
    *) longest=16384 ;;
  esac
  echo "== $target"
  log=$build/findings/log-$target.txt
  start=$SECONDS code=0
  # Readers may allocate in proportion to the file: 16 KiB of deflated data or of image make 64 MiB at most.
  cpu=$({
    time OMP_NUM_THREADS=1 "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=$longest \
      -malloc_limit_mb=128 -rss_limit_mb=2048 -timeout=25 -print_funcs=0 -entropic=0 -print_final_stats=1 \
      -artifact_prefix="$build/findings/$target-" "$corpus" >"$log" 2>&1
  } 2>&1) || code=$?
  awk -v target="$target" -v cpu="$cpu" -v wall=$((SECONDS - start)) -v code=$code '
    /^#[0-9]+.* cov: / {
      match($0, /cov: [0-9]+/); edges = substr($0, RSTART + 5, RLENGTH - 5) + 0
      if ($2 == "INITED") first = edges
      if (edges > most) { most = edges; last = substr($1, 2) + 0 }
      if (match($0, /corp: [0-9]+/)) inputs = substr($0, RSTART + 6, RLENGTH - 6)
    }
    /^#[0-9]+/ { executions = substr($1, 2) + 0 }
    /number_of_executed_units:/ { executions = $2 }
    END { split(cpu, part, " "); cpu = part[1] + part[2]
      printf "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%d\t%d\n", target, executions, first, most, last, inputs, cpu, wall, code }
  ' "$log" | tee -a "$build/tally.tsv"
  [ $code -eq 0 ] || { status=1; tail -n 30 "$log"; }
done
exit $status
