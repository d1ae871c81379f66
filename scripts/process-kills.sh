#!/usr/bin/env bash
# Trains on 2, 3 and 4 processes, and at a random moment kills (SIGKILL), stops (SIGSTOP) or asks to end (SIGTERM) one rank at
# random; at random the processes share the training state, and send gradients as bf16, in several buckets. Checks that all
# processes end within the timeout with a code other than 0, that one line at most says why, that the state is no older than what
# was saved, and that the same command continues from it.
#   scripts/process-kills.sh [KILLS [PROGRAM [TIMEOUT_SEC]]]      default: 50 build/release/bin/uvic 20
set -uo pipefail
cd "$(dirname "$0")/.."
kills=${1:-50}
program=$(realpath "${2:-build/release/bin/uvic}")
timeout=${3:-20}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export UVIC_ROOT=${UVIC_ROOT:-$PWD}

train=(train --data procedural --batch_size 16 --dataset.image_size 8 --dataset.procedural_images 100 --model.img_size 8
       --model.patch_size 2 --model.embed_dim 16 --model.depth 2 --model.num_heads 2 --model.num_classes 10 --log_images 160
       --checkpoint_images 160 --grid_images 480 --grid_count 4 --sample.steps 2 --precision fp32 --threads 1 --bucket_mib 0.005
       --timeout_sec "$timeout")
ranks_of() { cat "/proc/$1/task/$1/children" 2>/dev/null; }
images_of() {  # of a state file: from its metadata
  head -c 200000 "$1" | grep -ao '"uvic.images_seen":"[0-9]*"' | head -1 | grep -o '[0-9]*'
}

declare -A count=() longest=()
wrong=0
for ((number = 1; number <= kills; ++number)); do
  processes=$((2 + RANDOM % 3)) rank=$((RANDOM % processes))
  signals=(KILL STOP TERM) shared=(true false) precisions=(fp32 bf16)
  signal=${signals[$((RANDOM % 3))]}
  run=$scratch/$number
  "$program" "${train[@]}" --total_images 100000000 --processes $processes --out "$run" \
    --sharded_optimizer "${shared[$((RANDOM % 2))]}" --wire_precision "${precisions[$((RANDOM % 2))]}" >"$scratch/err" 2>&1 &
  job=$!
  for ((i = 0; i < 600; ++i)); do [ -e "$run/state.safetensors" ] && break; sleep 0.1; done
  sleep "$((RANDOM % 3)).$((RANDOM % 10))"
  pids=($(ranks_of $job))
  saved=$(images_of "$run/state.safetensors")
  begin=$(date +%s%N)
  kill -$signal "${pids[$rank]}"
  for ((i = 0; i < 10 * timeout + 50; ++i)); do kill -0 $job 2>/dev/null || break; sleep 0.1; done
  took=$((($(date +%s%N) - begin) / 1000000))
  fault=
  if kill -0 $job 2>/dev/null; then
    fault="hangs"
    kill -KILL $job "${pids[@]}"
  fi
  wait $job
  code=$?
  for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && fault="process $pid is left"; done
  [ $code -ne 0 ] || fault="code 0"
  lines=$(grep -c '^uvic:' "$scratch/err")
  [ "$lines" -le 1 ] || fault="$lines lines: $(grep '^uvic:' "$scratch/err" | tr '\n' ' ')"
  [ $signal = TERM ] || [ "$lines" -eq 1 ] || fault="no line"
  after=$(images_of "$run/state.safetensors")
  [ "${after:-0}" -ge "${saved:-1}" ] || fault="the state has $after images, it had $saved"
  if [ -z "$fault" ]; then
    "$program" "${train[@]}" --total_images $((after + 32)) --grid_images 0 --processes 2 --out "$run" \
      >"$scratch/again" 2>&1 || fault="does not continue: $(tail -n 1 "$scratch/again")"
  fi
  count[$signal]=$((${count[$signal]:-0} + 1))
  [ "$took" -le "${longest[$signal]:-0}" ] || longest[$signal]=$took
  if [ -n "$fault" ]; then
    wrong=$((wrong + 1))
    echo "kill $number: SIG$signal to rank $rank of $processes, after $took ms: $fault" >&2
  fi
  rm -rf "$run"
done
for signal in KILL STOP TERM; do
  echo "SIG$signal: ${count[$signal]:-0}, all ended after ${longest[$signal]:-0} ms at most"
done
echo "$kills random kills, $wrong wrong"
[ $wrong -eq 0 ]
