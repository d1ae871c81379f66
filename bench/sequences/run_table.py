#!/usr/bin/env python3
"""Trains and scores the runs of a table with uvic, skipping what is done, and prints the table.

Usage: run_table.py TABLE --out FOLDER [--uvic PATH] [--seeds 0,1,2] [--threads N] [--only TEXT]

Tables: nt (highest complexity by attention kind), iarc (architectures x attention), delete_copy (one head against
two), lengths (count_ones and find_zero beyond the lengths of training), attention (a language model by kind: give
--text FILE). A run is one folder: a run that is there is continued or skipped, so the same command finishes a table that
was interrupted. Results: FOLDER/TABLE.json, and a Markdown table on the standard output.
"""
import argparse
import json
import math
import subprocess
import sys
from pathlib import Path


def decoder(vocabulary, length, attention, hidden=64, layers=2, heads=2, inner=128, **more):
    flags = {"model.kind": "decoder_lm", "model.decoder_lm.vocab_size": vocabulary, "model.decoder_lm.hidden_size": hidden,
             "model.decoder_lm.intermediate_size": inner, "model.decoder_lm.num_hidden_layers": layers,
             "model.decoder_lm.num_attention_heads": heads, "model.decoder_lm.max_position_embeddings": length,
             "model.decoder_lm.attention": attention, "model.decoder_lm.placement": "all", "model.decoder_lm.init": "scaled"}
    flags.update({f"model.decoder_lm.{k}": v for k, v in more.items()})
    return flags


def small(kind, vocabulary, length, hidden, layers=2, **more):
    flags = {"model.kind": kind, "model.small.vocab_size": vocabulary, "model.small.length": length,
             "model.small.hidden_size": hidden, "model.small.num_layers": layers}
    flags.update({f"model.small.{k}": v for k, v in more.items()})
    return flags


RECIPE = {"batch_size": 64, "ema_decay": 0.99, "grid_images": 0, "score_images": 0, "optimizer.lr": 2e-3,
          "optimizer.weight_decay": 0.01, "optimizer.beta1": 0.9, "optimizer.beta2": 0.98, "optimizer.warmup_images": 3200,
          "optimizer.lr_decay": "cosine", "optimizer.grad_clip": 1.0}


