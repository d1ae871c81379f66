#!/usr/bin/env bash
# Installs what is missing, builds and runs every test. Safe to repeat. UVIC_TEST_IMAGES may name a folder with
# cifar10-train.zip and cifar10-test.zip (one JPEG per image, a folder per class); without them the tests that
# use them are skipped.
#   scripts/test.sh [PRESET]      test (default: release in batches of sources), release, dev (sanitizers), coverage
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-test}

scripts/install-packages.sh tests
cmake --preset "$preset"
cmake --build --preset "$preset"
ctest --preset "$preset" -j "$(nproc)"
