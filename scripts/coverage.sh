#!/usr/bin/env bash
# Line coverage of our own code by the tests: builds the coverage preset, runs ctest, prints a table by folder.
#   scripts/coverage.sh [MINIMUM_PERCENT]      exit code 1 below it
set -euo pipefail
cd "$(dirname "$0")/.."
minimum=${1:-0}

scripts/install-packages.sh tests coverage
cmake --preset coverage >/dev/null
cmake --build --preset coverage
find build/coverage -name '*.gcda' -delete
ctest --preset coverage -j "$(nproc)"
gcovr --root . --object-directory build/coverage --filter '(app|base|data|diffusion|metrics|model)/' \
  --exclude-throw-branches --print-summary --fail-under-line "$minimum" --txt build/coverage/coverage.txt
cat build/coverage/coverage.txt
