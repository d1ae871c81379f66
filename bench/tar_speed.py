#!/usr/bin/env python3
"""Training images from a tar next to the same images from a zip: speed, the index, and listings that were killed.

    bench/tar_speed.py build/release/bin/uvic [--images 100000] [--rounds 7] [--kills 12] [--folder FOLDER]

Prints a JSON object. `uvic dataset` writes procedural images of 32 px to a tar and to a zip. A round trains a small network on
one of the two, then on the other, without a cache of decoded images; ratios are those of the two runs of one round. Processor
times say more than wall times where other programs use the machine.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import tempfile
import time

NETWORK = ["--batch_size", "100", "--model.img_size", "32", "--model.patch_size", "16", "--model.embed_dim", "16", "--model.depth", "2",
           "--model.num_heads", "1", "--precision", "fp32", "--grid_images", "0", "--dataset.memory_limit_mib", "0"]


def run(command, cache, **options):
    return subprocess.run(command, env={**os.environ, "UVIC_CACHE": str(cache)}, check=True, capture_output=True, text=True, **options)


def timed(command, cache):
    """Wall time, processor time (user and system) and the most memory of a command, and what it printed.

    "memory_mib" has the pages of mapped archives, which the system takes back at need; "anonymous_mib", looked at every 5 ms, has not.
    """
    begin, anonymous = time.time(), 0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env={**os.environ, "UVIC_CACHE": str(cache)}, stdout=output, stderr=subprocess.DEVNULL)
        while True:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            anonymous = max(anonymous, int((re.search(r"RssAnon:\s+(\d+)", status) or [0, 0])[1]))
            pid, code, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.005)
        process.returncode = os.waitstatus_to_exitcode(code)
        output.seek(0)
        text = output.read().decode()
    if process.returncode != 0:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    return {"sec": time.time() - begin, "cpu_sec": usage.ru_utime + usage.ru_stime, "memory_mib": usage.ru_maxrss / 1024,
            "anonymous_mib": anonymous / 1024}, text


def medians(rows):
    return {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}


def training(program, data, out, images, cache):
    """Images a second between the first and the last line of a training, and its processor time for 1000 images."""
    used, _ = timed([program, "train", "--data", str(data), "--out", str(out), "--total_images", str(images), "--log_images", str(images // 10),
                     "--checkpoint_images", str(images), "--threads", "1", "--workers", "1", "--quiet", *NETWORK], cache)
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "elapsed_sec" in line]
    shutil.rmtree(out)
    rate = (lines[-1]["images_seen"] - lines[0]["images_seen"]) / (lines[-1]["elapsed_sec"] - lines[0]["elapsed_sec"])
    return {"images_per_sec": rate, "cpu_ms_per_image": 1000 * used["cpu_sec"] / images}


def spread(values):
    quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": round(statistics.median(values), 4), "quartiles": [round(quarters[0], 4), round(quarters[2], 4)], "rounds": len(values)}


def forget(path):
    """The file's pages leave memory, so that the next reader waits for the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def index_file(cache):
    return next((cache / "tar").glob("*.index"), None) if (cache / "tar").is_dir() else None


def is_complete(index):
    """The byte after the magic, the identity (8 + 8 + 4) and the place of the next header (8)."""
    return index.read_bytes()[len("uvic tar index 1") + 28] == 1


