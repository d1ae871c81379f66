#!/usr/bin/env python3
"""What scripts/gpu.sh found, put together.

    collect.py PART OUT LOGS     all JSON files of OUT and the stages of LOGS into OUT/PART.json, and a summary on stdout
    collect.py losses A B        the losses of two runs, line by line; fails where they differ by more than 1e-3 relative
    collect.py curves FOLDER     loss curves of FOLDER/NAME-cpu and NAME-cuda-SEED as JSON, with their differences
    collect.py ncu FILE.csv      time by kernel from ncu's raw page, as JSON
    collect.py inception FILE.pth            weights of the FID Inception by the rule of the tests
    collect.py weights A B LIMIT the weights of two runs' states: relative L2 of their difference; fails above LIMIT
    collect.py images TRAIN.json SECONDS      how many images each of two networks can train in that time together
"""
import csv
import json
import pathlib
import re
import statistics
import sys


def losses_of(run):
    rows = [json.loads(line) for line in (pathlib.Path(run) / "stats.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def compare_losses(a, b):
    worst = 0
    for x, y in zip(losses_of(a), losses_of(b)):
        worst = max(worst, abs(x - y) / abs(y))
        print(f"{x:.7f} {y:.7f} {(x - y) / y:+.2e}")
    print(f"largest relative difference {worst:.2e}")
    return 0 if worst < 1e-3 else 1


def weights(a, b, limit):
    import array

    def tensors(run):
        data = (pathlib.Path(run) / "state.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])
        return {name: array.array("f", data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
                for name, entry in header.items() if name.startswith("model.")}

    a, b = tensors(a), tensors(b)
    if not b or a.keys() != b.keys():
        print("other tensors")
        return 1
    difference = sum((x - y) ** 2 for name in b for x, y in zip(a[name], b[name]))
    distance = (difference / sum(y * y for name in b for y in b[name])) ** 0.5
    print(f"relative L2 of the difference {distance:.2e}, at most {limit}")
    return 0 if distance <= float(limit) else 1


def curves(folder):
    found = {}
    for name in ("uvit", "uvic"):
        runs = {run.name: losses_of(run) for run in sorted(pathlib.Path(folder).glob(f"{name}-*"))}
        seeds = [values for run, values in runs.items() if "cuda" in run]
        windows = []
        for i, cpu in enumerate(runs[f"{name}-cpu"]):
            gpu = [values[i] for values in seeds]
            windows.append({"cpu_seed_0": cpu, "gpu": gpu, "same_seed_difference": gpu[0] - cpu,
                            "standard_deviation_of_seeds": statistics.stdev(gpu)})
        found[name] = windows
    print(json.dumps(found, indent=1))
    return 0


def ncu(file):
    lines = [line for line in pathlib.Path(file).read_text(errors="replace").splitlines() if line.startswith('"')]
    rows = list(csv.DictReader(lines))
    key = next(k for k in rows[0] if "gpu__time_duration" in k)
    factor = {"ns": 1e-6, "nsecond": 1e-6, "us": 1e-3, "usecond": 1e-3, "ms": 1, "msecond": 1}[rows[0][key]]
    rows = rows[1:]
    # One optimizer launch (its last pass) ends a step.
    times = [(row["Kernel Name"], float(row[key].replace(",", "")) * factor) for row in rows]
    by_name = {}
    for name, ms in times:
        name = re.sub(r"\(.*", "", name.replace("(anonymous namespace)", ""))[:160]
        entry = by_name.setdefault(name, [0, 0.0])
        entry[0] += 1
        entry[1] += ms
    total = sum(ms for _, ms in times)
    rows = sorted(by_name.items(), key=lambda item: -item[1][1])
    print(json.dumps({"launches": len(times), "total_ms": total,
                      "kernels": [{"name": n, "calls": c, "ms": ms, "share": ms / total} for n, (c, ms) in rows]}, indent=1))
    return 0


def images(file, seconds):
    rates = [float(x) for x in re.findall(r'"images_per_sec": ([0-9.e+-]+)', json.dumps(json.load(open(file))["rate"]))]
    if not rates:
        return 1
    per_image = sum(1 / rate for rate in rates)
    print(int(0.8 * float(seconds) / per_image) // 12800 * 12800)
    return 0


def inception(file):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/golden/metrics"))
    import make_inception
    import torch

    torch.save(make_inception.rule_state(), file)
    return 0


def read(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        return {"error": str(error), "text": path.read_text()[-2000:]}


def collect(part, out, logs):
    out, logs = pathlib.Path(out), pathlib.Path(logs)
    kept = out / f"{part}.json"
    found = read(kept) if kept.exists() else {}
    found["stages"] = {}
    for line in (logs / "stages.tsv").read_text().splitlines():
        name, code, seconds = line.split("\t")
        found["stages"][name] = {"exit_code": int(code), "seconds": int(seconds)}
    for path in out.glob("*.json"):
        if path.stem in ("contact", "measure", "train"):
            continue
        found[path.stem] = read(path)
        if not path.stem.startswith("peer"):  # these are written to by and by
            path.unlink()
    kept.write_text(json.dumps(found, indent=1))
    for name, stage in found["stages"].items():
        print(f"{name:16} exit code {stage['exit_code']:4}  {stage['seconds']:4} s")
    times = found.get("kernels", {}).get("times", [])
    peers = found.get("peer_attention", {}).get("attention", [])
    for ours in times if isinstance(peers, list) else []:
        def best(field, way):
            return min((p["forward_ms"] + p["backward_ms"] if field == "both" else p[field] for p in peers
                        if p["shape"] == ours["shape"] and p.get("causal", False) == causal and whole
                        and "error" not in p and p["way"].startswith(way)), default=None)
        causal, whole = ours.get("causal", False), ours.get("queries", ours["shape"][2]) == ours["shape"][2]
        total = ours["forward_ms"] + ours["backward_ms"]
        kind = ("causal " if causal else "") + ("" if whole else f"{ours['queries']} queries ")
        text = (f"{ours.get('kernels', ''):9} {ours['weights']:8} {kind}{ours['shape']}: {ours['forward_ms']:.3f} + "
                f"{ours['backward_ms']:.3f} ms")
        if best("both", "softmax"):
            text += (f"; PyTorch's best softmax / ours = {best('both', 'softmax') / total:.2f} (forward "
                     f"{best('forward_ms', 'softmax') / ours['forward_ms']:.2f})")
        if best("both", "cog"):
            text += f"; plain Cog / ours = {best('both', 'cog') / total:.2f}"
        print(text)
    return 0


def main():
    verbs = {"losses": compare_losses, "curves": curves, "ncu": ncu, "inception": inception, "images": images,
             "weights": weights}
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if sys.argv[1] in verbs:
        return verbs[sys.argv[1]](*sys.argv[2:])
    return collect(*sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
