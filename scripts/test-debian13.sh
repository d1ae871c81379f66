#!/usr/bin/env bash
# Builds uvic and runs every test on Debian 13 (LibTorch 2.6, Catch2 3, fmt 10, GCC 14), in a chroot that debootstrap makes
# and that is removed at the end, also after a failure. Needs root, debootstrap and 6 GB. Changes nothing outside its folder:
# the sources are copied in. Packages are installed inside, by scripts/install-packages.sh and apt's locks there.
#   scripts/test-debian13.sh [--scratch FOLDER] [--mirror URL] [--jobs N] [--keep]
#     --scratch   where the chroot is made; default: $TMPDIR or /tmp
#     --mirror    default: the Debian mirror of this machine, else http://deb.debian.org/debian
#     --jobs      compilations and tests at a time; default: all cores
#     --keep      keep the chroot and print how to enter it
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
scratch=${TMPDIR:-/tmp} mirror='' jobs=$(nproc) keep=false
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
  case "$1" in
    --scratch | --mirror | --jobs)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      case "$1" in --scratch) scratch=$2 ;; --mirror) mirror=$2 ;; --jobs) jobs=$2 ;; esac
      shift 2 ;;
    --keep) keep=true; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

[ "$(id -u)" -eq 0 ] || { echo "debootstrap and chroot need root: sudo $0" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
if [ -z "$mirror" ]; then
  # Both forms of apt's lists; the mirror's other suites (security, updates) have names of their own.
  mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } |
    sed -n 's#^\(deb\( \[[^]]*\]\)\? \|URIs: *\)\(https\?://[^ ]*/debian/\?\)\( .*\)\?$#\3#p' | head -n 1)
  mirror=${mirror:-http://deb.debian.org/debian}
fi

mkdir -p "$scratch"
root=$(mktemp -d "$(cd "$scratch" && pwd)/uvic-debian13-XXXXXX")
chmod 755 "$root"  # for apt's own user
started=$SECONDS
say() { printf '%s [%d min %02d s]\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }

finish() {
  local status=$?
  trap - EXIT INT TERM
  if $keep; then
    echo "kept: mount -t proc proc $root/proc; chroot $root; sources in /src, build in /build"
  fi
  # Nothing is removed through a mount: --one-file-system refuses where unmounting failed.
  mountpoint -q "$root/proc" && umount "$root/proc"
  $keep || rm -rf --one-file-system "$root"
  if [ $status -eq 0 ]; then say "Debian 13: all tests passed"; else say "Debian 13: failed with status $status"; fi
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "Debian 13 from $mirror to $root"
debootstrap --variant=minbase trixie "$root" "$mirror" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
rm "$root.log"
mount -t proc proc "$root/proc"
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"

# What git knows or would add, in its present state; all files where there is no git.
mkdir "$root/src" "$root/build"
if git -C "$source" rev-parse >/dev/null 2>&1; then
  (cd "$source" && git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --null --files-from=- -cf - .) 2>/dev/null | tar -C "$root/src" -xf - 
else
  tar -C "$source" --exclude=./build -cf - . | tar -C "$root/src" -xf -
fi

inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 chroot "$root" "$@"; }
inside /src/scripts/install-packages.sh tests
# shellcheck disable=SC2016  # the fields are dpkg-query's
say "packages installed: $(inside dpkg-query -W -f '${Package} ${Version}, ' libtorch-dev catch2 libfmt-dev g++ | sed 's/, $//')"
# In batches a build that happens once is shorter.
inside cmake -G Ninja -DCMAKE_BUILD_TYPE=Release -DUVIC_UNITY=ON -S /src -B /build >/dev/null
inside cmake --build /build -j "$jobs"
say "built"
inside ctest --test-dir /build --output-on-failure -j "$jobs"
