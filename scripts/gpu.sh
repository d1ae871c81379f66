#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, PyTorch 2.x (its wheel's LibTorch), nvcc, CMake and ninja, but none of our other packages
# and no network: builds, tests on CPU and GPU, and measures, in under 9 minutes.
#   scripts/gpu-fetch.sh                              beforehand, where there is a network
#   scripts/gpu.sh [--out FOLDER] [--debs FOLDER]     default: $OUT or build/gpu-out; .gpu
#   scripts/gpu.sh --train SECONDS --data PATH [...]  afterwards: U-ViT-S/2 and U-ViC-S/2 on these images, equally many;
#                                                     `--data procedural` needs no files (CIFAR-10 as a zip and .gpu are
#                                                     together more than 64 MiB, where that is all that may travel)
# Every stage has its own time limit, log and exit code, and a stage that fails stops none that does not need it. What the
# time did not suffice for is left out; a second call builds nothing twice and gets further. FOLDER receives gpu.json with
# all numbers, logs.tar.gz and of each training its stats, log and last grid; the exit code is 1 if a stage failed.
# A rehearsal without a GPU: UVIC_GPU_SH_CUDA=OFF, UVIC_GPU_SH_TORCH=FOLDER (of LibTorch's include/ and lib/; empty: what
# CMake finds), UVIC_GPU_SH_PATIENCE=N.
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
    *) sed -n '2,13p' "$0" >&2; exit 2 ;;
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
# cuDNN loads NVRTC by name while it runs; `import torch` has loaded it before from the wheels next to PyTorch's, our
# programs find it here.
wheels=$("$python" -c 'import importlib.util, os; print(os.path.dirname(os.path.dirname(importlib.util.find_spec("torch").origin)))' \
  2> /dev/null)
