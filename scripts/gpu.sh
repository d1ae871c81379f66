#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, PyTorch 2.x (its wheel's LibTorch), nvcc, CMake and ninja, but none of our other packages
# and no network: builds, tests and measures, in three parts that each end within their own time.
#   scripts/gpu-fetch.sh                         beforehand, where there is a network: Debian packages into .gpu
#   scripts/gpu.sh contact [OPTIONS]             270 s: builds, kernels against float64, tests/gpu, both networks train,
#                                                sample and resume on the GPU, NCCL with one process, attention next to PyTorch's
#   scripts/gpu.sh measure [OPTIONS]             300 s: steps, evaluations, sampling, features and their PyTorch peers, the
#                                                kernels of one step, loss curves on GPU and CPU, compute-sanitizer
#   scripts/gpu.sh train --data PATH [OPTIONS]   U-ViT-S/2 and U-ViC-S/2, equally many images, each half of --seconds;
#                                                `--data procedural` needs no files
# OPTIONS: --out FOLDER     results (default: $OUT, else build/gpu-out): PART.json, PART-logs.tar.gz, grids
#          --seconds N      time of the part instead of the above
#          --debs FOLDER    default .gpu
#          --only STAGE,... these stages alone
# Every stage has its own time limit, log and exit code, and a stage that fails stops none that does not need it. Results are
# written after every stage. What the time did not suffice for is left out. A second call builds nothing twice. The exit code
# is 1 if a stage failed. A program built elsewhere against the same LibTorch is used if it is in build/gpu/bin and
# build/gpu/bin/sources names the present sources (`scripts/gpu.sh sources` prints that name).
# A rehearsal without a GPU: UVIC_GPU_SH_CUDA=OFF, UVIC_GPU_SH_TORCH=FOLDER (of LibTorch's include/ and lib/; empty: what
# CMake finds), UVIC_GPU_SH_PATIENCE=N.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
part=${1:-}
shift || true
case "$part" in
  contact) seconds=270 ;;
  measure) seconds=300 ;;
  train) seconds=480 ;;
  sources)
    find base data diffusion metrics model app tests/gpu tests/support cmake bench/gpu \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' \
      -o -name '*.cuh' -o -name '*.cmake' -o -name CMakeLists.txt \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
    exit ;;
  *) sed -n '2,22p' "$0" >&2; exit 2 ;;
esac
out=${OUT:-$root/build/gpu-out}
debs=$root/.gpu
data=
only=
patience=${UVIC_GPU_SH_PATIENCE:-1}  # factor on every time limit, for rehearsals on small machines
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=$2; shift 2 ;;
    --debs) debs=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --data) data=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) sed -n '2,22p' "$0" >&2; exit 2 ;;
  esac
done
[ "$part" != train ] || [ -n "$data" ] || { echo "gpu.sh train: --data PATH is missing (or --data procedural)" >&2; exit 2; }
budget=$((seconds * patience))
build=$root/build/gpu
prefix=$build/prefix
logs=$build/$part-logs
mkdir -p "$out" "$build" "$logs"
rm -rf "${logs:?}"/*
: > "$logs/stages.tsv"
python=$(command -v python3)
export PATH=$PATH:/usr/local/cuda/bin
cores=$(nproc)
# cuDNN loads NVRTC by name while it runs; `import torch` has loaded it before from the wheels next to PyTorch's, our
# programs find it here.
torch=$("$python" -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))' 2> /dev/null)
wheels=$(dirname "${torch:-/none/torch}")
wheel_libraries=$torch/lib:$(printf '%s:' "$wheels"/nvidia/*/lib)
[ -d "$torch/lib" ] || wheel_libraries=
unset UVIC_REQUIRE_GPU

