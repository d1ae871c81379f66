#!/usr/bin/env bash
# Checks every #include of our own files against the table of rooms (docs/architecture.md), and that code on one side of a seam
# does not name what is on the other. Prints each include that a room may not have, each file that is in no room and each such
# name, and exits 1 if there are any; changes nothing.
#   scripts/check-layers.sh [FOLDER]      default: the tree that the script is in
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# A room, and the rooms that it may include besides itself. The longest prefix of a path names its room; `app` holds only the
# files directly in it.
table='
base                :
data/formats        : base
data                : data/formats base
diffusion           : base
metrics             : data data/formats base
model/kernels       : base
model               : model/kernels data/formats base
app/options         : @below
app/runs            : app/options @below
app/sampling        : app/runs app/options @below
app/scoring         : app/sampling app/runs app/options @below
app/report          : app/sampling app/runs app/options @below
app/training        : app/scoring app/sampling app/runs app/options @below
app/watch           : app/report app/sampling app/runs app/options @below
app/bench           : app/training app/report app/scoring app/sampling app/runs app/options @below
app/lab             : app/training app/report app/scoring app/sampling app/runs app/options @below
app/commands        : app/watch app/bench app/lab app/training app/report app/scoring app/sampling app/runs app/options @below
app                 : app/commands app/runs app/options @below
'
below='model model/kernels diffusion metrics data data/formats base'

status=0

# Every C++ file but the tests and the programs in bench/, which may include anything.
find . \( -path ./tests -o -path ./bench -o -path './build*' -o -path './.*' \) -prune -o \
    -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print | sed 's#^\./##' | sort |
  while IFS= read -r file; do
    echo "$file"
    grep -Hn '^ *# *include "' "$file" || true
  done |
  awk -v table="$table" -v below="$below" '
    function room(path,   best, name) {
      best = ""
      for (name in allowed) if (index(path, name "/") == 1 && length(name) > length(best)) best = name
      return best == "app" && path ~ "^app/.*/" ? "" : best
    }
    BEGIN {
      rows = split(table, row, "\n")
      for (i = 1; i <= rows; ++i) {
        if (split(row[i], part, ":") < 2) continue
        name = part[1]; gsub(/ /, "", name)
        sub(/@below/, below, part[2])
        allowed[name] = " " part[2] " " name " "
      }
    }
    !/include "/ {
      if (room($0) == "") { printf "%s: in no room of the table\n", $0; ++wrong }
      next
    }
    {
      split($0, field, ":")
      target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
      from = room(field[1]); to = room(target)
      ++includes
      if (from == "") next  # reported with the file
      if (to == "") { printf "%s:%s: includes \"%s\", which is in no room of the table\n", field[1], field[2], target; ++wrong; next }
      if (index(allowed[from], " " to " ") == 0) {
        printf "%s:%s: %s may not include %s (\"%s\")\n", field[1], field[2], from, to, target; ++wrong
      }
    }
    END {
      if (wrong) { printf "layers: %d violations, %d includes read\n", wrong, includes; exit 1 }
      printf "layers: %d includes in order\n", includes
    }' || status=1

# refuse_word WORD WHY, and on stdin the files that may not name it outside comments.
refuse_word() {
  local found
  found=$(xargs -r grep -HnE "^[^/]*$1" 2>/dev/null | sed "s#\$#  <- $2#") || true
  [ -z "$found" ] || { echo "$found"; status=1; }
}

# A network is made and asked by model/network.h alone.
refuse_word '(\<UViT|model\.uvit)' 'names a network above model/' < <(find app metrics diffusion -type f \( -name '*.h' -o -name '*.cpp' \) 2>/dev/null)
# The trainer, the step, state and estimates serve any task: these files are image diffusion's side of the objective's seam.
refuse_word 'diffusion' 'names diffusion above the objective' < <(find app/training -type f \( -name '*.h' -o -name '*.cpp' \) \
  ! -name 'image_diffusion.*' ! -name 'image_snapshots.*' ! -name 'attention_log.*' ! -name objective.cpp ! -name no_cuda.cpp 2>/dev/null)
# The whole of LibTorch costs each file that includes it seconds to compile.
refuse_word 'torch/torch\.h' 'includes all of LibTorch: base/torch.h has its tensors, other headers a module each' < <(find app base data \
  diffusion metrics model tests -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) ! -path base/torch.h 2>/dev/null)
exit $status
