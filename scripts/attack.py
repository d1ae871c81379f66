#!/usr/bin/env python3
"""Attacks the built program for at most ten minutes and prints what was tried and what failed.

    scripts/attack.py [--program FILE] [--tests FILE] [--seconds 600] [--jobs 2] [--seed 1] [--parts numbers,tampered,...]

Parts: odd values for every option that the help lists, run folders with damaged and with foreign parts, crafted files, closed
descriptors, signals through pipes, settings of OpenMP, failing system calls. An attempt fails where the program ends by a
signal of its own making, does not end within ten seconds of SIGTERM, takes more than 4 GiB, answers a wrong call with another
exit code than 1 or 2 or with other than one line, shows the raw words of a library, or takes what it must refuse. Each seed
tries the options and damages in another order, as many as fit the time. Exit code 1 where anything failed.
"""
import argparse
import concurrent.futures
import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import attack_files
from attack_calls import Answer, call, fault_of, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = ("train --data procedural --batch_size 16 --dataset.image_size 8 --dataset.procedural_images 100 --model.img_size 8 "
        "--model.patch_size 2 --model.embed_dim 16 --model.depth 2 --model.num_heads 2 --model.num_classes 10 --log_images 16 "
        "--checkpoint_images 32 --grid_images 32 --grid_count 4 --sample.steps 2 --precision fp32").split()
# The share of the time of each part.
SHARES = {"numbers": 30, "tampered": 20, "files": 20, "descriptors": 4, "signals": 10, "openmp": 6, "faults": 10}


class Attack:
    """The program, a run of it in a scratch folder, and the counts of each part."""

    def __init__(self, options, scratch):
        self.program, self.tests, self.jobs = options.program, options.tests, options.jobs
        self.scratch, self.random = scratch, random.Random(options.seed)
        self.tried, self.failed, self.numbers = {}, {}, itertools.count()
        self.run, self.other = scratch / "run", scratch / "other"
        for folder, more in ((self.run, []), (self.other, ["--model.attention", "softmax", "--seed", "7"])):
            answer = call([self.program, *TINY, "--total_images", "64", "--out", str(folder), *more], 120)
            if answer.code != 0:
                sys.exit(answer.err)

    def fresh(self):
        """A path in the scratch folder that does not exist."""
        return self.scratch / f"{next(self.numbers)}"

    def uvic(self, words, limit=20, must_fail=False, environment=None):
        answer = call([self.program, *words], limit, environment)
        return fault_of(answer, must_fail), answer

    def work_on(self, part, cases, seconds):
        """Works off (text, function) pairs until the time is over; a function returns what failed, or nothing."""
        self.tried[part] = self.failed[part] = 0
        end = time.monotonic() + seconds
        cases, one_at_a_time = iter(cases), threading.Lock()
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            def worker():
                while time.monotonic() < end:
                    with one_at_a_time:
                        text, case = next(cases, (None, None))
                    if case is None:
                        return
                    fault = case()
                    self.tried[part] += 1
                    if fault:
                        self.failed[part] += 1
                        print(f"{part}: {text}: {fault[:300]}", file=sys.stderr, flush=True)
            for done in [pool.submit(worker) for _ in range(self.jobs)]:
                done.result()


# ---- numbers

VALUES = ["-1", "0", "-0", "1", "1e308", "-1e308", "nan", "-nan", "inf", "-inf", "0x10", "010", "99999999999999999999",
          "-9223372036854775808", "9223372036854775807", "4294967296", "2147483648", "16777216", "1.5", "", " ", " 1", "1 ",
          "1e999", "1e-400", "1,2", "0-99999999", "-", "--", "@", "x" * 5000, "\x1b[31m", "\t", "/dev/null", "/dev/zero", "/"]


def option_names(attack, command):
    text = call([attack.program, command, "--help_all"], 60).out
    return re.findall(r"^ +(?:-\w,)?--([a-z_.0-9]+)[ =\n]", text, re.M)


