#!/usr/bin/env bash
# Builds uvic with CUDA and NCCL on Debian 13 (contrib and non-free: LibTorch 2.6 with CUDA 12.4, NCCL 2.22), and runs the tests
# that need no GPU; those of tests/gpu too where there is one. In a chroot that is removed at the end, as test-debian13.sh does it.
# Needs root, debootstrap and 16 GB. What it shows: the program compiles and links with NCCL, starts without a GPU, and refuses
# and exchanges on CPUs as other builds do. It runs nothing on a GPU that is not there.
#   scripts/test-cuda-debian13.sh [--scratch FOLDER] [--mirror URL] [--jobs N] [--cudnn FOLDER] [--all] [--keep]
#     --scratch   where the chroot is made; default: $TMPDIR or /tmp
#     --mirror    default: the Debian mirror of this machine, else http://deb.debian.org/debian
#     --jobs      compilations at a time; default: all cores
#     --cudnn     a folder with libcudnn.so.9, where Debian's installer (nvidia-cudnn) cannot reach NVIDIA's server: LibTorch links
#                 to it, and without a GPU calls nothing of it
#     --all       run every test, not only those of processes
#     --keep      keep the chroot (sources in /src, build in /build) and print where it is
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/chroot.sh
source "$source/scripts/chroot.sh"
usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }
chroot_options "$@"
jobs=$(nproc) cudnn='' tests='processes|processes_|process_|gpus|device_collectives|gradient_exchange|cuda: |gpu: '
set -- "${chroot_others[@]}"
while [ $# -gt 0 ]; do
  case "$1" in
    --jobs | --cudnn)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      case "$1" in --jobs) jobs=$2 ;; --cudnn) cudnn=$2 ;; esac
      shift 2 ;;
    --all) tests=.; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

started=$SECONDS
say() { printf '%s [%d min %02d s]\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }
chroot_ended() {
  if [ "$1" -eq 0 ]; then say "Debian 13 with CUDA: all tests passed"; else say "Debian 13 with CUDA: failed with status $1"; fi
}
say "Debian 13 with CUDA in ${chroot_scratch}"
chroot_make trixie uvic-cuda-debian13
echo "deb $chroot_mirror trixie main contrib non-free non-free-firmware" > "$root/etc/apt/sources.list"
chroot_copy_sources "$source"

# Not libtorch-dev and libgloo-dev, with which these conflict.
packages=(libtorch-cuda-dev libgloo-cuda-dev libnccl-dev nvidia-cuda-toolkit)
mapfile -t -O ${#packages[@]} packages < <(sed -n '/^packages=(/,/)/p' "$source/scripts/install-packages.sh" |
  tr -d '()' | sed 's/packages=//' | tr ' ' '\n' | grep -Ev '^(|libtorch-dev|libgloo-dev)$')
packages+=(catch2 python3)
inside apt-get -qq update
if ! inside apt-get -qq install -y --no-install-recommends "${packages[@]}" >"$root/install.log" 2>&1; then
  # Unpacked it all is; what the installer of cuDNN would have downloaded comes from --cudnn.
  [ -n "$cudnn" ] || { tail -n 20 "$root/install.log" >&2; exit 1; }
  inside dpkg --configure --force-depends libtorch-cuda-2.6 libtorch-cuda-dev >>"$root/install.log" 2>&1
fi
[ -z "$cudnn" ] || cp -L "$cudnn/libcudnn.so.9" "$root/usr/lib/x86_64-linux-gnu/"
inside ldconfig
# shellcheck disable=SC2016  # the fields are dpkg-query's
say "packages installed: $(inside dpkg-query -W -f '${Package} ${Version}, ' libtorch-cuda-dev libnccl-dev nvidia-cuda-toolkit g++ | sed 's/, $//')"
inside cmake -G Ninja -DCMAKE_BUILD_TYPE=Release -DUVIC_UNITY=ON -DUVIC_CUDA=ON -DUVIC_PROCESSES=ON -DUVIC_NCCL=ON \
  -DUVIC_CUDA_ARCHITECTURES=80 -S /src -B /build >/dev/null
inside cmake --build /build -j "$jobs"
say "built"
inside ctest --test-dir /build --output-on-failure -R "$tests"
