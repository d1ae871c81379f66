#!/usr/bin/env bash
# Installs a .deb of uvic in a bare Debian 12, or unpacks its .tar.gz there as a user without rights, and uses it: version, a
# config by name, a short training, samples and one of them again, the live page, the manual, completion. The archive is moved
# once and used again. Needs root, debootstrap and 3 GB.
#   scripts/test-package.sh FILE.deb | FILE.tar.gz [--scratch FOLDER] [--mirror URL] [--keep]
#     --scratch   where the chroot is made; default: $TMPDIR or /tmp
#     --mirror    default: the Debian mirror of this machine, else http://deb.debian.org/debian
#     --keep      keep the chroot and print where it is
set -euo pipefail
# shellcheck source=scripts/chroot.sh
source "$(dirname "$0")/chroot.sh"

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
chroot_options "$@"
package=
for argument in "${chroot_others[@]}"; do
  case "$argument" in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) package=$argument ;;
  esac
done
[ -f "$package" ] || { usage >&2; exit 2; }
chroot_ended() { [ "$1" -eq 0 ] || echo "$package: failed with status $1"; }
chroot_make bookworm uvic-package

# shellcheck disable=SC2016  # the fields are dpkg-query's
installed() { inside dpkg-query -W -f '${Installed-Size}\n' | awk '{sum += $1} END {printf "%.0f MB", sum * 1.024 / 1000}'; }
# Everything below runs as this user, who may write at home alone.
inside useradd --create-home someone
as_user() { inside setpriv --reuid someone --regid someone --clear-groups env HOME=/home/someone "$@"; }

echo "package: $(awk '{printf "%.1f MB", $1 / 1e6}' <<<"$(stat -c %s "$package")")"
cp "$package" "$root/tmp/"
name=/tmp/$(basename "$package")
case "$package" in
  *.deb)
    before=$(installed)
    inside apt-get -qq update
    inside apt-get -qq -y --no-install-recommends install "$name" >/dev/null
    prefix=/usr
    echo "installed; packages took $before before and $(installed) now; depends on:"
    inside dpkg-deb -f "$name" Depends ;;
  *)
    prefix=/home/someone/uvic
    as_user mkdir $prefix
    as_user tar -C $prefix --strip-components=1 -xzf "$name"
    echo "unpacked: $(du -sm "$root$prefix" | cut -f1) MiB" ;;
esac
uvic() { as_user $prefix/bin/uvic "$@"; }
in_bash() { as_user bash -euo pipefail -c "PATH=$prefix/bin:\$PATH; $1"; }

# That each of them holds something, and of this program.
check_files() {
  uvic --version
  in_bash "manual=\$(zcat $prefix/share/man/man1/uvic.1.gz)
    [[ \$manual == '.TH UVIC'* && \$manual == *watch* ]]
    grep -q uvic $prefix/share/zsh/vendor-completions/_uvic
    grep -q uvic $prefix/share/fish/vendor_completions.d/uvic.fish
    test -s $prefix/share/doc/uvic/copyright"
  in_bash "source $prefix/share/bash-completion/completions/uvic
    COMP_WORDS=(uvic sam) COMP_CWORD=1; _uvic; [ \"\${COMPREPLY[*]}\" = sample ]
    COMP_WORDS=(uvic watch --po) COMP_CWORD=2; _uvic; [ \"\${COMPREPLY[*]}\" = --port ]"
}

check_work() {  # FOLDER of what is written
  uvic train --config procedural_tiny_uvic --data procedural --total_images 256 --batch_size 32 --grid_images 0 \
    --score_images 0 --out "$1/run" --quiet
  uvic sample --run "$1/run" --seeds 0-3 --sample.steps 4 --out "$1/samples" --quiet
  uvic sample --run "$1/run" --like "$1/samples/000002.png" --out "$1/again" --quiet
  as_user cmp "$1/samples/000002.png" "$1/again/000002.png"
  uvic fid --images "$1/samples" --ref procedural --num_ref 200 --metrics fd --quiet
  uvic inspect "$1/samples/000002.png" | sed -n 1,6p
  # The live page and its parts, found where the package has put them.
  in_bash "exec 3< <(exec uvic watch $1/run --port 0 --quiet); watch=\$!
    read -r line <&3
    port=\$(sed 's#.*:\([0-9]*\)/.*#\1#' <<<\"\$line\")
    exec 4<>/dev/tcp/127.0.0.1/\$port
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >&4
    grep -q uPlot <&4
    kill \$watch"
}

check_files
check_work /home/someone/first
if [ "$prefix" != /usr ]; then
  as_user mv $prefix "/home/someone/moved elsewhere"
  as_user ln -s "moved elsewhere" /home/someone/link
  prefix=/home/someone/link
  check_files
  check_work /home/someone/second
fi
echo "$package: works in a bare Debian 12"
