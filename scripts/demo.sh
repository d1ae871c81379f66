#!/usr/bin/env bash
# From a bare Debian 12 machine to a report: installs, builds, trains U-ViT and U-ViC on the embedded pictures, draws
# from both, scores both. Safe to repeat: what is done is not done again.
#   scripts/demo.sh [FOLDER]      default: demo
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-demo}

scripts/install-packages.sh
cmake --preset demo >/dev/null
cmake --build --preset demo
build/demo/bin/uvic compare --config procedural_tiny_uvit --config procedural_tiny_uvic --data procedural --out "$out"
echo
echo "Open $out/report/report.html in a browser; the pictures alone: $out/report/"
