#!/usr/bin/env bash
# scripts/check-layers.sh on small trees: allowed includes pass; a forbidden one, and a file in no room, are refused with
# file, line and rooms.
#   tests/scripts/check_layers_test.sh
set -euo pipefail
check=$(cd "$(dirname "$0")/../.." && pwd)/scripts/check-layers.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A tree with every top folder and two includes that are allowed: down a floor, and within a room.
new_tree() {
  rm -rf "$scratch/tree"
  mkdir -p "$scratch"/tree/{base,data/formats,diffusion,metrics,model/kernels,app/commands}
  cd "$scratch/tree"
  printf '#pragma once\n' > base/hash.h
  printf '#pragma once\n#include <vector>\n' > data/batch.h
  printf '#include "data/batch.h"\n\n#include "base/hash.h"\n' > data/loader.cpp
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

new_tree
expect 0 '2 includes in order'

# Line 3 of a file that knows nothing of the app.
printf '#include "base/hash.h"\n\n#include "app/commands/train.h"\n' > data/dataset.cpp
expect 1 'data/dataset.cpp:3: data may not include app/commands ("app/commands/train.h")'
expect 1 '1 violations, 4 includes read'

# Indented, as inside an #if.
new_tree
printf '#  include "model/network.h"\n' > diffusion/sampler.h
expect 1 'diffusion/sampler.h:1: diffusion may not include model ("model/network.h")'

# Folders that the table does not list, on either side of an include; a file needs no include to be refused.
new_tree
printf '#include "extras/curves.h"\n' > metrics/fid.cpp
expect 1 'metrics/fid.cpp:1: includes "extras/curves.h", which is in no room of the table'
new_tree
mkdir app/dashboard extras
printf 'int main() {}\n' > app/main.cpp
expect 0 '2 includes in order'
printf '#include "base/hash.h"\n' > app/dashboard/page.cpp
expect 1 'app/dashboard/page.cpp: in no room of the table'
new_tree
mkdir extras
printf '#pragma once\n' > extras/curves.h
expect 1 'extras/curves.h: in no room of the table'

# Seams: a network above model/, diffusion in what trains any task; comments and the task's own files may.
new_tree
mkdir app/training
printf '// Not only UViT or diffusion.\nint steps();  // of diffusion\n' > app/training/trainer.cpp
printf '#include "diffusion/objective.h"\n' > app/training/image_diffusion.cpp
expect 0 '3 includes in order'
printf 'auto network = model::UViT();\n' > app/training/step.cpp
expect 1 'app/training/step.cpp:1:auto network = model::UViT();  <- names a network above model/'
rm app/training/step.cpp
printf '\nbool others = config.diffusion.contrastive_loss > 0;\n' > app/training/trainer.cpp
expect 1 'app/training/trainer.cpp:2:bool others = config.diffusion.contrastive_loss > 0;  <- names diffusion above the objective'

rm app/training/trainer.cpp
printf 'config.model.uvit.use_checkpoint = false;\n' > app/training/step.cpp
expect 1 'app/training/step.cpp:1:config.model.uvit.use_checkpoint = false;  <- names a network above model/'

# All of LibTorch, which base/torch.h alone may name.
new_tree
printf '// instead of <torch/torch.h>\n' > base/torch.h
expect 0 '2 includes in order'
printf '#include <torch/torch.h>\n' > data/latent_store.cpp
expect 1 'data/latent_store.cpp:1:#include <torch/torch.h>  <- includes all of LibTorch'

# Tests and the programs in bench/ may include anything.
new_tree
mkdir tests bench
printf '#include "app/commands/train.h"\n' | tee tests/train_test.cpp > bench/speed.cpp
expect 0 '2 includes in order'

echo 'check-layers: allowed includes pass; forbidden ones, files in no room and names across a seam are refused'
