#!/usr/bin/env bash
# Says which C++ files clang-format would change; changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh checks
git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs -r clang-format --dry-run --Werror
echo "formatting: $(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | wc -l) files in order"