wheel_libraries=$(printf '%s:' "$wheels"/nvidia/*/lib)
[ -d "${wheel_libraries%%:*}" ] || wheel_libraries=
unset UVIC_REQUIRE_GPU

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
# The same in the background; `wait` collects it.
stage_beside() { stage "$@" & }
# Only our own programs see Debian's libraries: Python and nvcc keep theirs.
libraries=$prefix/usr/lib/x86_64-linux-gnu
ours() {
  env LD_LIBRARY_PATH="$wheel_libraries$libraries:$libraries/blas:$libraries/lapack${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
    OMP_WAIT_POLICY=passive $attention_setting "$@"
}
attention_setting=
export -f ours
export libraries wheel_libraries attention_setting

unpack() {
  local deb
  ls "$debs"/*.deb > /dev/null || { echo "no packages in $debs; run scripts/gpu-fetch.sh where there is a network"; return 1; }
  mkdir -p "$prefix"
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$prefix" || ar p "$deb" data.tar.xz | tar -xJ -C "$prefix" || return 1; done
}
configure() {
  local torch architecture config linking
  torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') || return 1
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -1 | tr -d .)
  [ "$architecture" = 90 ] && architecture=90a
  config=$libraries/cmake
  # The old kind of run path serves the libraries' own libraries too: the build runs each test program to list its tests,
  # outside `ours`.
  linking="-Wl,--disable-new-dtags -Wl,-rpath,$libraries:$libraries/blas:$libraries/lapack -Wl,--allow-shlib-undefined"
  cmake -S . -B "$build/tree" -G Ninja -DCMAKE_BUILD_TYPE=Release -DUVIC_CUDA=${UVIC_GPU_SH_CUDA:-ON} \
    -DUVIC_TORCH_ROOT="${UVIC_GPU_SH_TORCH-$torch}" -DCMAKE_PREFIX_PATH="$prefix/usr" -DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu \
    -Dfmt_DIR="$config/fmt" -Dnlohmann_json_DIR="$prefix/usr/share/cmake/nlohmann_json" \
    -DCLI11_DIR="$(dirname "$(find "$prefix/usr" -name CLI11Config.cmake | head -1)")" \
    -DCatch2_DIR="$(dirname "$(find "$prefix/usr" -name Catch2Config.cmake | head -1)")" \
    -DOPENCV_INCLUDE_DIR="$prefix/usr/include/opencv4" \
    -DOPENCV_CORE_LIBRARY="$libraries/libopencv_core.so" -DOPENCV_IMGPROC_LIBRARY="$libraries/libopencv_imgproc.so" \
    -DLIBZIP_INCLUDE_DIR="$prefix/usr/include" -DLIBZIP_LIBRARY="$libraries/libzip.so" \
    -DWEBP_INCLUDE_DIR="$prefix/usr/include" -DWEBP_LIBRARY="$libraries/libwebp.so" \
    -DSTB_INCLUDE_DIR="$prefix/usr/include/stb" \
    -DCMAKE_EXE_LINKER_FLAGS="$linking" -DUVIC_WERROR=OFF -DUVIC_UNITY=ON -DUVIC_CUDA_ARCHITECTURES="${architecture:-90a}"
}
kernels_build() {
  local nvcc source objects=() jobs=() job
  nvcc=$(command -v nvcc) || { echo "no nvcc on the PATH or in /usr/local/cuda/bin"; return 1; }
  [ -z "$(find bench/gpu model/kernels -newer "$build/attention_gpu" 2>&1)" ] && return 0
  for source in bench/gpu/attention_gpu.cu model/kernels/cuda/attention_cuda.cu model/kernels/cuda/attention_cuda_grad.cu; do
    objects+=("$build/$(basename "$source").o")
    "$nvcc" -std=c++17 -O3 -I. -gencode=arch=compute_90a,code=sm_90a -c "$source" -o "${objects[-1]}" & jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || return 1; done
  "$nvcc" "${objects[@]}" -o "$build/attention_gpu"
}
have_kernels() { [ -x "$build/attention_gpu" ] || { echo "no $build/attention_gpu: see kernels_build"; return 1; }; }
kernels() { have_kernels && "$build/attention_gpu" > "$out/kernels.json"; }
# What is here, as far as the tools for it are; fails where there is no PyTorch.
machine() {
  nvidia-smi
  nvcc --version
  lscpu | head -20
  free -g
  df -h "$build"
  ldconfig -p | grep -E 'nvrtc|cudnn|cudart'
  echo "wheels' libraries: $wheel_libraries"
  readelf -d "$wheels/torch/lib/libtorch_cuda.so" | grep -E 'R(UN)?PATH|NEEDED'
  "$python" - <<'PY'
import torch
print(torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version(),
      "C++11 ABI", torch.compiled_with_cxx11_abi())
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "PyTorch sees no GPU")
PY
}
gpu_tests() { UVIC_REQUIRE_GPU=1 ours "$build/tree/tests/gpu/gpu_test" -d yes; }
sanitizers() {
  local tool
  have_kernels || return 1
  command -v compute-sanitizer || { echo "no compute-sanitizer here"; return 0; }
  for tool in memcheck racecheck; do
    compute-sanitizer --tool $tool --error-exitcode 1 "$build/attention_gpu" --quick || return 1
  done
}
bench() {
  ours "$build/tree/bin/uvic" bench --device cuda --precision bf16 --seconds 3 --tokens 64,257,1025,4096 --plain=false "$@"
}
# As where there is no GPU: the tests run side by side, and expect the CPU where they name no device. CTest keeps its own
# libraries, the programs that it runs know where theirs are.
run_tests() {
  (cd "$build/tree" && CUDA_VISIBLE_DEVICES= ctest -j "$cores" --no-tests=error --output-on-failure --timeout $((120 * patience)))
}
# The runs stay here, their checkpoints are large; FOLDER gets what is read.
training() {
  local name
  rm -rf "$build/runs"
  for name in uvit uvic; do
    ours "$build/tree/bin/uvic" train --config "configs/cifar10_${name}_small.toml" --data "$data" --out "$build/runs/$name" \
      --device cuda --workers "$((cores > 6 ? cores - 4 : 2))" --total_images "$1" --checkpoint_images "$1" \
      --grid_images "$1" --sample.sampler dpm_solver_pp --sample.steps 50 || return 1
  done
}
keep_of_runs() {
  local run name file
  for run in "$build"/runs/*/; do
    name=$(basename "$run")
    for file in stats.jsonl log.txt; do cp "$run/$file" "$out/$name-$file"; done
    file=$(ls "$run"/grids/*.png | tail -n 1)
    [ -z "$file" ] || cp "$file" "$out/$name-grid.png"
  done
}
export -f unpack configure kernels_build have_kernels kernels machine gpu_tests sanitizers bench run_tests training
export root out debs build prefix logs python cores patience data wheels

stage machine 60 machine
[ "$train" != 0 ] || stage_beside kernels_build 150 kernels_build
configured() { [ -e "$build/tree/build.ninja" ] || { stage unpack 30 unpack && stage configure 60 configure; }; }
configured && stage build_program 240 'cmake --build "$build/tree" -j "$cores" --target uvic gpu_test'
wait
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
  stage training "$train" "training ${images:-0}"
  keep_of_runs 2> /dev/null
else
  # After a build of about 150 s all but the tests on the CPU fit; those get what is left, or a second call.
  stage kernels 40 kernels
  if ! stage gpu_tests 60 gpu_tests; then
    # Where cuDNN's attention finds no plan after all, PyTorch's other kernels serve.
    attention_setting=TORCH_CUDNN_SDPA_DEPRIORITIZED=1
    stage gpu_tests_again 60 gpu_tests
  fi
  stage bench_step 45 'bench --parts step,evaluation,sampling --batch_size 256 --json "$out/bench_step.json"'
  stage bench_kernels 45 'bench --parts attention,products --batch_size 64 --json "$out/bench_kernels.json"'
  stage peer_quick 50 '"$python" bench/peer/gpu_peer.py --parts ceilings,attention --out "$out/peer.json"'
  stage peer_step 90 '"$python" bench/peer/gpu_peer.py --parts step --out "$out/peer_step.json"'
  stage sanitizers 40 sanitizers
  stage build_tests 150 'cmake --build "$build/tree" -j "$cores"'
  stage cpu_tests 120 run_tests
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
