#!/usr/bin/env bash
# Installs a .deb of uvic in a bare Debian 12, or unpacks its .tar.gz there, and uses it: version, a config by name, a short
# training, samples and one of them again, the manual, completion. The chroot is made with debootstrap and removed at the end,
# also after a failure. Needs root, debootstrap and 3 GB.
#   scripts/test-package.sh FILE.deb | FILE.tar.gz [--scratch FOLDER] [--mirror URL] [--keep]
set -euo pipefail

package= scratch=${TMPDIR:-/tmp} mirror='' keep=false
usage() { sed -n '2,5s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
  case "$1" in
    --scratch | --mirror)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      case "$1" in --scratch) scratch=$2 ;; --mirror) mirror=$2 ;; esac
      shift 2 ;;
    --keep) keep=true; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) package=$1; shift ;;
  esac
done
[ -f "$package" ] || { usage >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "debootstrap and chroot need root: sudo $0" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
if [ -z "$mirror" ]; then
  mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } |
    sed -n 's#^\(deb\( \[[^]]*\]\)\? \|URIs: *\)\(https\?://[^ ]*/debian/\?\)\( .*\)\?$#\3#p' | head -n 1)
  mirror=${mirror:-http://deb.debian.org/debian}
fi

root=$(mktemp -d "$(cd "$scratch" && pwd)/uvic-package-XXXXXX")
chmod 755 "$root"
finish() {
  local status=$?
  trap - EXIT INT TERM
  mountpoint -q "$root/proc" && umount "$root/proc"
  if $keep; then echo "kept: $root"; else rm -rf --one-file-system "$root"; fi
  [ $status -eq 0 ] || echo "$package: failed with status $status"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
rm "$root.log"
mount -t proc proc "$root/proc"
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
inside() { env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
# shellcheck disable=SC2016  # the fields are dpkg-query's
size() { inside dpkg-query -W -f '${Installed-Size}\n' | awk '{sum += $1} END {printf "%.0f MB", sum * 1.024 / 1000}'; }

cp "$package" "$root/tmp/"
name=/tmp/$(basename "$package")
before=$(size)
case "$package" in
  *.deb)
    # The documents too, which images of containers leave out.
    inside apt-get -qq update
    inside apt-get -qq -y --no-install-recommends install "$name" >/dev/null
    prefix=/usr
    echo "installed; packages took $before before and $(size) now; depends on:"
    inside dpkg-deb -f "$name" Depends ;;
  *)
    inside mkdir /opt/uvic
    inside tar -C /opt/uvic --strip-components=1 -xzf "$name"
    prefix=/opt/uvic
    echo "unpacked: $(du -sm "$root/opt/uvic" | cut -f1) MiB" ;;
esac
uvic() { inside $prefix/bin/uvic "$@"; }
uvic --version
inside ls $prefix/share/man/man1/uvic.1.gz $prefix/share/bash-completion/completions/uvic \
  $prefix/share/zsh/vendor-completions/_uvic $prefix/share/fish/vendor_completions.d/uvic.fish \
  $prefix/share/doc/uvic/copyright
inside bash -c "PATH=$prefix/bin:\$PATH; source $prefix/share/bash-completion/completions/uvic
  COMP_WORDS=(uvic sam) COMP_CWORD=1; _uvic; [ \"\${COMPREPLY[*]}\" = sample ]"
uvic train --config procedural_tiny_uvic --data procedural --total_images 256 --batch_size 32 --grid_images 0 \
  --score_images 0 --out /tmp/run --quiet
uvic sample --run /tmp/run --seeds 0-3 --sample.steps 4 --out /tmp/samples --quiet
uvic sample --run /tmp/run --like /tmp/samples/000002.png --out /tmp/again --quiet
inside cmp /tmp/samples/000002.png /tmp/again/000002.png
uvic fid --images /tmp/samples --ref procedural --num_ref 200 --metrics fd --quiet
uvic inspect /tmp/samples/000002.png | sed -n 1,6p
echo "$package: works in a bare Debian 12"
