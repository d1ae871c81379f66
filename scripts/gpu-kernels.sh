#!/usr/bin/env bash
# Compiles the CUDA kernels with nvcc, no LibTorch and no GPU needed, and prints what ptxas says of each instance.
#   scripts/gpu-kernels.sh [--quick] [FOLDER]    default folder: build/kernels
# --quick stops before ptxas and does not optimise device code (Hopper alone): does nvcc take the source?
# Exit code 1 where an instance spills registers or the source does not compile, 77 where there is no nvcc.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=0
if [ "${1:-}" = --quick ]; then quick=1; shift; fi
out=${1:-build/kernels}
mkdir -p "$out"

nvcc=
for candidate in "${CUDACXX:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
  if [ -n "$candidate" ] && [ -x "$candidate" ]; then nvcc=$candidate; break; fi
done
if [ -z "$nvcc" ]; then
  echo "skipped: no nvcc in CUDACXX, on the PATH or in /usr/local/cuda/bin"
  exit 77
fi
sources=(model/kernels/cuda/{attention_cuda,attention_cuda_grad,attention_causal,attention_causal_grad,optimizer_cuda,row_cuda}.cu)
options=(-std=c++17 -O3 -I. --Werror all-warnings)

if [ $quick = 1 ]; then
  for source in "${sources[@]}"; do
    "$nvcc" "${options[@]}" -arch=compute_90a -Xcicc -O0 -ptx "$source" -o "$out/$(basename "$source" .cu).ptx"
  done
  echo "compiled: ${sources[*]}"
  exit 0
fi

for architecture in 80 90a; do
  for source in "${sources[@]}"; do
    name=$(basename "$source" .cu).sm_$architecture
    "$nvcc" "${options[@]}" -gencode="arch=compute_$architecture,code=sm_$architecture" -Xptxas -v \
      -c "$source" -o "$out/$name.o" 2> "$out/$name.txt" || { cat "$out/$name.txt" >&2; exit 1; }
  done
done

# One line for each instance: the mangled names carry element type, kind (0 softmax, 1 Cog), padded head width and, last, whether
# it is causal.
printf '%-7s %-24s %-5s %-8s %-6s %5s  %9s  %6s\n' target kernel type weights mask width registers spills
cat "$out"/*.sm_*.txt | awk '
  /Compiling entry function/ {
    split($0, quoted, "\047"); name = quoted[2]; target = quoted[4]
    match(name, /[a-z_]+_kernel/); kernel = substr(name, RSTART, RLENGTH - 7)
    sub(/^[a-z]*[0-9]+/, "", kernel)
    type = name ~ /Bf16/ ? "bf16" : name ~ /Fp16/ ? "fp16" : "-"
    kind = name ~ /ScoreKindE0/ ? "softmax" : name ~ /ScoreKindE1/ ? "cog" : "-"
    width = "-"
    if (match(name, /ScoreKindE[01]ELi[0-9]+/)) width = substr(name, RSTART + 14, RLENGTH - 14)
    mask = kind == "-" ? "-" : name ~ /Lb1EEEEEv/ ? "causal" : "full"
  }
  /bytes spill stores/ { spills = $(NF - 7) }
  /Used [0-9]+ registers/ {
    match($0, /Used [0-9]+/); used = substr($0, RSTART + 5, RLENGTH - 5)
    printf "%-7s %-24s %-5s %-8s %-6s %5s  %9s  %6s\n", target, kernel, type, kind, mask, width, used, spills
    bad += spills > 0
  }
  END { exit bad > 0 }' | sort > "$out/table.txt" || { cat "$out/table.txt"; echo "registers spill"; exit 1; }
cat "$out/table.txt"
