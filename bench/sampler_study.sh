#!/usr/bin/env bash
# The sampler study of docs/samplers.md: solvers, the order of their last step, and whether they end at t_end or with the
# x0 prediction, each separately, on several trained runs. Every point has the same seeds.
#   bench/sampler_study.sh OUT RUN [RUN ...]          UVIC=build/release/bin/uvic COUNT=500 EVALUATIONS=10,20,50 GUIDANCE=1,1.5
# Continues where it was stopped: samples and scores that are there stay. bench/sampler_study.py makes the tables of it.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6p' "$0" >&2; exit 2; }
out=$1
shift
uvic=${UVIC:-build/release/bin/uvic}
rule() { printf '%s:lower_order_final=always,%s:lower_order_final=never,' "$1" "$1"; }
samplers=${SAMPLERS:-$(rule unipc)$(rule dpm_solver_pp)$(rule dpm_solver)ddim}
for run in "$@"; do
  name=$(basename "$run")
  "$uvic" sweep --run "$run" --out "$out/$name" --samplers "$samplers" --evaluations "${EVALUATIONS:-10,20,50}" \
    --guidance_scale "${GUIDANCE:-1,1.5}" --count "${COUNT:-500}" --threads "${THREADS:-0}" > /dev/null
done
python3 "$(dirname "$0")/sampler_study.py" "$out"/*/sweep.json > "$out/study.md"
echo "$out/study.md"
