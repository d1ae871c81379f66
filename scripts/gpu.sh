#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, PyTorch 2.x (its wheel's LibTorch), nvcc, CMake and ninja, but none of our other packages
# and no network: builds, tests on CPU and GPU, and measures, in under 9 minutes.
#   scripts/gpu-fetch.sh                              beforehand, where there is a network
#   scripts/gpu.sh [--out FOLDER] [--debs FOLDER]     default: $OUT or build/gpu-out; .gpu
#   scripts/gpu.sh --train SECONDS --data PATH [...]  afterwards: U-ViT-S/2 and U-ViC-S/2 on these pictures, equal images
# Every stage has its own time limit, log and exit code, and a stage that fails stops none that does not need it. FOLDER
# receives gpu.json with all numbers and logs.tar.gz; the exit code is 1 if a stage failed.
# A rehearsal without a GPU: UVIC_GPU_SH_CUDA=OFF, UVIC_GPU_SH_TORCH=FOLDER (of LibTorch), UVIC_GPU_SH_PATIENCE=N.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=${OUT:-$root/build/gpu-out}
debs=$root/.gpu
train=0
data=
patience=${UVIC_GPU_SH_PATIENCE:-1}  # factor on every time limit, for rehearsals on small machines
budget=$((525 * patience))           # seconds for all stages
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=$2; shift 2 ;;
    --debs) debs=$2; shift 2 ;;
    --train) train=$2; shift 2 ;;
    --data) data=$2; shift 2 ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
  esac
