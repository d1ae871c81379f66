# shellcheck shell=bash
# A bare Debian in a chroot that is removed at the end, also after a failure; read by scripts that test there. In this order:
#   chroot_options ARGUMENT...     reads --scratch FOLDER, --mirror URL and --keep; all others are left in $chroot_others
#   chroot_make SUITE NAME         makes it in $root; at the end it is removed, or kept with --keep
#   chroot_copy_sources FOLDER     copies the tree to /src in it, and makes /build
#   inside COMMAND...              runs a command in it
# The script that reads it may define chroot_ended STATUS, which is called last, and sets -euo pipefail itself.

chroot_scratch=${TMPDIR:-/tmp} chroot_mirror='' chroot_keep=false chroot_others=()
chroot_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --scratch | --mirror)
        [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
        case "$1" in --scratch) chroot_scratch=$2 ;; --mirror) chroot_mirror=$2 ;; esac
        shift 2 ;;
      --keep) chroot_keep=true; shift ;;
      *) chroot_others+=("$1"); shift ;;
    esac
  done
}

# The Debian mirror of this machine. Both forms of apt's lists; a mirror's other suites (security, updates) have names of their own.
chroot_mirror_here() {
  local found
  found=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } |
    sed -n 's#^\(deb\( \[[^]]*\]\)\? \|URIs: *\)\(https\?://[^ ]*/debian/\?\)\( .*\)\?$#\3#p' | head -n 1)
  echo "${found:-http://deb.debian.org/debian}"
}

chroot_remove() {
  local status=$?
  trap - EXIT INT TERM
  if $chroot_keep; then
    echo "kept: chroot $root"
  else
    # Nothing is removed through a mount: --one-file-system refuses where unmounting failed.
    ! mountpoint -q "$root/proc" || umount "$root/proc"
    rm -rf --one-file-system "$root"
  fi
  ! declare -F chroot_ended >/dev/null || chroot_ended $status
  exit $status
}

chroot_make() {
  [ "$(id -u)" -eq 0 ] || { echo "debootstrap and chroot need root: sudo $0" >&2; exit 1; }
  command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
  chroot_mirror=${chroot_mirror:-$(chroot_mirror_here)}
  mkdir -p "$chroot_scratch"
  root=$(mktemp -d "$(cd "$chroot_scratch" && pwd)/$2-XXXXXX")
  chmod 755 "$root"  # for apt's own user
  trap chroot_remove EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  debootstrap --variant=minbase "$1" "$root" "$chroot_mirror" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log" >&2; rm "$root.log"; exit 1; }
  rm "$root.log"
  mount -t proc proc "$root/proc"
  [ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
}

# What git knows or would add, in its present state; all files where there is no git.
chroot_copy_sources() {
  local source=$1
  mkdir "$root/src" "$root/build"
  if git -C "$source" rev-parse >/dev/null 2>&1; then
    (cd "$source" && git ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
      tar --null --files-from=- -cf - .) 2>/dev/null | tar -C "$root/src" -xf -
  else
    tar -C "$source" --exclude=./build -cf - . | tar -C "$root/src" -xf -
  fi
}

inside() {
  env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    chroot "$root" "$@"
}
