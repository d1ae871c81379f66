#!/usr/bin/env bash
# Run folders and samples of version 0.1.0, for tests/app/training/old_run_test.cpp.
#   tests/golden/runs/make_runs.sh UVIC OUT      UVIC: a program of version 0.1.0
# The folders here are from a development build of 0.1.0 that writes these files by the same code as commit c4b3c08, but for two
# keys of the config. They are removed below, and run.json loses the path of the program.
set -euo pipefail
uvic=$(realpath "$1") out=$2
mkdir -p "$out"
cd "$out"
for run in uvic:cog uvit:softmax; do
  name=${run%%:*}
  "$uvic" train --data procedural --out "$name" --total_images 48 --batch_size 16 --model.img_size 8 --model.patch_size 4 \
    --model.embed_dim 8 --model.depth 2 --model.num_heads 2 --model.num_classes 11 --model.attention "${run##*:}" \
    --label_dropout 0.1 --dataset.procedural_images 100 --grid_images 0 --log_images 16 --checkpoint_images 48 \
    --precision fp32 --threads 1 --optimizer.lr 1e-3 --optimizer.warmup_images 16 --ema_decay 0.9 --sample.steps 3
  "$uvic" sample --run "$name" --seeds 0-3 --out "samples-$name" --sample.steps 5 --precision fp32 --threads 1 --grid=false
  rm "$name/.lock"
done
python3 - <<'PY'
import json, pathlib, re, struct

without_kind = lambda text: re.sub(r"^kind = .*\n", "", text, flags=re.M)
for run in map(pathlib.Path, ("uvic", "uvit")):
    config = run / "config.toml"
    config.write_text(without_kind(config.read_text()))
    launch = json.loads((run / "run.json").read_text())
    launch["command"] = "uvic" + launch["command"][launch["command"].index(" train"):]
    (run / "run.json").write_text(json.dumps(launch, indent=2) + "\n")
    for path in run.rglob("*.safetensors"):
        data = path.read_bytes()
        size, = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + size])
        header["__metadata__"]["uvic.config"] = without_kind(header["__metadata__"]["uvic.config"])
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
PY
