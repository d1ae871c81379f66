"""Tables of bench/sampler_study.sh: python3 bench/sampler_study.py OUT/*/sweep.json > study.md

For each run and guidance a table of distances with their jackknife errors; then, over all runs, the difference between
two rules of the last step for each solver, with the paired jackknife error of that difference (the samples of both have
the same seeds).
"""
import json
import math
import pathlib
import sys


def jackknife(without):
    mean = sum(without) / len(without)
    return math.sqrt((len(without) - 1) / len(without) * sum((d - mean) ** 2 for d in without))


def with_error(value, error):
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 2
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def difference(a, b):
    pairs = zip(a["leave_out"], b["leave_out"])
    return a["distance"] - b["distance"], jackknife([x - y for x, y in pairs])


def solver_and_rule(name):
    solver, *options = name.split(":")
    rule = next((o.split("=")[1] for o in options if o.startswith("lower_order_final=")), "")
    rest = [o for o in options if not o.startswith("lower_order_final=")]
    return ":".join([solver, *rest]), rule


def main(paths):
    sweeps = [(pathlib.Path(p).parent.name, json.load(open(p))) for p in paths]
    for run, sweep in sweeps:
        settings = sweep["settings"]
        print(f"### {run}\n")
        print(f"{settings['count']} images a point, seeds {settings['seeds']}, against {settings['reference']['count']} images of "
              f"{settings['reference_source']}; weights of {sweep['points'][0]['images_seen']} images; {settings['precision']}.\n")
        for guidance in sorted({p["guidance_scale"] for p in sweep["points"]}):
            points = [p for p in sweep["points"] if p["guidance_scale"] == guidance]
            columns = sorted({p["asked_evaluations"] for p in points})
            print(f"| {sweep['name']}, guidance {guidance:g}, at evaluations: | " + " | ".join(map(str, columns)) + " |")
            print("|---" * (len(columns) + 1) + "|")
            for sampler in dict.fromkeys(p["sampler"] for p in points):
                cells = []
                for column in columns:
                    found = [p for p in points if p["sampler"] == sampler and p["asked_evaluations"] == column]
                    cells.append(with_error(found[0]["distance"], found[0]["std"]) if found else "")
                print(f"| `{sampler}` | " + " | ".join(cells) + " |")
            print()
    print("### The last step of lower order: never minus always\n")
    print("| solver | run | guidance | " + " | ".join(f"{n} evaluations" for n in
          sorted({p["asked_evaluations"] for _, s in sweeps for p in s["points"]})) + " |")
    columns = sorted({p["asked_evaluations"] for _, s in sweeps for p in s["points"]})
    print("|---" * (len(columns) + 3) + "|")
    for solver in dict.fromkeys(solver_and_rule(p["sampler"])[0] for _, s in sweeps for p in s["points"]):
        for run, sweep in sweeps:
            for guidance in sorted({p["guidance_scale"] for p in sweep["points"]}):
                cells = []
                for column in columns:
                    rules = {solver_and_rule(p["sampler"])[1]: p for p in sweep["points"]
                             if solver_and_rule(p["sampler"])[0] == solver and p["guidance_scale"] == guidance
                             and p["asked_evaluations"] == column}
                    cells.append(with_error(*difference(rules["never"], rules["always"]))
                                 if {"never", "always"} <= rules.keys() else "")
                if any(cells):
                    print(f"| `{solver}` | {run} | {guidance:g} | " + " | ".join(cells) + " |")


main(sys.argv[1:])