done
build=$root/build/gpu
prefix=$build/prefix
logs=$build/logs
mkdir -p "$out" "$build" "$logs"
rm -f "$logs"/*
: > "$logs/stages.tsv"
python=$(command -v python3)
export PATH=$PATH:/usr/local/cuda/bin
cores=$(nproc)

# stage NAME SECONDS TEXT: runs the shell text under a time limit, its log apart, its exit code and seconds kept.
stage() {
  local name=$1 limit=$(($2 * patience)) begin=$SECONDS code left=$((budget - SECONDS))
  shift 2
  echo "== $name"
  if [ $left -lt 10 ]; then
    echo "   left out: the time is up"
    printf '%s\t%d\t%d\n' "$name" 124 0 >> "$logs/stages.tsv"
    return 124
  fi
  [ "$limit" -le $left ] || limit=$left
  timeout --kill-after=5 "$limit" bash -uo pipefail -c "$*" > "$logs/$name.log" 2>&1
  code=$?
  printf '%s\t%d\t%d\n' "$name" "$code" $((SECONDS - begin)) >> "$logs/stages.tsv"
  [ $code = 0 ] || { echo "   exit code $code; the end of its log:"; tail -n 15 "$logs/$name.log" | sed 's/^/   /'; }
  return $code
}
# The same beside the others; `wait` collects it.
stage_beside() { stage "$@" & }
# Only our own programs see Debian's libraries: Python and nvcc keep theirs.
libraries=$prefix/usr/lib/x86_64-linux-gnu
ours() {
  env LD_LIBRARY_PATH="$libraries:$libraries/blas:$libraries/lapack${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" OMP_WAIT_POLICY=passive "$@"
}
export -f ours
export libraries

unpack() {
  local deb
  ls "$debs"/*.deb > /dev/null || { echo "no packages in $debs; run scripts/gpu-fetch.sh where there is a network"; return 1; }
  mkdir -p "$prefix"
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$prefix" || ar p "$deb" data.tar.xz | tar -xJ -C "$prefix" || return 1; done
}
configure() {
  local torch architecture config
  torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') || return 1
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -1 | tr -d .)
  [ "$architecture" = 90 ] && architecture=90a
  config=$libraries/cmake
  cmake -S . -B "$build/tree" -G Ninja -DCMAKE_BUILD_TYPE=Release -DUVIC_CUDA=${UVIC_GPU_SH_CUDA:-ON} \
    -DUVIC_TORCH_ROOT="${UVIC_GPU_SH_TORCH:-$torch}" -DCMAKE_PREFIX_PATH="$prefix/usr" -DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu \
    -Dfmt_DIR="$config/fmt" -Dnlohmann_json_DIR="$prefix/usr/share/cmake/nlohmann_json" \
    -DCLI11_DIR="$(dirname "$(find "$prefix/usr" -name CLI11Config.cmake | head -1)")" \
    -DCatch2_DIR="$(dirname "$(find "$prefix/usr" -name Catch2Config.cmake | head -1)")" \
    -DOPENCV_INCLUDE_DIR="$prefix/usr/include/opencv4" \
    -DOPENCV_CORE_LIBRARY="$libraries/libopencv_core.so" -DOPENCV_IMGPROC_LIBRARY="$libraries/libopencv_imgproc.so" \
    -DLIBZIP_INCLUDE_DIR="$prefix/usr/include" -DLIBZIP_LIBRARY="$libraries/libzip.so" \
    -DSTB_INCLUDE_DIR="$prefix/usr/include/stb" \
    -DCMAKE_EXE_LINKER_FLAGS="-Wl,-rpath-link,$libraries:$libraries/blas:$libraries/lapack -Wl,--allow-shlib-undefined" \
    -DUVIC_UNITY=ON -DUVIC_CUDA_ARCHITECTURES="${architecture:-90a}"
}
kernels() {
  local nvcc source objects=() jobs=() job
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  for source in bench/gpu/attention_gpu.cu model/kernels/attention_cuda.cu model/kernels/attention_cuda_grad.cu; do
    objects+=("$build/$(basename "$source").o")
    "$nvcc" -std=c++17 -O3 -I. -gencode=arch=compute_90a,code=sm_90a -c "$source" -o "${objects[-1]}" & jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || return 1; done
  "$nvcc" "${objects[@]}" -o "$build/attention_gpu" && "$build/attention_gpu" > "$out/kernels.json"
}
machine() {
  nvidia-smi
  nvcc --version
  "$python" -c 'import torch; print(torch.__version__, torch.version.cuda, torch.cuda.get_device_name(), torch._C._GLIBCXX_USE_CXX11_ABI)'
  lscpu | head -20
  free -g
}
sanitizers() {
  local tool
  command -v compute-sanitizer || { echo "no compute-sanitizer here"; return 0; }
  for tool in memcheck racecheck; do
    ours compute-sanitizer --tool $tool --error-exitcode 1 "$build/tree/tests/gpu/gpu_test" "gpu: the kernels at 65 tokens" || return 1
  done
}
bench() {
  ours "$build/tree/bin/uvic" bench --device cuda --precision bf16 --seconds 4 --plain=false "$@"
}
run_tests() { (cd "$build/tree" && ours ctest -j "$cores" --output-on-failure --timeout 120); }
training() {
  local name
  for name in uvit uvic; do
    ours "$build/tree/bin/uvic" train --config "configs/cifar10_${name}_small.toml" --data "$data" --out "$out/$name" \
      --device cuda --total_images "$1" --grid_images 0 --checkpoint_images "$1" || return 1
  done
}
export -f unpack configure kernels machine sanitizers bench run_tests training
export root out debs build prefix logs python cores data

stage machine 30 machine
if [ ! -e "$build/tree/bin/uvic" ]; then
  stage_beside kernels 150 kernels
  stage unpack 60 unpack && stage configure 90 configure && \
    stage build_program 240 'cmake --build "$build/tree" -j "$cores" --target uvic gpu_test'
  wait
fi
if [ "$train" != 0 ]; then
  stage rate 60 'bench --parts step --batch_size 128 --json "$out/rate.json"'
  images=$("$python" - "$out/rate.json" "$train" <<'PY'
import json, re, sys
text = json.dumps(json.load(open(sys.argv[1])))
seconds = [float(x) for x in re.findall(r'"median_sec": ([0-9.e+-]+)', text)]  # of a step of 128 images
print(int(128 / max(seconds) * float(sys.argv[2]) / 2 * 0.8) // 12800 * 12800 if seconds else 0)
PY
)
  budget=$((SECONDS + train + 10))
  stage training "$train" "training $images"
else
  stage gpu_tests 60 'ours "$build/tree/tests/gpu/gpu_test" -d yes'
  stage bench_step 50 'bench --parts step,evaluation,sampling --batch_size 256 --json "$out/bench_step.json"'
  stage bench_kernels 50 'bench --parts attention,products --batch_size 64 --json "$out/bench_kernels.json"'
  stage peer_quick 60 '"$python" bench/peer/gpu_peer.py --parts ceilings,attention --out "$out/peer.json"'
  stage peer_step 110 '"$python" bench/peer/gpu_peer.py --parts step --out "$out/peer_step.json"'
  stage sanitizers 60 sanitizers
  stage build_tests 150 'cmake --build "$build/tree" -j "$cores"'
  stage cpu_tests 90 run_tests
fi

"$python" - "$out" "$logs" <<'PY'
import json, pathlib, sys
out, logs = map(pathlib.Path, sys.argv[1:])
found = {"stages": {}}
for line in (logs / "stages.tsv").read_text().splitlines():
    name, code, seconds = line.split("\t")
    found["stages"][name] = {"exit_code": int(code), "seconds": int(seconds)}
for part in ("kernels", "bench_step", "bench_kernels", "peer", "peer_step", "rate"):
    path = out / f"{part}.json"
    if path.exists():
        try:
            found[part] = json.loads(path.read_text())
        except ValueError as error:
            found[part] = {"error": str(error), "text": path.read_text()[-2000:]}
        path.unlink()
(out / "gpu.json").write_text(json.dumps(found, indent=1))
for name, stage in found["stages"].items():
    print(f"{name:16} exit code {stage['exit_code']:4}  {stage['seconds']:4} s")
times = found.get("kernels", {}).get("times", [])
peers = found.get("peer", {}).get("attention", [])
if isinstance(peers, list):
    for ours in times:
        best = [p["forward_ms"] + p["backward_ms"] for p in peers
                if p["shape"] == ours["shape"] and "error" not in p and p["way"].startswith("softmax")]
        plain = [p["forward_ms"] + p["backward_ms"] for p in peers
                 if p["shape"] == ours["shape"] and "error" not in p and p["way"].startswith("cog")]
        total = ours["forward_ms"] + ours["backward_ms"]
        print(f"{ours['weights']:8} {ours['shape']}: {ours['forward_ms']:.3f} + {ours['backward_ms']:.3f} ms"
              + (f"; PyTorch's best softmax / ours = {min(best) / total:.2f}" if best else "")
              + (f"; plain Cog / ours = {min(plain) / total:.2f}" if plain else ""))
PY
tar -C "$build" -czf "$out/logs.tar.gz" logs
awk -F '\t' '$2 != 0 { bad = 1 } END { exit bad }' "$logs/stages.tsv"