collect() { "$python" "$root/bench/gpu/collect.py" "$part" "$out" "$logs"; }
# stage NAME SECONDS TEXT: runs the shell text under a time limit, its log in a file of its own, its exit code and seconds kept.
stage() {
  local name=$1 limit=$(($2 * patience)) begin=$SECONDS code left=$((budget - SECONDS))
  shift 2
  case ",$only," in ,,) ;; *",$name,"*) ;; *) return 0 ;; esac
  echo "== $name ($SECONDS s)"
  if [ $left -lt 8 ]; then
    echo "   left out: the time is up"
    printf '%s\t%d\t%d\n' "$name" 124 0 >> "$logs/stages.tsv"
    return 124
  fi
  [ "$limit" -le $left ] || limit=$left
  timeout --kill-after=5 "$limit" bash -uo pipefail -c "$*" > "$logs/$name.log" 2>&1
  code=$?
  printf '%s\t%d\t%d\n' "$name" "$code" $((SECONDS - begin)) >> "$logs/stages.tsv"
  if [ $code != 0 ]; then
    echo "   exit code $code; errors, then the end of its log:"
    { grep -nE 'error|Error|FAILED|undefined' "$logs/$name.log" | head -n 12; tail -n 15 "$logs/$name.log"; } | cut -c1-300 | sed 's/^/   /'
  fi
  collect > /dev/null 2>&1
  return $code
}
# Only our own programs see Debian's libraries: Python and nvcc keep theirs.
libraries=$prefix/usr/lib/x86_64-linux-gnu
ours() {
  env LD_LIBRARY_PATH="$wheel_libraries$libraries:$libraries/blas:$libraries/lapack${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
    OMP_WAIT_POLICY=passive $attention_setting "$@"
}
attention_setting=
sources=$("$root/scripts/gpu.sh" sources)
# The programs: built here, or brought along.
bin=$build/tree/bin
gpu_test=$build/tree/tests/gpu/gpu_test
brought=false
if [ "$(cat "$build/bin/sources" 2> /dev/null)" = "$sources" ]; then
  bin=$build/bin gpu_test=$build/bin/gpu_test brought=true
fi
uvic=$bin/uvic
export UVIC_ROOT=$root
export -f ours
export libraries wheel_libraries attention_setting

