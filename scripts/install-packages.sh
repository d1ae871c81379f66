#!/usr/bin/env bash
# Installs what building uvic needs on Debian 12 or 13, where it is missing. As root, or as a user with sudo.
set -euo pipefail

packages=(g++ cmake ninja-build libtorch-dev libopenblas0-openmp libopencv-core-dev libopencv-imgproc-dev
          libstb-dev libcli11-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libzip-dev)
for group in "$@"; do
  case "$group" in
    tests) packages+=(catch2) ;;
    checks) packages+=(clang-format) ;;
    coverage) packages+=(gcovr) ;;
    *) echo "usage: $0 [tests] [checks] [coverage]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; there is no apt-get here: install their counterparts by hand (see README.md, Building)" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "missing: ${missing[*]}; run this as root or install sudo" >&2; exit 1; }
  sudo=(sudo)
fi
echo "installing: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
