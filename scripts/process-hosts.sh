#!/usr/bin/env bash
# Two hosts as two network namespaces with a pair of virtual interfaces. Needs root and iproute2. Trains on both and compares the
# state with that of --processes 2. Then, each in a training of its own: cuts the link in mid-training, kills a rank, stops a rank
# (SIGSTOP), starts a rank after the timeout, starts a third rank of two, and takes the port first. Checks that all processes end
# within the timeout with a code other than 0 and one line at most, and that the checkpoint before is there and continues.
#   scripts/process-hosts.sh [PROGRAM [TIMEOUT_SEC]]      default: build/release/bin/uvic 20
set -uo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-build/release/bin/uvic}")
timeout=${2:-20}
scratch=$(mktemp -d)
a=uvic-a-$$ b=uvic-b-$$
clean() {
  ip netns del $a 2>/dev/null
  ip netns del $b 2>/dev/null
  rm -rf "$scratch"
}
trap clean EXIT
export UVIC_ROOT=${UVIC_ROOT:-$PWD}

ip netns add $a && ip netns add $b && ip -n $a link add veth0 type veth peer name veth0 netns $b || exit 1
ip -n $a addr add 10.77.0.1/24 dev veth0
ip -n $b addr add 10.77.0.2/24 dev veth0
for host in $a $b; do ip -n $host link set lo up; ip -n $host link set veth0 up; done

train=(train --data procedural --batch_size 16 --dataset.image_size 8 --dataset.procedural_images 100 --model.img_size 8
       --model.patch_size 2 --model.embed_dim 16 --model.depth 2 --model.num_heads 2 --model.num_classes 10 --log_images 160
       --checkpoint_images 160 --grid_images 0 --precision fp32 --threads 1 --timeout_sec "$timeout")
on() {  # HOST RANK OUT IMAGES; becomes the program: its process number is the one to send signals to
  exec ip netns exec "$1" env RANK="$2" WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500 \
    "$program" "${train[@]}" --total_images "$4" --out "$3"
}
# The tensors of a state, without the header, whose metadata holds times.
tensors() { tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1" | sha256sum; }
wrong=0

on $b 1 "$scratch/b" 640 2>"$scratch/err-b" &
other=$!
(on $a 0 "$scratch/a" 640) 2>"$scratch/err-a" || { cat "$scratch/err-a"; wrong=1; }
wait $other || { cat "$scratch/err-b"; wrong=1; }
"$program" "${train[@]}" --total_images 640 --processes 2 --out "$scratch/one" 2>/dev/null || wrong=1
if [ "$(tensors "$scratch/a/state.safetensors")" = "$(tensors "$scratch/one/state.safetensors")" ]; then
  echo "two hosts: the state has the bits of --processes 2"
else
  echo "two hosts: other bits than --processes 2"
  wrong=1
fi

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
# expect NAME SINCE_MS LIMIT_MS PID...: each PID ends with a code other than 0, LIMIT_MS after SINCE_MS at most.
expect_end() {
  local name=$1 since=$2 limit=$3 pid
  shift 3
  for pid in "$@"; do
    while kill -0 "$pid" 2>/dev/null && [ $(($(milliseconds) - since)) -lt $((limit + 10000)) ]; do sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null && { echo "$name: hangs"; wrong=1; }
    wait "$pid" && { echo "$name: code 0"; wrong=1; }
  done
  local took=$(($(milliseconds) - since)) host lines
  [ $took -le "$limit" ] || { echo "$name: took longer than $limit ms"; wrong=1; }
  echo "$name: ended after $took ms"
  for host in a b; do
    lines=$(grep -c '^uvic:' "$scratch/err-$host")
    [ "$lines" -le 1 ] || { echo "$name: $lines lines"; wrong=1; }
    [ "$lines" -eq 0 ] || echo "  host $host: $(grep '^uvic:' "$scratch/err-$host")"
  done
}
# Rank 0 on host a writes the folder NAME, rank 1 is on host b; returns when the first checkpoint is there.
start() {
  on $b 1 "$scratch/b" 100000000 2>"$scratch/err-b" &
  other=$!
  on $a 0 "$scratch/$1" 100000000 2>"$scratch/err-a" &
  first=$!
  for ((i = 0; i < 600; ++i)); do [ -e "$scratch/$1/state.safetensors" ] && break; sleep 0.1; done
}
continues() {  # NAME
  "$program" "${train[@]}" --total_images 100000 --out "$scratch/$1" --dry_run >/dev/null 2>&1 && [ -s "$scratch/$1/state.safetensors" ] ||
    { echo "$1: does not continue"; wrong=1; }
}
whole=$((1000 * timeout + 3000))  # the timeout, and what it takes to end

start cut
since=$(milliseconds)
ip -n $a link set veth0 down
expect_end "link cut" "$since" $whole $first $other
continues cut
ip -n $a link set veth0 up
sleep 1

start killed
since=$(milliseconds)
kill -KILL $other
expect_end "rank 1 killed" "$since" $whole $first $other
continues killed

start stopped
since=$(milliseconds)
kill -STOP $other
expect_end "rank 1 stopped: rank 0" "$since" $whole $first
kill -CONT $other
expect_end "rank 1 stopped and continued: rank 1" "$(milliseconds)" $whole $other
continues stopped

since=$(milliseconds)
: >"$scratch/err-b"
on $a 0 "$scratch/late" 640 2>"$scratch/err-a" &
expect_end "rank 1 does not come: rank 0" "$since" $((whole + 5000)) $!
since=$(milliseconds)
: >"$scratch/err-a"
on $b 1 "$scratch/b" 640 2>"$scratch/err-b" &
expect_end "rank 1 comes when rank 0 has gone" "$since" $((whole + 5000)) $!
[ ! -e "$scratch/late/state.safetensors" ] || { echo "late: a state was written"; wrong=1; }

start third
since=$(milliseconds)
ip netns exec $b env RANK=1 WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500 "$program" "${train[@]}" \
  --total_images 100000000 --out "$scratch/b" 2>"$scratch/err-third" && { echo "a second rank 1: code 0"; wrong=1; }
echo "a second rank 1: refused after $(($(milliseconds) - since)) ms: $(grep '^uvic:' "$scratch/err-third")"
kill -0 $first 2>/dev/null && kill -0 $other 2>/dev/null || { echo "a second rank 1: the job ended"; wrong=1; }
since=$(milliseconds)
kill -TERM $other
expect_end "SIGTERM to rank 1" "$since" $whole $first $other
continues third

ip netns exec $a python3 -c 'import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 29500)); s.listen(); time.sleep(600)' &
taker=$!
sleep 1
since=$(milliseconds)
: >"$scratch/err-b"
on $a 0 "$scratch/taken" 640 2>"$scratch/err-a" &
expect_end "port taken: rank 0" "$since" $whole $!
kill $taker
wait $taker 2>/dev/null

[ $wrong -eq 0 ] && echo "right"
exit $wrong
