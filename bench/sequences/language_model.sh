#!/bin/sh
# A small language model by attention kind, of docs/sequences.md: bench/sequences/language_model.sh FOLDER [options of uvic compare]
#
# Four layers of width 128 on bytes (lm_tiny_cog): Cog, softmax, softmax with 1 in its denominator, and gated softmax, each in all
# layers but the first and the last. Equal tokens in equal order, three seeds. TEXT is a UTF-8 file or a folder of them; the
# default is what Debian's package fortunes installs, 2.5 MB. The same command continues what was interrupted. --dry_run says how
# long it takes.
#
# Results: FOLDER/report.html and table.md, with perplexity and its error over seeds, tests against softmax, curves against tokens
# and time, and the training times.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 FOLDER [options of uvic compare]" >&2; exit 2; }
folder=$1
shift
text=${TEXT:-/usr/share/games/fortunes}
[ -e "$text" ] || { echo "$text: not there; apt install fortunes, or give TEXT=PATH" >&2; exit 1; }
exec "${UVIC:-uvic}" compare --config lm_tiny_cog --data "$text" --out "$folder" --title "A small language model" \
  --set "attention=softmax;name=softmax" --set "attention=cog;name=cog" \
  --set "attention=softmax_one;name=softmax plus one" --set "attention=gated;name=gated" \
  --baseline softmax --seeds_per_config 3 --metrics perplexity,loss,accuracy \
  --score_images 2000 --score_count 400 --grid_images 0 "$@"