def cpu_sec(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_listing(command, cache, archive, after_cpu_sec):
    """Kills a listing once it has taken that much processor time; says what it left: nothing, a part, or all."""
    shutil.rmtree(cache, ignore_errors=True)
    process = subprocess.Popen(command, env={**os.environ, "UVIC_CACHE": str(cache)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and str(archive) not in open(f"/proc/{process.pid}/maps").read():
        time.sleep(0.001)
    begin = cpu_sec(process)
    while process.poll() is None and cpu_sec(process) - begin < after_cpu_sec:
        time.sleep(0.001)
    process.kill()
    process.wait()
    index = index_file(cache)
    return "nothing" if index is None else "all" if is_complete(index) else "a part"


def write_long_tar(path, entries):
    """Empty files: nothing but headers, so that a listing takes seconds."""
    header = bytearray(512)
    header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    header[124:136], header[136:148], header[156:157] = b"00000000000\0", b"00000000000\0", b"0"
    header[257:265] = b"ustar\x0000"
    pixels = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da63606060000000040001f61738550000000049454e44ae426082")
    with open(path, "wb") as file:
        for i in range(entries):
            content = pixels if i == 0 else b""
            one = bytearray(header)
            name = b"%08d.%s" % (i, b"png" if i == 0 else b"txt")
            one[: len(name)] = name
            one[124:136] = b"%011o\0" % len(content)
            one[148:156] = b" " * 8
            one[148:156] = b"%06o\0 " % sum(one)
            file.write(one + content + bytes(-len(content) % 512))
        file.write(bytes(1024))


def killed(inspect, archive, scratch, kills):
    """Of many killed listings: what each left, and whether the next one finds the same files."""
    command = [*inspect, str(archive)]
    first, expected = timed(command, scratch / "whole")
    again, _ = timed(command, scratch / "whole")
    listing_sec = max(first["cpu_sec"] - again["cpu_sec"], 0.02)
    left, wrong, after = {"nothing": 0, "a part": 0, "all": 0}, 0, {}
    for _ in range(kills):
        state = kill_listing(command, scratch / "killed", archive, random.uniform(0, listing_sec))
        left[state] += 1
        used, text = timed(command, scratch / "killed")
        after.setdefault(state, []).append(used)
        wrong += text != expected or not is_complete(index_file(scratch / "killed"))
    shutil.rmtree(scratch / "whole")
    return {"first": medians([first]), "with_index": medians([again]), "kills": kills, "index_left": left, "wrong_afterwards": wrong,
            "cpu_sec_afterwards": {state: medians(rows)["cpu_sec"] for state, rows in after.items()}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--images", type=int, default=100000)
    parser.add_argument("--train_images", type=int, default=20000, help="of a training of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--entries", type=int, default=1000000, help="of the tar whose listing is killed")
    parser.add_argument("--folder", help="where the archives are made and left; default: a temporary folder")
    options = parser.parse_args()
    random.seed(0)
    program, result = options.program, {}
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        folder = pathlib.Path(options.folder or name)
        folder.mkdir(exist_ok=True)
        tar, zipped = folder / "set.tar", folder / "set.zip"
        for archive in (tar, zipped):
            if archive.exists():
                continue
            begin = time.time()
            run([program, "dataset", "procedural", str(archive), "--image_size", "32", "--num_images", str(options.images)], scratch / "cache")
            result[f"written_{archive.suffix[1:]}"] = {"sec": round(time.time() - begin, 1), "mib": round(archive.stat().st_size / (1 << 20), 1)}

        inspect = [program, "--json", "inspect"]
        openings = {"tar, first": (tar, False), "tar, index kept": (tar, True), "zip": (zipped, True), "program alone": (None, True)}
        found = {kind: [] for kind in openings}
        for _ in range(options.rounds):
            for kind, (archive, keeps) in openings.items():
                if not keeps:
                    shutil.rmtree(scratch / "index", ignore_errors=True)
                found[kind].append(timed([*inspect, str(archive)] if archive else [program, "--version"], scratch / "index")[0])
        result["opening"] = {kind: medians(rows) for kind, rows in found.items()}
        result["index_mib"] = round(index_file(scratch / "index").stat().st_size / (1 << 20), 2)
        forget(tar)
        shutil.rmtree(scratch / "index")
        result["opening"]["tar, first, from the disk"] = medians([timed([*inspect, str(tar)], scratch / "index")[0]])

        # Of this tar, and of one that takes longer than the second after which a part of the index is kept.
        result["killed"] = {"set": killed(inspect, tar, scratch, options.kills)}
        write_long_tar(scratch / "long.tar", options.entries)
        result["killed"]["headers alone"] = {"entries": options.entries, **killed(inspect, scratch / "long.tar", scratch, options.kills)}
        (scratch / "long.tar").unlink()

        rates = {"tar": [], "zip": []}
        for i in range(options.rounds):
            for kind in ("tar", "zip") if i % 2 == 0 else ("zip", "tar"):
                rates[kind].append(training(program, tar if kind == "tar" else zipped, scratch / "run", options.train_images, scratch / "index"))
        result["training"] = {}
        for key in ("images_per_sec", "cpu_ms_per_image"):
            for kind, rows in rates.items():
                result["training"][f"{kind}, {key}"] = spread([row[key] for row in rows])
            result["training"][f"tar to zip, {key}"] = spread([t[key] / z[key] for t, z in zip(rates["tar"], rates["zip"])])
    print(json.dumps(result, indent=2))


main()
