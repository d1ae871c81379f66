#!/usr/bin/env bash
# Attacks the built program for at most ten minutes and prints how many attempts it survived: odd numbers for every option
# that the help lists, damaged run folders, closed descriptors, signals through pipes, settings of OpenMP, failing system
# calls. An attempt fails where the program ends by a signal of its own making, hangs, or leaves a torn file.
#   scripts/attack.sh [PROGRAM [CLI_TEST]]      default: build/release/bin/uvic, build/release/tests/cli/cli_test
#   UVIC_ATTACK_SECONDS=600                     the time for all parts together
set -uo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-build/release/bin/uvic}")
tests=$(realpath "${2:-build/release/tests/cli/cli_test}")
seconds=${UVIC_ATTACK_SECONDS:-600}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OMP_WAIT_POLICY=passive

declare -A tried failed
part='' deadline=0
begin() { part=$1 tried[$1]=0 failed[$1]=0 deadline=$((SECONDS + seconds * $2 / 100)); }
in_time() { [ "$SECONDS" -lt "$deadline" ]; }
bad() { failed[$part]=$((failed[$part] + 1)); echo "$part: $*" >&2; }

# attempt LIMIT WORD...: exit codes 0, 1, 2 are answers; 124 is a hang, 128 and more a signal.
attempt() {
  local limit=$1 code
  shift
  tried[$part]=$((tried[$part] + 1))
  timeout -k 5 "$limit" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
  code=$?
  [ $code -le 2 ] || bad "exit code $code: $*"
  if [ $code -eq 2 ] && [ "$(wc -l <"$scratch/err")" -ne 1 ]; then bad "an answer of several lines: $*"; fi
}

tiny=(train --data procedural --batch_size 16 --dataset.image_size 8 --dataset.procedural_images 100 --model.img_size 8
      --model.patch_size 2 --model.embed_dim 16 --model.depth 2 --model.num_heads 2 --model.num_classes 10 --log_images 16
      --checkpoint_images 32 --grid_images 32 --grid_count 4 --sample.steps 2 --precision fp32)
"$program" "${tiny[@]}" --total_images 64 --out "$scratch/run" 2>"$scratch/err" || { cat "$scratch/err" >&2; exit 1; }

begin numbers 30
# Options with a default that is a number, as --help_all prints them, of every command; nothing is trained or read.
values=(-1 0 -0 1e308 -1e308 nan inf 0x10 99999999999999999999 -9223372036854775808 9223372036854775807 1.5 '' ' ' 1e999)
for command in train sample fid compare sweep dataset convert predict inspect bench; do
  base=("$command")
  [ "$command" != train ] || base+=(--dry_run)
  while read -r option; do
    for value in "${values[@]}"; do
      in_time || break 3
      attempt 20 "$program" "${base[@]}" "--$option=$value"
    done
  done < <("$program" "$command" --help_all 2>/dev/null | grep -oE '^ *--[a-z_.0-9]+ [A-Z:]*(INT|UINT|FLOAT)' | sed -E 's/^ *--([a-z_.0-9]+) .*/\1/')
done

begin tampered 20
for file in config.toml run.json stats.jsonl log.txt state.safetensors weights/000000064.safetensors grids/000000064.png; do
  for damage in empty half flip zeros fifo folder gone brackets; do
    in_time || break 2
    rm -rf "$scratch/copy" "$scratch/samples"
    cp -r "$scratch/run" "$scratch/copy"
    target=$scratch/copy/$file
    [ -e "$target" ] || continue
    size=$(stat -c %s "$target")
    case $damage in
      empty) : >"$target" ;;
      half) truncate -s $((size / 2)) "$target" ;;
      flip) printf '\377' | dd of="$target" bs=1 seek=$((RANDOM * size / 32768)) conv=notrunc status=none ;;
      zeros) head -c "$size" /dev/zero >"$target" ;;
      fifo) rm "$target" && mkfifo "$target" ;;
      folder) rm "$target" && mkdir "$target" ;;
      gone) rm "$target" ;;
      brackets) head -c 200000 /dev/zero | tr '\0' '[' >"$target" ;;
    esac
    attempt 60 "$program" inspect "$scratch/copy"
    attempt 60 "$program" sample --run "$scratch/copy" --out "$scratch/samples" --seeds 0-1 --sample.steps 1
    attempt 60 "$program" "${tiny[@]}" --total_images 80 --out "$scratch/copy"
  done
done

begin descriptors 5
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-' '>/dev/full' '2>/dev/full'; do
  in_time || break
  rm -rf "$scratch/closed"
  attempt 60 bash -c "'$program' ${tiny[*]} --total_images 32 --out '$scratch/closed' $closed"
  [ -s "$scratch/closed/state.safetensors" ] || bad "no state with $closed"
done

begin signals 15
for signal in INT TERM HUP; do
  for reader in 'tee /dev/null' 'head -n 1' 'true' 'sleep 0.3'; do
    in_time || break 2
    rm -rf "$scratch/stopped"
    tried[$part]=$((tried[$part] + 1))
    ( exec setsid bash -c "'$program' ${tiny[*]} --total_images 100000000 --grid_images 0 --checkpoint_images 100000000 \
        --out '$scratch/stopped' 2>&1 & echo \$! >'$scratch/pid'; wait" | $reader >/dev/null 2>&1 ) &
    job=$!
    for _ in $(seq 500); do [ -s "$scratch/stopped/stats.jsonl" ] && break; sleep 0.05; done
    sleep 0.5
    kill -"$signal" "$(cat "$scratch/pid")" 2>/dev/null
    for _ in $(seq 400); do kill -0 "$(cat "$scratch/pid")" 2>/dev/null || break; sleep 0.05; done
    if kill -0 "$(cat "$scratch/pid")" 2>/dev/null; then
      bad "$signal through $reader: still running"
      kill -KILL "$(cat "$scratch/pid")"
    fi
    wait $job
    [ -s "$scratch/stopped/state.safetensors" ] || bad "$signal through $reader: nothing saved"
  done
done

begin openmp 10
for setting in OMP_THREAD_LIMIT=1 OMP_THREAD_LIMIT=3 OMP_DYNAMIC=true OMP_MAX_ACTIVE_LEVELS=0 OMP_NUM_THREADS=1 \
  OMP_NUM_THREADS=64 OMP_PROC_BIND=true OMP_NESTED=true OMP_SCHEDULE=static OMP_STACKSIZE=16M; do
  for precision in fp32 bf16; do
    in_time || break 2
    rm -rf "$scratch/threads"
    attempt 60 env "$setting" "$program" "${tiny[@]}" --precision $precision --threads 4 --total_images 32 --out "$scratch/threads"
  done
done

begin faults 20
if [ -x "$tests" ]; then
  tried[$part]=$(timeout -k 5 $((seconds * 20 / 100)) env UVIC_FAULTS_ALL=1 "$tests" '[faults]' -d yes >"$scratch/faults" 2>&1
                 code=$?
                 [ $code -eq 0 ] || [ $code -eq 124 ] || echo failed >"$scratch/faults-failed"
                 grep -c . "$scratch/faults")
  if [ -e "$scratch/faults-failed" ]; then bad "see below"; cat "$scratch/faults" >&2; fi
fi

printf '\n%-12s %9s %9s\n' part attempts failures
wrong=0
for part in numbers tampered descriptors signals openmp faults; do
  printf '%-12s %9s %9s\n' $part "${tried[$part]:-0}" "${failed[$part]:-0}"
  [ "${failed[$part]:-0}" -eq 0 ] || wrong=1
done
exit $wrong
