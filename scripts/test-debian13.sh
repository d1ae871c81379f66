#!/usr/bin/env bash
# Builds uvic and runs every test on Debian 13 (LibTorch 2.6, Catch2 3, fmt 10, GCC 14), in a chroot that debootstrap makes
# and that is removed at the end, also after a failure. Needs root, debootstrap and 6 GB. Changes nothing outside its folder:
# the sources are copied in. Packages are installed inside, by scripts/install-packages.sh and apt's locks there.
#   scripts/test-debian13.sh [--scratch FOLDER] [--mirror URL] [--jobs N] [--keep]
#     --scratch   where the chroot is made; default: $TMPDIR or /tmp
#     --mirror    default: the Debian mirror of this machine, else http://deb.debian.org/debian
#     --jobs      compilations and tests at a time; default: all cores
#     --keep      keep the chroot (sources in /src, build in /build) and print where it is
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/chroot.sh
source "$source/scripts/chroot.sh"
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
chroot_options "$@"
jobs=$(nproc)
set -- "${chroot_others[@]}"
while [ $# -gt 0 ]; do
  case "$1" in
    --jobs)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      jobs=$2
      shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

started=$SECONDS
say() { printf '%s [%d min %02d s]\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }
chroot_ended() {
  if [ "$1" -eq 0 ]; then say "Debian 13: all tests passed"; else say "Debian 13: failed with status $1"; fi
}
say "Debian 13 in ${chroot_scratch}"
chroot_make trixie uvic-debian13

chroot_copy_sources "$source"
inside /src/scripts/install-packages.sh tests
# shellcheck disable=SC2016  # the fields are dpkg-query's
say "packages installed: $(inside dpkg-query -W -f '${Package} ${Version}, ' libtorch-dev catch2 libfmt-dev g++ | sed 's/, $//')"
# In batches a build that happens once is shorter.
inside cmake -G Ninja -DCMAKE_BUILD_TYPE=Release -DUVIC_UNITY=ON -S /src -B /build >/dev/null
inside cmake --build /build -j "$jobs"
say "built"
inside ctest --test-dir /build --output-on-failure -j "$jobs"
