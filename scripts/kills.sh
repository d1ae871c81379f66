#!/usr/bin/env bash
# Kills the built program by SIGKILL at random moments, runs the same command again, and compares what it leaves with that of
# a command which was never killed, byte by byte. What holds times or random ids is compared without these: safetensors
# without their metadata, JSON without its times, speeds, ids and hashes of files that hold ids (also the
# fingerprint of a folder of samples). Left out are log.txt, run.json and compare's report, which is made from the scores. Needs
# python3.
#   scripts/kills.sh [KILLS [PROGRAM [COMMANDS]]]      default: 200 build/release/bin/uvic, all commands
# KILLS are divided among all commands; COMMANDS, such as "sample fid", runs only the shares of these.
set -uo pipefail
cd "$(dirname "$0")/.."
kills=${1:-200}
program=$(realpath "${2:-build/release/bin/uvic}")
commands=${3:-train shards sample fid compare dataset convert}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export OMP_WAIT_POLICY=passive UVIC_ROOT=${UVIC_ROOT:-$PWD}

tiny=(--data procedural --batch_size 16 --dataset.image_size 8 --dataset.procedural_images 100 --model.img_size 8
      --model.patch_size 2 --model.embed_dim 16 --model.depth 2 --model.num_heads 2 --model.num_classes 10 --log_images 16
      --grid_count 4 --sample.steps 2 --precision fp32)
long=(--total_images 640 --checkpoint_images 64 --grid_images 128)

# The commands, in a folder of their own; ../run and ../set.zip are there. KILLS in 200 of each.
declare -A command=(
  [train]="train ${tiny[*]} ${long[*]} --out out"
  [shards]="train ${tiny[*]} ${long[*]} --shards 2 --threads 2 --out out"
  [sample]="sample --run ../run --seeds 0-63 --sample.steps 4 --out out"
  [fid]="fid --images procedural --num_images 400 --metrics fd,kid --save_features features.npz"
  [compare]="compare --config a.toml --config b.toml --data procedural --score_count 32 --num_ref 64 --out out"
  [dataset]="dataset procedural set.zip --num_images 600 --overwrite"
  [convert]="convert ../run weights.pth --overwrite"
)
declare -A share=([train]=55 [shards]=45 [sample]=30 [fid]=20 [compare]=25 [dataset]=15 [convert]=10)

toml() {  # ATTENTION
  printf 'batch_size = 16\ntotal_images = 64\nlog_images = 16\ncheckpoint_images = 32\ngrid_images = 0\nprecision = "fp32"\n'
  printf '[dataset]\nimage_size = 8\nprocedural_images = 100\n[model]\nimg_size = 8\npatch_size = 2\nembed_dim = 16\n'
  printf 'depth = 2\nnum_heads = 2\nnum_classes = 10\nattention = "%s"\n[sample]\nsteps = 2\n' "$1"
}
prepare() {  # FOLDER
  mkdir -p "$1"
  toml softmax >"$1/a.toml"
  toml cog >"$1/b.toml"
}

volatile='"[a-z_]*(created|_sec|seconds|_mib|run_id|sha256)[a-z_]*": ?("[^"]*"|[-0-9.e+]+|null),?'
# An image names its run and the hash of its checkpoint, a file with times in it: its chunks without these, and without checksums.
png_without_ids='import hashlib, re, sys
data = open(sys.argv[1], "rb").read()
at, kept = 8, []
while at < len(data):
    size = int.from_bytes(data[at:at + 4], "big")
    kept.append(re.sub(rb"\"(run_id|checkpoint_sha256)\":\"[0-9a-f]*\"", b"", data[at + 4:at + 8 + size]))
    at += 12 + size
print(hashlib.sha256(b"|".join(kept)).hexdigest())'
# A line a file: its name and what of it has to be the same.
summary() {
  (cd "$1" && find . -type f ! -name '.*' ! -name '*.toml' ! -name log.txt ! -name run.json ! -name 'report.*' \
    ! -name '*_by_time.svg' | LC_ALL=C sort) |
    while read -r file; do
      local path=$1/$file
      case $file in
        *.tmp) echo "$file" ;;
        *.safetensors) echo "$file $(tail -c +$((9 + $(od -An -tu8 -N8 "$path"))) "$path" | sha256sum)" ;;
        *.png) echo "$file $(python3 -c "$png_without_ids" "$path")" ;;
        *.jsonl | *.json)
          echo "$file $(sed -E "s/$volatile|content=[0-9a-f]+//g; /^ *\$/d" "$path" | sha256sum)" ;;
        *) echo "$file $(sha256sum <"$path")" ;;
      esac
    done
}

for name in $commands; do
  [ -n "${share[$name]:-}" ] || { echo "$name: none of ${!share[*]}" >&2; exit 2; }
done
(cd "$scratch" && "$program" train "${tiny[@]}" --total_images 64 --checkpoint_images 64 --out run) 2>"$scratch/err" ||
  { cat "$scratch/err" >&2; exit 1; }

total=0 wrong=0 late=0
printf '%-8s %6s %6s %6s   seconds of a whole run\n' command killed late wrong
for name in $commands; do
  prepare "$scratch/$name-whole"
  begin=$(date +%s%N)
  (cd "$scratch/$name-whole" && "$program" ${command[$name]}) >"$scratch/err" 2>&1 || { cat "$scratch/err" >&2; exit 1; }
  took_ms=$((($(date +%s%N) - begin) / 1000000))
  summary "$scratch/$name-whole" >"$scratch/expected"
  count=$(((share[$name] * kills + 100) / 200)) killed=0 missed=0 different=0
  while [ $killed -lt $count ] && [ $missed -lt $((5 * count + 5)) ]; do
    folder=$scratch/$name
    rm -rf "$folder"
    prepare "$folder"
    (cd "$folder" && exec "$program" ${command[$name]}) >"$scratch/err" 2>&1 &
    job=$!
    wait_ms=$((RANDOM * RANDOM % took_ms))
    sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
    if kill -KILL $job 2>/dev/null; then killed=$((killed + 1)); else missed=$((missed + 1)); fi
    wait $job 2>/dev/null
    if ! (cd "$folder" && "$program" ${command[$name]}) >"$scratch/err" 2>&1; then
      echo "$name, killed after $wait_ms ms: the command then fails: $(tail -n 1 "$scratch/err")" >&2
      different=$((different + 1))
    elif ! summary "$folder" | diff "$scratch/expected" - >"$scratch/difference"; then
      echo "$name, killed after $wait_ms ms: other bytes: $(grep -m 2 '^[<>]' "$scratch/difference" | tr '\n' ' ')" >&2
      different=$((different + 1))
    fi
  done
  printf '%-8s %6d %6d %6d   %s\n' "$name" $killed $missed $different "$((took_ms / 1000)).$((took_ms % 1000 / 100))"
  total=$((total + killed)) wrong=$((wrong + different)) late=$((late + missed))
done
echo "$total kills, $wrong wrong ($late more came when the program had ended)"
[ $wrong -eq 0 ]
