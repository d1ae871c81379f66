#!/usr/bin/env bash
# From a bare Debian 12 machine to a report: installs, builds, trains U-ViT and U-ViC on the embedded images, samples
# from both, scores both. Safe to repeat: what is done is not done again.
#   scripts/demo.sh [FOLDER]      default: demo
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-demo}

scripts/install-packages.sh
cmake --preset demo -DUVIC_THIS_CPU=ON >/dev/null
cmake --build --preset demo
build/demo/bin/uvic compare --config procedural_tiny_uvit --config procedural_tiny_uvic --name U-ViT --name U-ViC \
  --data procedural --held_out procedural:1 --out "$out"
echo
echo "Open $out/report.html in a browser; the images alone are the PNG files next to it."
