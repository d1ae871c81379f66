#!/usr/bin/env bash
# scripts/check-sizes.sh on small trees: 400 lines a file and 60 a function pass, one more is refused with file, line and name.
#   tests/scripts/check_sizes_test.sh
set -euo pipefail
check=$(cd "$(dirname "$0")/../.." && pwd)/scripts/check-sizes.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

new_tree() {
  rm -rf "$scratch/tree"
  mkdir -p "$scratch"/tree/{base,data/formats,diffusion,metrics,model,app,tests,bench}
  cd "$scratch/tree"
}

# expect CODE TEXT: the script ends with CODE and prints TEXT, among other things.
expect() {
  local code=0 output
  output=$("$check" "$scratch/tree" 2>&1) || code=$?
  if [ $code -ne "$1" ] || ! grep -qF -- "$2" <<<"$output"; then
    printf 'expected exit code %s and "%s"; got exit code %s and:\n%s\n' "$1" "$2" $code "$output" >&2
    exit 1
  fi
}

# statements N: as many lines.
statements() { for _ in $(seq "$1"); do echo '  work();'; done; }
# function HEAD N: a function of N lines from its opening to its closing brace.
function_of() { printf '%s {\n' "$1"; statements $(($2 - 2)); printf '}\n'; }

new_tree
statements 400 > base/long.h
expect 0 'sizes: 0 functions in order'
statements 401 > base/long.h
expect 1 'base/long.h: 401 lines, more than 400'

new_tree
{ echo 'namespace uvic {'; function_of 'int fits(int x)' 60; function_of 'int Class::grown(int x) const' 61; echo '}'; } > app/a.cpp
expect 1 'app/a.cpp:62: grown has 61 lines, more than 60'
expect 1 'sizes: 1 too large'

# Braces in strings, comments and raw strings count for nothing; those of an initializer end no function.
new_tree
{
  printf 'Class::Class() : a_{1} {\n  text = "}}"; /* } */ // }\n  raw = R"x(\n}\n)x";\n'
  statements 56
  printf '}\n'
} > tests/b.cpp
expect 1 'tests/b.cpp:1: '
expect 1 'has 62 lines, more than 60'

# What the lists of the script name passes: a flat switch, and every fields().
new_tree
function_of 'bool PickleReader::step(uint8_t opcode)' 90 > data/formats/pickle.cpp
{ echo 'struct Config {'; function_of 'void fields(Visitor&& visit)' 90; echo '};'; } > app/config.h
expect 0 'sizes: 2 functions in order'
mv data/formats/pickle.cpp data/formats/other.cpp
expect 1 'data/formats/other.cpp:1: step has 90 lines, more than 60'

echo 'check-sizes: files of 400 lines and functions of 60 pass, longer ones are refused'