def call_of(attack, command, out):
    """A call that is right, to which one odd value is added."""
    small = ["--data", "procedural", "--dataset.procedural_images", "50", "--threads", "1"]
    return {
        "train": TINY + ["--dry_run", "--out", out],
        "sample": ["sample", "--run", str(attack.run), "--out", out, "--seeds", "0"],
        "fid": ["fid", "--images", "procedural", "--ref", "procedural", "--num_images", "20", "--num_ref", "20"],
        "compare": ["compare", "--config", str(attack.run / "config.toml"), "--data", "procedural", "--out", out, "--dry_run"],
        "sweep": ["sweep", "--run", str(attack.run), "--out", out, "--count", "10", "--num_ref", "20", "--samplers", "ddim",
                  "--evaluations", "2"],
        "bench": ["bench", "--networks", str(attack.run / "config.toml"), "--parts", "step", "--seconds", "0.01"],
        "convert": ["convert", str(attack.run), out + ".safetensors"],
        "compress": ["compress", "--run", str(attack.run), "--out", out + ".safetensors"],
        "inspect": ["inspect", str(attack.run)],
        "predict": ["predict", "--weights", str(attack.run / "weights/000000064.safetensors"), "--input", "/nowhere.npy",
                    "--timesteps", "0.5"],
        "dataset": ["dataset", "procedural", out + ".zip", "--num_images", "3"],
        "encode": ["encode", *small, "--out", out, "--text_encoder", "words", "--num_images", "3"],
        "grid": ["grid", "--run", str(attack.run), "--out", out + ".png", "--rows", "class", "--labels", "0,1",
                 "--columns", "seed", "--seeds", "0-1"],
        "score": ["score", "--run", str(attack.run)],
        "attention": ["attention", "--run", str(attack.run), "--data", "procedural", "--dataset.procedural_images", "50",
                      "--images", "2", "--maps", "1", "--timesteps", "0.5", "--threads", "1", "--out", out],
        # Of a folder that is there it would serve until a signal comes.
        "watch": ["watch", "/nowhere", "--port", "0"],
        "completion": ["completion", "bash"],
        "man": ["man"],
        "train-features": ["train-features", *small, "--out", out + ".safetensors", "--training.images", "32", "--test_images",
                           "10"],
        "train-autoencoder": ["train-autoencoder", *small, "--out", out + ".safetensors", "--total_images", "16",
                              "--test_images", "4", "--model.base_channels", "8", "--dataset.image_size", "16"],
    }[command]


def reads_back(attack, answer):
    """A config that was taken and printed gives itself again, but for the comments (the estimated time)."""
    def settings(text):
        return [line for line in text.splitlines() if not line.startswith("#")]

    printed = attack.fresh()
    printed.write_text(answer.out)
    again = call([attack.program, "train", "--config", str(printed), "--dry_run"], 60)
    printed.unlink()
    return "" if settings(again.out) == settings(answer.out) else "the printed config does not read back: " + again.err.strip()