unpack() {
  local deb
  ls "$debs"/*.deb > /dev/null || { echo "no packages in $debs; run scripts/gpu-fetch.sh where there is a network"; return 1; }
  mkdir -p "$prefix"
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$prefix" || ar p "$deb" data.tar.xz | tar -xJ -C "$prefix" || return 1; done
}
configure() {
  local architecture config linking
  [ -d "$torch/lib" ] || { echo "python3 has no torch"; return 1; }
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
    -DZLIB_INCLUDE_DIR="$prefix/usr/include" -DZLIB_LIBRARY="$libraries/libz.so" \
    -DWEBP_INCLUDE_DIR="$prefix/usr/include" -DWEBP_LIBRARY="$libraries/libwebp.so" \
    -DSTB_INCLUDE_DIR="$prefix/usr/include/stb" \
    -DCMAKE_EXE_LINKER_FLAGS="$linking" -DUVIC_WERROR=OFF -DUVIC_UNITY=ON \
    -DUVIC_NCCL_ROOT="$wheels/nvidia/nccl" -DUVIC_CUDA_ARCHITECTURES="${architecture:-90a}"
}
# The last step of a test program runs it to list its tests; program_starts reports a library that is missing there.
build_program() {
  rm -f "$uvic" "$gpu_test"
  nice cmake --build "$build/tree" -j "$cores" --target uvic gpu_test -- -k 0
  [ -x "$uvic" ] && [ -x "$gpu_test" ]
}
kernels_build() {
  local nvcc source objects=() jobs=() job
  [ "$(cat "$build/attention_gpu.sources" 2> /dev/null)" = "$sources" ] && return 0
  nvcc=$(command -v nvcc) || { echo "no nvcc on the PATH or in /usr/local/cuda/bin"; return 1; }
  for source in bench/gpu/attention_gpu.cu model/kernels/cuda/attention_{cuda,cuda_grad,causal,causal_grad}.cu; do
    objects+=("$build/$(basename "$source").o")
    "$nvcc" -std=c++17 -O3 -I. -DUVIC_CUDA_HOPPER -gencode=arch=compute_90a,code=sm_90a -c "$source" -o "${objects[-1]}" & jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || return 1; done
  "$nvcc" "${objects[@]}" -o "$build/attention_gpu" && echo "$sources" > "$build/attention_gpu.sources"
}
have_kernels() { [ -x "$build/attention_gpu" ] || { echo "no $build/attention_gpu: see kernels_build"; return 1; }; }
kernels() { have_kernels && "$build/attention_gpu" > "$build/kernels.json" && mv "$build/kernels.json" "$out/"; }
# What is here, as far as there are tools for it; fails where there is no PyTorch.
machine() {
  nvidia-smi
  nvcc --version | tail -n 2
  lscpu | head -20
  free -g
  df -h "$build"
  echo "wheels' libraries: $wheel_libraries"
  readelf -d "$torch/lib/libtorch_cuda.so" | grep -E 'R(UN)?PATH|NEEDED'
  "$python" - <<'PY'
import torch
print(torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version(),
      "C++11 ABI", torch.compiled_with_cxx11_abi())
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "PyTorch sees no GPU")
PY
}
program_starts() { ours ldd "$gpu_test" | grep 'not found'; ours "$uvic" --version && ours "$gpu_test" --list-test-names-only > /dev/null; [ $? -lt 126 ]; }
gpu_tests() { UVIC_REQUIRE_GPU=1 ours "$gpu_test" -d yes "$@"; }
bench() { ours "$uvic" bench --device cuda --precision bf16 --plain=false "$@"; }
# Both networks through the program: ten steps on GPU and CPU of the same numbers (the losses are printed next to each other),
# samples, and a run resumed. Then a language model, whose steps must be recorded, and its text.
first_runs() {
  local name device run
  rm -rf "$build/first"
  for name in uvic uvit; do
    for device in cuda cpu; do
      run=$build/first/$name-$device
      ours "$uvic" train --config cifar10_${name}_small --data procedural --out "$run" --device $device --precision fp32 \
        --batch_size 8 --optimizer.warmup_images 16 --total_images 80 --log_images 8 --checkpoint_images 80 --grid_images 0 --score_images 0 || return 1
    done
    "$python" "$root/bench/gpu/collect.py" losses "$build/first/$name-cuda" "$build/first/$name-cpu" || return 1
    run=$build/first/$name-cuda
    ours "$uvic" train --out "$run" --total_images 160 || return 1
    ours "$uvic" sample --run "$run" --device cuda --seeds 0-63 --sample.steps 10 --out "$run/samples" || return 1
  done
  run=$build/first/lm
  ours "$uvic" train --config lm_tiny_cog --data "$root/docs/processes.md" --out "$run" --device cuda --precision bf16 \
    --batch_size 16 --total_images 800 --log_images 160 --checkpoint_images 800 --grid_images 0 --score_images 0 || return 1
  grep -q 'each step is one recorded CUDA graph' "$run/log.txt" ||
    { echo "$run: steps are not recorded"; grep 'steps run' "$run/log.txt"; return 1; }
  ours "$uvic" sample --run "$run" --device cuda --prompt "Three steps run " --seeds 0-1 --max_tokens 64
}
# One process that sums its gradients by NCCL: the exchanges must be in the recorded step, and the weights those of a run without
# them. Of a state in parts the bits are those of the whole one, of gradients in bf16 the rounding is all that differs. Steps of
# sequences are recorded too.
nccl() {
  local name how run
  rm -rf "$build/nccl"
  for name in uvic uvit; do
    for how in alone "whole --collectives nccl" "parts --collectives nccl --sharded_optimizer true" \
               "narrow --collectives nccl --wire_precision bf16" "parted --collectives nccl --accumulate 2"; do
      # shellcheck disable=SC2086  # words
      set -- $how
      run=$build/nccl/$name-$1
      shift
      ours "$uvic" train --config cifar10_tiny_$name --data procedural --out "$run" --device cuda --precision fp32 \
        --batch_size 16 --optimizer.warmup_images 16 --total_images 320 --log_images 32 --checkpoint_images 320 \
        --grid_images 0 --score_images 0 "$@" || return 1
      [ $# = 0 ] || grep -q 'one recorded CUDA graph, with the exchanges' "$run/log.txt" ||
        { echo "$run: the exchanges are not recorded"; grep 'steps run' "$run/log.txt"; return 1; }
    done
    run=$build/nccl/$name
    "$python" "$root/bench/gpu/collect.py" weights "$run-whole" "$run-alone" 1e-5 || return 1
    "$python" "$root/bench/gpu/collect.py" weights "$run-parts" "$run-whole" 0 || return 1
    "$python" "$root/bench/gpu/collect.py" weights "$run-narrow" "$run-whole" 1e-2 || return 1
    "$python" "$root/bench/gpu/collect.py" weights "$run-parted" "$run-alone" 1e-5 || return 1
  done
  run=$build/nccl/sequences
  ours "$uvic" train --config lm_tiny_cog --data "$root/docs/processes.md" --out "$run" --device cuda --precision fp32 --collectives nccl \
    --batch_size 16 --total_images 320 --log_images 32 --checkpoint_images 320 --grid_images 0 --score_images 0 || return 1
  grep -q 'one recorded CUDA graph, with the exchanges' "$run/log.txt" ||
    { echo "$run: the exchanges are not recorded"; grep 'steps run' "$run/log.txt"; return 1; }
}
# 300 steps of the small CIFAR-10 networks: three seeds on the GPU in bf16, one on the CPU in fp32.
loss_curves() {
  local name seed jobs=()
  rm -rf "$build/curves"
  for name in uvit uvic; do
    ours "$uvic" train --config cifar10_tiny_$name --data procedural --out "$build/curves/$name-cpu" --device cpu --precision fp32 \
      --seed 0 --batch_size 64 --total_images 19200 --log_images 640 --grid_images 0 --score_images 0 --checkpoint_images 19200 &
    jobs+=($!)
    for seed in 0 1 2; do
      ours "$uvic" train --config cifar10_tiny_$name --data procedural --out "$build/curves/$name-cuda-$seed" --device cuda \
        --precision bf16 --seed $seed --batch_size 64 --total_images 19200 --log_images 640 --grid_images 0 --score_images 0 \
        --checkpoint_images 19200 || return 1
    done
  done
  wait "${jobs[@]}"
  "$python" "$root/bench/gpu/collect.py" curves "$build/curves" > "$out/curves.json"
}
# Time by kernel of a few recorded steps. ncu runs every launch by itself, so the sum leaves out gaps.
step_kernels() {  # which launches: the first steps after the weights are made
  local name
  command -v ncu || { echo "no ncu here"; return 1; }
  for name in uvit uvic; do
    ours timeout 60 ncu --clock-control none --metrics gpu__time_duration.sum --csv --page raw --launch-skip 1500 \
      --launch-count 1500 --kill yes --log-file "$logs/ncu-$name.csv" "$uvic" bench --device cuda --precision bf16 --plain=false \
      --networks cifar10_${name}_small --parts step --batch_size 256 --seconds 1 > "$logs/ncu-$name.out" 2>&1
    "$python" "$root/bench/gpu/collect.py" ncu "$logs/ncu-$name.csv" > "$out/step_kernels_$name.json" || return 1
  done
}
features() {
  [ -e "$build/inception_rule.pth" ] || "$python" bench/gpu/collect.py inception "$build/inception_rule.pth" || return 1
  bench --parts features --inception "$build/inception_rule.pth" --batch_size 256 --seconds 3 --json "$out/features.json"
}
sanitizers() {
  local tool
  have_kernels || return 1
  command -v compute-sanitizer || { echo "no compute-sanitizer here"; return 0; }
  for tool in memcheck racecheck; do
    compute-sanitizer --tool $tool --error-exitcode 1 "$build/attention_gpu" --quick || return 1
  done
}
# The runs stay here, their checkpoints are large; FOLDER gets what is read.
training() {
  local name
  # Class-conditional, ten classes and none; what the small configs found to need fewer images than the published recipe.
  local recipe=(--model.num_classes 11 --flip --label_dropout 0.1 --guidance_scale 1.5 --ema_decay 0.9999 --ema_rampup 0.1
                --diffusion.schedule vp_cosine --diffusion.prediction x0 --diffusion.timestep_sampling logit_normal
                --diffusion.logit_mean 0.8 --optimizer.lr 5e-4 --optimizer.warmup_images 25600 --optimizer.lr_decay cosine
                --optimizer.beta1 0.9 --optimizer.beta2 0.99 --optimizer.grad_clip 1)
  rm -rf "$build/runs"
  for name in uvit uvic; do
    ours "$uvic" train --config "cifar10_${name}_small" --data "$data" --out "$build/runs/$name" --seed 0 \
      --device cuda --workers "$((cores > 6 ? cores - 4 : 2))" --total_images "$1" --checkpoint_images "$1" \
      --grid_images "$(($1 / 2))" --log_images "$(($1 / 40 / 128 * 128))" "${recipe[@]}" \
      --sample.sampler dpm_solver_pp --sample.steps 50 || return 1
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
export -f unpack configure build_program kernels_build have_kernels kernels machine program_starts gpu_tests bench first_runs nccl \
  loss_curves step_kernels features sanitizers training
export root out debs build prefix logs python cores patience data torch wheels sources uvic gpu_test

have_program() {
  [ -d "$prefix/usr" ] || stage unpack 30 unpack || return 1
  if ! $brought; then
    [ -e "$build/tree/build.ninja" ] || stage configure 40 configure || return 1
    stage build_program 180 build_program || return 1
  fi
  stage program_starts 20 program_starts
}

case "$part" in
  contact)
    stage machine 30 machine
    have_program & building=$!
    # The GPU is free while the program compiles.
    stage kernels_build 120 kernels_build
    stage kernels 60 kernels
    stage peer_attention 70 '"$python" bench/peer/gpu_peer.py --parts ceilings,attention --out "$out/peer_attention.json"'
    wait $building
    if ! stage gpu_tests 70 gpu_tests; then
      # Where cuDNN's attention finds no plan after all, PyTorch's other kernels serve.
      attention_setting=TORCH_CUDNN_SDPA_DEPRIORITIZED=1
      stage gpu_tests_again 60 gpu_tests
    fi
    stage first_runs 70 first_runs
    stage nccl 80 nccl
    stage bench_step 40 'bench --parts step,evaluation --batch_size 256 --seconds 2 --json "$out/bench_step.json"' ;;
  measure)
    have_program
    stage kernels_build 120 kernels_build
    stage kernels 60 kernels
    stage bench_step 60 'bench --parts step,evaluation,sampling --evaluations 50 --batch_size 256 --seconds 3 --json "$out/bench_step.json"'
    stage peer_step 170 '"$python" bench/peer/gpu_peer.py --parts ceilings,step,sampling --out "$out/peer_step.json"'
    stage peer_attention 60 '"$python" bench/peer/gpu_peer.py --parts attention --out "$out/peer_attention.json"'
    stage step_kernels 120 step_kernels
    stage features 40 features
    stage peer_features 40 '"$python" bench/peer/gpu_peer.py --parts features --out "$out/peer_features.json"'
    stage loss_curves 120 loss_curves
    stage bench_kernels 45 'bench --parts attention,products --tokens 64,257,1025,4096 --batch_size 64 --seconds 2 --json "$out/bench_kernels.json"'
    stage sanitizers 40 sanitizers ;;
  train)
    have_program
    stage rate 60 'bench --parts step --batch_size 128 --seconds 2 --json "$out/rate.json"'
    images=$("$python" bench/gpu/collect.py images "$out/train.json" $((budget - SECONDS)))
    stage training "$seconds" "training ${images:-0}"
    keep_of_runs 2> /dev/null ;;
esac
collect
tar -C "$build" -czf "$out/$part-logs.tar.gz" "$part-logs"
awk -F '\t' '$2 != 0 { bad = 1 } END { exit bad }' "$logs/stages.tsv"
