#!/usr/bin/env bash
# Installs the Debian 12 or 13 packages that building uvic needs and that are missing. Run as root, or as a user with sudo.
# Where another program holds apt's lock, says so and waits for up to ten minutes.
#   scripts/install-packages.sh [tests] [checks] [lint] [coverage]
set -euo pipefail

packages=(g++ cmake ninja-build libtorch-dev libopenblas0-openmp libopencv-core-dev libopencv-imgproc-dev
          libstb-dev libcli11-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libwebp-dev
          zlib1g-dev libutf8proc-dev libpcre2-dev libcpp-httplib-dev libgloo-dev)
for group in "$@"; do
  case "$group" in
    tests) packages+=(catch2 python3) ;;
    checks) packages+=(clang-format) ;;
    lint) packages+=(clang-tidy python3) ;;
    coverage) packages+=(gcovr) ;;
    *) echo "usage: $0 [tests] [checks] [lint] [coverage]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; there is no apt-get here: install their counterparts by hand (see docs/install.md)" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "missing: ${missing[*]}; run this as root or install sudo" >&2; exit 1; }
  sudo=(sudo)
fi

# apt-get with errors and warnings only. The first attempt fails at once where a lock is held, so that the wait can be
# announced. Later attempts let apt wait for dpkg's lock. It never waits for the lock of its package lists, hence the loop.
apt_get() {
  local deadline=$((SECONDS + 600)) timeout=0 message
  while true; do
    if message=$("${sudo[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o DPkg::Lock::Timeout=$timeout "$@" 2>&1 >/dev/null); then
      [ -z "$message" ] || echo "$message" >&2
      return 0
    fi
    if ! grep -Eq 'Could not get lock|Unable to acquire the dpkg frontend lock' <<<"$message" || [ $SECONDS -ge $deadline ]; then
      echo "$message" >&2
      return 1
    fi
    [ $timeout -ne 0 ] || echo "waiting up to 10 minutes for apt's lock: ${message%%$'\n'*}" >&2
    timeout=600
    sleep 2
  done
}

echo "installing: ${missing[*]}"
apt_get update
apt_get install -y --no-install-recommends "${missing[@]}"
