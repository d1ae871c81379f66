#!/usr/bin/env bash
# A long training compressed: many steps of a tiny network, with checkpoints, grids and log lines all along. Reads memory, open
# descriptors and threads of the process while it runs, and prints them by tenths of the run. Fails where the memory of the last
# tenth is above that of the second by more than 1 % (both are medians), or the descriptors or threads are more.
#   scripts/soak.sh [STEPS [PROGRAM]]      default: 1000000 build/release/bin/uvic
set -euo pipefail
cd "$(dirname "$0")/.."
steps=${1:-1000000}
program=$(realpath "${2:-build/release/bin/uvic}")
scratch=$(mktemp -d)
job=
trap '[ -z "$job" ] || kill -KILL $job 2>/dev/null || true; rm -rf "$scratch"' EXIT
export OMP_WAIT_POLICY=passive UVIC_ROOT=${UVIC_ROOT:-$PWD}

batch=1
images=$((steps * batch))
every() { echo $(((images / $1 + batch - 1) / batch * batch)); }  # a number of images, whole batches
"$program" train --data procedural --batch_size $batch --dataset.image_size 8 --dataset.procedural_images 100 --model.img_size 8 \
  --model.patch_size 4 --model.embed_dim 16 --model.depth 2 --model.num_heads 2 --model.num_classes 10 --sample.steps 2 \
  --grid_count 4 --precision fp32 --threads 1 --log_images "$(every 1000)" --checkpoint_images "$(every 200)" \
  --grid_images "$(every 200)" --total_images $images --out "$scratch/run" >"$scratch/log" 2>&1 &
job=$!

# seconds, images so far, resident KiB, descriptors, threads
begin=$SECONDS
while kill -0 $job 2>/dev/null; do
  seen=$(tail -n 1 "$scratch/run/stats.jsonl" 2>/dev/null | grep -o '"images_seen": *[0-9]*' | grep -o '[0-9]*$' || true)
  resident=$(awk '/VmRSS/ {print $2}' /proc/$job/status 2>/dev/null || true)
  threads=$(awk '/Threads/ {print $2}' /proc/$job/status 2>/dev/null || true)
  descriptors=$(ls /proc/$job/fd 2>/dev/null | wc -l)
  [ -z "$resident" ] || [ -z "$seen" ] || echo "$((SECONDS - begin)) $seen $resident $descriptors $threads" >>"$scratch/samples"
  sleep 1
done
wait $job || { tail -n 3 "$scratch/log" >&2; exit 1; }
job=

awk -v images=$images -v steps="$steps" '
  function median(list, n,   i, j, t) {
    for (i = 2; i <= n; ++i) for (j = i; j > 1 && list[j - 1] > list[j]; --j) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return list[int((n + 1) / 2)]
  }
  {
    tenth = int($2 * 10 / images) + 1; if (tenth > 10) tenth = 10
    resident[tenth, ++count[tenth]] = $3
    if ($4 > descriptors[tenth]) descriptors[tenth] = $4
    if ($5 > threads[tenth]) threads[tenth] = $5
    seconds = $1
  }
  END {
    print "tenth  resident MiB (median)  descriptors (most)  threads (most)"
    for (i = 1; i <= 10; ++i) {
      if (!count[i]) { printf "%5d  not seen: the run is too short\n", i; wrong = 1; continue }
      delete list
      for (j = 1; j <= count[i]; ++j) list[j] = resident[i, j]
      middle[i] = median(list, count[i])
      printf "%5d  %21.1f  %18d  %14d\n", i, middle[i] / 1024, descriptors[i], threads[i]
    }
    if (middle[10] > 1.01 * middle[2]) { print "memory grows"; wrong = 1 }
    if (descriptors[10] > descriptors[2]) { print "descriptors grow"; wrong = 1 }
    if (threads[10] > threads[2]) { print "threads grow"; wrong = 1 }
    printf "%d steps in %d s\n", steps, seconds
    exit wrong
  }' "$scratch/samples"
