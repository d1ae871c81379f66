#!/usr/bin/env bash
# Fills a folder with the Debian packages that scripts/gpu.sh needs on a machine that has PyTorch, nvcc, CMake and ninja but
# no network: everything of scripts/install-packages.sh but LibTorch, its Gloo and the compilers, with their dependencies.
#   scripts/gpu-fetch.sh [FOLDER]      default: .gpu (git ignores it); run on Debian 12, needs no root
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.gpu}
mkdir -p "$out"
packages=(libopencv-core-dev libopencv-imgproc-dev libstb-dev libcli11-dev libfmt-dev nlohmann-json3-dev
          libtomlplusplus-dev libwebp-dev zlib1g-dev libutf8proc-dev libpcre2-dev libcpp-httplib-dev catch2)

# As if nothing were installed: what apt would install on an empty machine. Left out is what a machine that compiles has anyway
# (the C library, the compiler's own libraries), what only configures a system, and the drivers behind OpenGL, which OpenCV's
# core links to and never calls.
there='libc6.*|libc-.*|linux-libc-dev|libcrypt.*|libnsl.*|libtirpc.*|rpcsvc-proto|gcc.*|g\+\+.*|cpp.*|libgcc-.*|libstdc\+\+.*|libgomp1|perl.*|dpkg|tar|debconf|install-info|libselinux1|libkrb5.*|libk5crypto3|libgssapi.*|libkeyutils1|libcom-err2|krb5.*'
unused='libllvm.*|libicu.*|libgl1-mesa-dri|libglx-mesa0|libglapi-mesa|libz3-.*|libdrm.*|libelf1|libedit2|libffi.*|libexpat1|libsensors.*|libudev1|libxml2|libpciaccess0|libxcb-.*|libx11-xcb1|libx11-data|libxext6|libxfixes3|libxshmfence1|libxxf86vm1|libtinfo6|libhwloc.*|libtbb-dev|libtbbbind.*|libtbbmalloc.*'
wanted=$(apt-get -s -o Dir::State::status=/dev/null -o APT::Install-Recommends=false install "${packages[@]}" |
  sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -Ev "^($there|$unused)$")
cd "$out"
for package in $wanted; do
  compgen -G "${package}_*.deb" >/dev/null || apt-get download -qq "$package" 2>/dev/null
done
cd - >/dev/null
echo "$(ls "$out"/*.deb | wc -l) packages in $out, $(du -sm "$out" | cut -f1) MiB; the source: $(git ls-files -z | du -cm --files0-from=- | tail -1 | cut -f1) MiB"