def recipe(total, **more):
    return {**RECIPE, "total_images": total, "checkpoint_images": total, "log_images": max(64, total // 20), **more}


KINDS = ["softmax", "cog", "expressive", "extensive", "elliptical", "softmax_one", "gated", "differential", "factored"]


def table_nt():
    """N and tau rise: complexity N^tau. 100 % held-out accuracy is solved."""
    for n, tau in [(2, 2), (2, 4), (2, 8), (4, 2), (4, 4), (16, 2)]:
        for kind in KINDS:
            yield f"nt-{n}-{tau}-{kind}", {"N": n, "tau": tau, "attention": kind}, {
                "data": "nt", "tokens.symbols": n, "tokens.delay": tau, "tokens.length": 32,
                **decoder(n, 32, kind), **recipe(96000)}, {}


def table_iarc():
    """About 120 thousand parameters each, but the cisformer, whose projections are there once for each place."""
    rows = [("transformer", decoder(20, 64, k, hidden=64, layers=3)) for k in KINDS]
    rows = [(f"{name} {f['model.decoder_lm.attention']}", f) for name, f in rows]
    rows += [(f"cisformer {k}", small("cisformer", 20, 64, 24, 3, num_heads=2, intermediate_size=64, attention=k))
             for k in ("softmax", "cog", "expressive", "extensive")]
    rows += [("lstm", small("lstm", 20, 64, 84)), ("mlp", small("mlp", 20, 64, 80, 3, window=16))]
    for name, flags in rows:
        yield "iarc-" + name.replace(" ", "-"), {"network": name}, {
            "data": "iarc", "tokens.length": 64, **flags, **recipe(256000)}, {}


def table_delete_copy():
    """One layer: one head of Cog against one and two heads of softmax."""
    for items in (4, 8):
        for kind in ("softmax", "cog", "expressive", "gated", "differential"):
            for heads in (1, 2):
                yield f"delete-{items}-{kind}-{heads}", {"items": items, "attention": kind, "heads": heads}, {
                    "data": "delete_copy", "tokens.items": items, "tokens.symbols": 16,
                    **decoder(19, 2 * items + 1, kind, hidden=32, layers=1, heads=heads, inner=8, positions="learned"),
                    **recipe(128000)}, {}


def table_lengths():
    """Trained on problems of up to 59 bits, scored on longer rows too."""
    for task in ("count_ones", "find_zero"):
        for kind in ("softmax", "cog", "expressive", "softmax_one"):
            for heads in (1, 4):
                yield f"{task}-{kind}-{heads}", {"task": task, "attention": kind, "heads": heads}, {
                    "data": task, "tokens.length": 64, **decoder(12, 64, kind, layers=3, heads=heads), **recipe(192000)}, {
                    "length 64": [], "length 128": ["--length", "128", "--allow_longer"],
                    "length 256": ["--length", "256", "--allow_longer"]}


def table_attention():
    """A small language model on bytes of --text."""
    for kind in ("softmax", "cog", "softmax_one", "gated"):
        yield f"text-{kind}", {"attention": kind}, {
            "config": "lm_tiny_cog", "data": "TEXT", "model.decoder_lm.attention": kind,
            "model.decoder_lm.placement": "inner"}, {}


TABLES = {"nt": table_nt, "iarc": table_iarc, "delete_copy": table_delete_copy, "lengths": table_lengths,
          "attention": table_attention}


def call(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}")
    return done.stdout


def one_run(arguments, name, flags, scores, seed):
    """The scores of a run by the name of the scoring, trained first where it is not."""
    folder = arguments.out / f"{name}-seed{seed}"
    results = {}
    for label, more in (scores or {"": []}).items():
        file = folder.with_name(folder.name + (("-" + label.replace(" ", "")) if label else "") + ".json")
        if not file.exists():
            given = dict(flags, seed=seed, out=folder, threads=arguments.threads)
            if given.get("data") == "TEXT":
                given["data"] = arguments.text
            call([arguments.uvic, "train"] + [x for k, v in given.items() for x in (f"--{k}", str(v))])
            call([arguments.uvic, "score", "--run", str(folder), "--count", "2000", "--threads", str(arguments.threads),
                  "--out", str(file)] + more)
        results[label] = json.loads(file.read_text())
    record = json.loads((folder / "run.json").read_text())
    for result in results.values():
        result["parameters"] = record["parameters"]
    return results


def mean_and_error(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.2f}"
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
    return f"{mean:.2f} +- {error:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--uvic", default="uvic")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", default="", help="only runs whose name holds this text")
    parser.add_argument("--text", help="the text of table attention")
    arguments = parser.parse_args()
    if arguments.table == "attention" and not arguments.text:
        parser.error("--text: needed for the table attention")
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds = [int(s) for s in arguments.seeds.split(",")]
    rows = []
    for name, labels, flags, scores in TABLES[arguments.table]():
        if arguments.only not in name:
            continue
        by_seed = [one_run(arguments, name, flags, scores, seed) for seed in seeds]
        row = dict(labels, parameters=by_seed[0][next(iter(by_seed[0]))]["parameters"])
        for label in by_seed[0]:
            row[f"accuracy, % {label}".strip()] = mean_and_error([100 * r[label]["accuracy"] for r in by_seed])
            row[f"perplexity {label}".strip()] = mean_and_error([r[label]["perplexity"] for r in by_seed])
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    (arguments.out / f"{arguments.table}.json").write_text(json.dumps(rows, indent=1))
    if rows:
        print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(str(v) for v in row.values()) + " |")


if __name__ == "__main__":
    main()
