#!/usr/bin/env bash
# Two hosts as two network namespaces with a pair of virtual interfaces. Needs root and iproute2. Trains on both, compares the
# state with that of --processes 2, then cuts the link in mid-training and checks that both sides end within the timeout.
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
on() {  # HOST RANK OUT IMAGES
  ip netns exec "$1" env RANK="$2" WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500 \
    "$program" "${train[@]}" --total_images "$4" --out "$3"
}
# The tensors of a state, without the header, whose metadata holds times.
tensors() { tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1" | sha256sum; }
wrong=0

on $b 1 "$scratch/b" 640 2>"$scratch/err-b" &
other=$!
on $a 0 "$scratch/a" 640 2>"$scratch/err-a" || { cat "$scratch/err-a"; wrong=1; }
wait $other || { cat "$scratch/err-b"; wrong=1; }
"$program" "${train[@]}" --total_images 640 --processes 2 --out "$scratch/one" 2>/dev/null || wrong=1
if [ "$(tensors "$scratch/a/state.safetensors")" = "$(tensors "$scratch/one/state.safetensors")" ]; then
  echo "two hosts: the state has the bits of --processes 2"
else
  echo "two hosts: other bits than --processes 2"
  wrong=1
fi

on $b 1 "$scratch/b" 100000000 2>"$scratch/err-b" &
other=$!
on $a 0 "$scratch/cut" 100000000 2>"$scratch/err-a" &
first=$!
for ((i = 0; i < 600; ++i)); do [ -e "$scratch/cut/state.safetensors" ] && break; sleep 0.1; done
begin=$(date +%s%N)
ip -n $a link set veth0 down
wait $first && wrong=1
echo "link cut: rank 0 ended after $((($(date +%s%N) - begin) / 1000000)) ms: $(grep '^uvic:' "$scratch/err-a")"
wait $other && wrong=1
echo "link cut: rank 1 ended after $((($(date +%s%N) - begin) / 1000000)) ms: $(grep '^uvic:' "$scratch/err-b")"
took=$((($(date +%s%N) - begin) / 1000000))
[ $took -le $((1000 * timeout + 3000)) ] || wrong=1
"$program" "${train[@]}" --total_images 100000 --out "$scratch/cut" --dry_run >/dev/null || wrong=1
[ -s "$scratch/cut/state.safetensors" ] || wrong=1
[ $wrong -eq 0 ] && echo "right"
exit $wrong