def numbers(attack):
    commands = re.findall(r"^  ([a-z-]+) {2,}\S", call([attack.program, "--help"], 60).out.split("Subcommands:")[1], re.M)
    pairs = [(command, option, value) for command in commands for option in option_names(attack, command)
             for value in VALUES if option not in ("help", "help_all")]
    attack.random.shuffle(pairs)

    def case(command, option, value):
        out = attack.fresh()
        fault, answer = attack.uvic(call_of(attack, command, str(out)) + [f"--{option}={value}"])
        if not fault and command == "train" and answer.code == 0 and answer.out and option not in ("memory", "dry_run"):
            fault = reads_back(attack, answer)
        for path in attack.scratch.glob(out.name + "*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return fault

    for command, option, value in pairs:
        yield f"{command} --{option}={value[:40]!r}", lambda c=command, o=option, v=value: case(c, o, v)


# ---- run folders

PARTS = ["config.toml", "run.json", "stats.jsonl", "log.txt", "state.safetensors", "state-000000032.safetensors",
         "weights/000000064.safetensors", "weights/000000032.safetensors", "grids/000000064.png"]


def damage(path, kind, chance):
    data = path.read_bytes()
    path.unlink()
    at = chance.randrange(len(data))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind != "gone":
        path.write_bytes({"empty": b"", "half": data[:len(data) // 2], "zeros": bytes(len(data)), "brackets": b"[" * 200000,
                          "flip": data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:],
                          "longer": data + data, "letters": b"a" * 100000}[kind])


def run_folder(attack, change, refuses_train, refuses_sample):
    """Inspects, samples and continues a changed copy of the run."""
    copy, samples = attack.fresh(), attack.fresh()
    shutil.copytree(attack.run, copy)
    change(copy)
    faults = []
    for words, must_fail in ((["inspect", str(copy)], False),
                             (["sample", "--run", str(copy), "--out", str(samples), "--seeds", "0-1"], refuses_sample),
                             (["train", "--out", str(copy), "--total_images", "80"], refuses_train)):
        fault, _ = attack.uvic(words, 60, must_fail)
        if fault:
            faults.append(f"{words[0]}: {fault}")
    shutil.rmtree(copy)
    shutil.rmtree(samples, ignore_errors=True)
    return "; ".join(faults)


def tampered(attack):
    kinds = ["empty", "half", "flip", "flip", "flip", "zeros", "brackets", "letters", "longer", "fifo", "folder", "gone", "loop",
             "device"]
    torn = {"empty", "half", "flip", "zeros", "brackets", "letters", "longer", "fifo", "folder", "loop", "device"}
    cases = []
    for part, kind in itertools.product(PARTS, kinds):
        seed = attack.random.random()
        cases.append((f"{part} {kind}",
                      lambda part=part, kind=kind, seed=seed: run_folder(
                          attack, lambda copy: damage(copy / part, kind, random.Random(seed)),
                          part == "state.safetensors" and kind in torn,
                          part == "weights/000000064.safetensors" and kind in torn)))
    for part in ("state.safetensors", "weights/000000064.safetensors", "run.json", "stats.jsonl", "config.toml"):
        cases.append((f"{part} of another run",
                      lambda part=part: run_folder(
                          attack, lambda copy: shutil.copy(attack.other / part, copy / part), True,
                          part.startswith(("state", "weights", "config")))))
    cases.append(("an older state put back",
                  lambda: run_folder(attack, lambda copy: os.replace(copy / PARTS[5], copy / PARTS[4]), True, True)))
    cases.append(("weights, no state", lambda: run_folder(
        attack, lambda copy: [path.unlink() for path in copy.glob("state*")], True, False)))
    cases.append(("a record, no state, no weights", lambda: run_folder(
        attack, lambda copy: [path.unlink() for path in [*copy.glob("state*"), *copy.glob("weights/*")]], True, True)))
    attack.random.shuffle(cases)
    return cases


# ---- files

def files(attack):
    for name, data, must_fail in attack_files.crafted(attack.random):
        def case(name=name, data=data, must_fail=must_fail):
            folder = attack.fresh()
            folder.mkdir()
            path = folder / name
            path.write_bytes(data)
            faults = []
            for words in attack_files.readers(str(path), str(folder), str(attack.run)):
                fault, _ = attack.uvic(words, 30, must_fail and words[0] != "inspect")
                if fault:
                    faults.append(f"{words[0]}: {fault}")
            if faults and (keep := os.environ.get("UVIC_ATTACK_KEEP")):
                shutil.copy(path, pathlib.Path(keep) / f"{folder.name}-{name}")
            shutil.rmtree(folder)
            return "; ".join(faults)
        yield f"{name} of {len(data)} bytes", case


# ---- descriptors, signals, OpenMP

def saved(folder):
    path = folder / "state.safetensors"
    return path.exists() and path.stat().st_size > 0


def in_shell(attack, script, limit):
    return call(["bash", "-c", script], limit, {"UVIC": str(attack.program)})


def descriptors(attack):
    def case(closed):
        out = attack.fresh()
        answer = in_shell(attack, f'"$UVIC" {" ".join(TINY)} --total_images 32 --out {out} {closed}', 120)
        fault = answer.fault or (f"exit code {answer.code}" if answer.code != 0 else "" if saved(out) else "nothing saved")
        for path in out.rglob("*"):
            if path.is_file() and path.name != "log.txt" and b"images/s" in path.read_bytes():
                fault = fault or f"the log is in {path.name}"
        shutil.rmtree(out, ignore_errors=True)
        return fault

    def full(words):
        answer = in_shell(attack, f'"$UVIC" {words} > /dev/full', 120)
        return answer.fault or fault_of(answer, must_fail=True)

    closings = [" ".join(c) for n in (1, 2, 3) for c in itertools.combinations(("0<&-", "1>&-", "2>&-"), n)]
    for closed in closings + ["2>/dev/full", "1>/dev/null 2>&1", "0</dev/zero", "1>&- 2>/dev/full"]:
        yield closed, lambda closed=closed: case(closed)
    for words in ("--help", "--version", "help train", "sample --list", f"inspect {attack.run}", f"inspect {attack.run} --json",
                  "train --dry_run", "fid --images procedural --ref procedural --num_images 20 --num_ref 20"):
        yield words + " > /dev/full", lambda words=words: full(words)


def signals(attack):
    def case(number, reader):
        out, pid = attack.fresh(), attack.fresh()
        script = (f'( "$UVIC" {" ".join(TINY)} --total_images 100000000 --grid_images 0 --checkpoint_images 100000000 --out {out} '
                  f'2>&1 & echo $! >{pid}; wait ) | {reader} >/dev/null 2>&1')
        shell = subprocess.Popen(["setsid", "bash", "-c", script], env={**os.environ, "UVIC": str(attack.program)})
        answer = Answer()
        for _ in range(600):
            if (out / "stats.jsonl").exists() and (out / "stats.jsonl").stat().st_size > 0:
                break
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(int(pid.read_text()), number)
        if not wait_for(shell, 30, answer):
            os.kill(int(pid.read_text()), signal.SIGKILL)
            return "does not end"
        fault = "" if saved(out) else "nothing saved"
        shutil.rmtree(out, ignore_errors=True)
        return fault

    for number, reader in itertools.product((signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
                                            ("cat", "tee /dev/null", "head -n 1", "true", "sleep 0.3")):
        yield f"{number.name} through {reader}", lambda n=number, r=reader: case(n, r)


def openmp(attack):
    def case(setting, precision):
        out = attack.fresh()
        fault, _ = attack.uvic(TINY + ["--precision", precision, "--threads", "4", "--total_images", "32", "--out", str(out)], 60,
                               environment=dict([setting.split("=")]))
        fault = fault or ("" if saved(out) else "nothing saved")
        shutil.rmtree(out, ignore_errors=True)
        return fault

    settings = ["OMP_THREAD_LIMIT=1", "OMP_THREAD_LIMIT=3", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_NUM_THREADS=1",
                "OMP_NUM_THREADS=64", "OMP_PROC_BIND=true", "OMP_NESTED=true", "OMP_SCHEDULE=static", "OMP_STACKSIZE=16M",
                "OMP_WAIT_POLICY=active", "GOMP_SPINCOUNT=0", "OMP_NUM_THREADS=x", "MKL_NUM_THREADS=7", "OPENBLAS_NUM_THREADS=1"]
    for setting, precision in itertools.product(settings, ("fp32", "bf16")):
        yield f"{setting} {precision}", lambda s=setting, p=precision: case(s, p)


# ---- failing system calls

def faults(attack, seconds):
    """The tests of tests/faults: one failing call at a time; each assertion is one place."""
    attack.tried["faults"] = attack.failed["faults"] = 0
    if not pathlib.Path(attack.tests).exists():
        print(f"faults: left out, no {attack.tests}", file=sys.stderr)
        return
    answer = call([attack.tests, "[faults]"], max(seconds, 120), {"UVIC_FAULTS_ALL": "1"} if seconds > 600 else None)
    counts = re.findall(r"(\d+) (?:assertions?|failed)", answer.out)
    attack.tried["faults"] = int(counts[0]) if counts else 0
    if answer.code != 0 or not counts:
        attack.failed["faults"] = max(1, int(counts[1]) if len(counts) > 1 else 1)
        print(answer.out + answer.err, file=sys.stderr)


def main():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores, and the programs started here would too
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/uvic"))
    parser.add_argument("--tests", default=str(ROOT / "build/release/tests/cli/cli_test"))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--jobs", type=int, default=max(1, len(os.sched_getaffinity(0))))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", default=",".join(SHARES))
    options = parser.parse_args()
    options.program, options.tests = (str(pathlib.Path(path).resolve()) for path in (options.program, options.tests))
    parts = options.parts.split(",")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="uvic-attack-") as scratch:
        os.chdir(scratch)  # odd values are names of outputs too
        attack = Attack(options, pathlib.Path(scratch))
        seconds = options.seconds - (time.monotonic() - begin)
        whole = sum(SHARES[part] for part in parts)
        for part in parts:
            share = seconds * SHARES[part] / whole
            faults(attack, share) if part == "faults" else attack.work_on(part, globals()[part](attack), share)
    print(f"{'part':<12} {'attempts':>9} {'failures':>9}")
    for part in parts:
        print(f"{part:<12} {attack.tried[part]:>9} {attack.failed[part]:>9}")
    print(f"{'all':<12} {sum(attack.tried.values()):>9} {sum(attack.failed.values()):>9}    {time.monotonic() - begin:.0f} s")
    sys.exit(1 if any(attack.failed.values()) else 0)


if __name__ == "__main__":
    main()
