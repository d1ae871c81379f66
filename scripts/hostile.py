#!/usr/bin/env python3
"""Gives the program crafted files and reports what each cost: processor seconds and peak memory, next to those of no input.

    scripts/hostile.py [PROGRAM]        default: build/release/bin/uvic; needs 5 GB in /tmp and Python's standard library

Fails where the program ends by a signal, answers in several lines, or takes more than LIMIT_S processor seconds or
LIMIT_MIB of memory beyond that of `uvic --version`.
"""
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

LIMIT_S, LIMIT_MIB = 20, 600
ROOT = pathlib.Path(__file__).resolve().parents[1]
UVIC = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/bin/uvic").resolve()
os.environ.setdefault("UVIC_ROOT", str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def run(words, folder):
    """Exit code, processor seconds, peak MiB, the last line of stderr, the number of its lines."""
    with open(folder / "err", "w") as err:
        job = subprocess.Popen([str(UVIC), *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=err)
        _, status, usage = os.wait4(job.pid, 0)
        job.returncode = 0
    lines = (folder / "err").read_text(errors="replace").splitlines()
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    return code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, (lines or [""])[-1], len(lines)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, rows=b"\0" * 100):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_of_zeros(side):
    """A square black image in the fewest bytes."""
    packer, packed, row = zlib.compressobj(9), b"", b"\0" * (3 * side + 1)
    for _ in range(side):
        packed += packer.compress(row)
    packed += packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zip_of(path, entries, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind, allowZip64=True) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, kind)


def zip_bomb(path):
    """One image name over 4 GiB of zeros, 4 MB packed, and an image."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(zipfile.ZipInfo("a.png"), "w", force_zip64=True) as entry:
            for _ in range(256):
                entry.write(b"\0" * (1 << 24))
        archive.writestr("b.png", png(1, 1))


def zip_with_overlaps(path):
    """100,000 entries over one run of bytes."""
    content = zlib.compress(b"\0" * (1 << 20))[2:-4]
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, zlib.crc32(b"\0" * (1 << 20)), len(content), 1 << 20, 1, 0)
    data, directory = local + b"a" + content, []
    for i in range(100_000):
        name = b"%06d.png" % i
        directory.append(b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 0, zlib.crc32(b"\0" * (1 << 20)),
                                                  len(content), 1 << 20, len(name), 0, 0, 0, 0, 0, 0) + name)
    joined = b"".join(directory)
    tail = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 100_000, 100_000, len(joined), len(data))
    locator = b"PK\6\7" + struct.pack("<IQI", 0, len(data) + len(joined), 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data + joined + tail + locator + end)


def renamed_zip(path, name):
    """The name put in place of one of the same length."""
    innocent = "n" * (len(name) - 4) + ".png"
    zip_of(path, [(innocent, png(1, 1))])
    path.write_bytes(path.read_bytes().replace(innocent.encode(), name.encode("latin1")))


def safetensors(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def pth(path, pickled, storages=()):
    zip_of(path, [("a/data.pkl", pickled), *((f"a/data/{key}", content) for key, content in storages)])


def laughs(levels):
    value = []
    for _ in range(levels):
        value = [value, value]
    return pickle.dumps(value, 2)


def circle():
    value = []
    value.append(value)
    return pickle.dumps(value, 2)


def npy(shape, descr="<f4", data=b""):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + 1) + text + b"\n" + data


def run_folder(folder, **files):
    run = folder / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    (run / "config.toml").write_text("data = 'procedural'\n[model]\nimg_size = 8\nembed_dim = 16\ndepth = 2\nnum_heads = 2\n")
    for name, content in files.items():
        (run / name.replace("__", ".")).write_bytes(content)
    return run


F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
IMAGES = ["fid", "--ref", "procedural", "--num_ref", "20", "--images"]
WEIGHTS = ["convert"]


def cases(folder):
    """Name, what makes the input, the words of the command."""
    def file(name, make):
        return lambda: make(folder / name)

    def text(name, content):
        return lambda: (folder / name).write_bytes(content() if callable(content) else content)

    images = lambda name, make: (name, file("x.zip", make), [*IMAGES, "x.zip"])
    weights = lambda name, ending, make: (name, file("x" + ending, make), [*WEIGHTS, "x" + ending, "out.safetensors"])
    arrays = lambda name, make: (name, file("x.npz", make), [*IMAGES, "x.npz"])
    one = lambda content: lambda path: zip_of(path, [("a.png", content), ("b.png", png(1, 1))])  # a score needs two
    yield images("zip bomb, 4 GiB in 4 MB", zip_bomb)
    yield images("zip, 100,000 overlapping entries", zip_with_overlaps)
    yield images("zip inside zip inside zip", lambda path: [zip_of(path, [("a.png", b"x"), ("c.png", png(1, 1)), ("b.zip", path.read_bytes() if path.exists() else b"")]) for _ in range(20)])
    yield images("zip, 1,000,000 empty entries", lambda path: zip_of(path, ((f"{i:07d}.png", b"") for i in range(10**6))))
    yield images("zip, a directory of 2^32 entries", lambda path: path.write_bytes(b"PK\3\4" + b"\0" * 200 + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, 1 << 31, 0, 0)))
    for name in ("../../x.png", "/etc/x.png", "C:\\win.png", "a\0b.png"):
        yield images(f"zip, a path {name!r}", lambda path, name=name: renamed_zip(path, name))
    yield images("zip, a path of 4,096 bytes", lambda path: zip_of(path, [("n" * 4092 + ".png", png(1, 1))]))
    yield images("PNG of 65,535 x 65,535", one(png(65535, 65535)))
    yield images("PNG of 2^31 - 1 x 1", one(png(2**31 - 1, 1)))
    yield images("PNG of 16,000 x 16,000, black, 750 kB", one(png_of_zeros(16000)))
    yield images("JPEG header of 65,500 x 65,500", one(b"\xff\xd8\xff\xc0\0\x11\x08\xff\xdc\xff\xdc\3\1\x22\0\2\x11\1\3\x11\1\xff\xd9"))
    yield images("BMP of 2^31 - 1 x 2^31 - 1", one(b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0)))
    yield images("dataset.json of 16,000,000 {}", lambda path: zip_of(path, [("a.png", png(1, 1)), ("dataset.json", b'{"labels":[' + b"{}," * 16_000_000 + b"{}]}")], zipfile.ZIP_DEFLATED))
    yield weights("safetensors, overlapping offsets", ".safetensors", lambda path: safetensors(path, {"a": F32, "b": F32}, b"\0" * 16))
    yield weights("safetensors, a header of 2^63 bytes", ".safetensors", lambda path: path.write_bytes(struct.pack("<Q", 2**63) + b"{}"))
    yield weights("safetensors, nested 10,000,000 deep", ".safetensors", lambda path: safetensors(path, b'{"a":' + b"[" * 10_000_000))
    yield weights("safetensors, 400,000 tensors", ".safetensors", lambda path: safetensors(path, {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(400_000)}))
    yield weights("safetensors, a shape of 2^62", ".safetensors", lambda path: safetensors(path, {"a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 16]}}, b"\0" * 16))
    yield weights("pickle that holds itself", ".pth", lambda path: pth(path, circle()))
    yield weights("pickle of 2^60 paths in 60 lists", ".pth", lambda path: pth(path, laughs(60)))
    yield weights("pickle of 8,000,000 lists in lists", ".pth", lambda path: pth(path, b"\x80\2" + b"(" * 8_000_000 + b"l" * 8_000_000 + b"."))
    yield weights("pickle that calls os.system", ".pth", lambda path: pth(path, b"\x80\2cos\nsystem\nX\4\0\0\0true\x85R."))
    yield weights("pickle with a memo of 2^32 - 1", ".pth", lambda path: pth(path, b"\x80\2Nr\xff\xff\xff\xff."))
    yield weights("pth whose entry states 2^40 bytes", ".pth", lambda path: (pth(path, b"\x80\2N.", [("0", b"x")]), path.write_bytes(path.read_bytes().replace(struct.pack("<II", 1, 1), struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)))))
    yield arrays("npz, shape (2^40,) in 100 bytes", lambda path: zip_of(path, [("features.npy", npy((2**40,)))]))
    yield arrays("npz, 4 GiB of zeros deflated", lambda path: zip_of(path, [("features.npy", npy((4, 2**28), data=b"\0" * 2**32))], zipfile.ZIP_DEFLATED))
    yield arrays("npz, 200,000 arrays", lambda path: zip_of(path, ((f"a{i}.npy", npy((1,), data=b"\0" * 4)) for i in range(200_000))))
    yield ("pkl of 2^60 paths in 60 lists", text("x.pkl", lambda: laughs(60)), [*IMAGES, "x.pkl"])
    sampled = ["sample", "--run", "run", "--out", "out", "--seeds", "0"]
    for command in (["inspect", "run"], sampled):
        yield (f"{command[0]}: stats.jsonl of 200,000,000 brackets", lambda: run_folder(folder, stats__jsonl=b"[" * 200_000_000), command)
        yield (f"{command[0]}: config.toml of 32,000 brackets", lambda: run_folder(folder, config__toml=b"a = " + b"[" * 32_000), command)
        yield (f"{command[0]}: run.json of 1,000,000 objects in objects", lambda: run_folder(folder, run__json=b'{"a":' * 1_000_000), command)
        yield (f"{command[0]}: state.safetensors of zeros, 1 GiB", lambda: run_folder(folder, state__safetensors=b"\0" * (1 << 30)), command)
    yield ("config with steps of 2^63 - 1", text("x.toml", b"[sample]\nsteps = 9223372036854775807\n"), ["train", "--config", "x.toml", "--data", "procedural", "--out", "out"])
    yield ("seeds 0 to 99,999,999,999", lambda: None, ["sample", "--run", "nowhere", "--out", "out", "--seeds", "0-99999999999"])


def make_apart(make):
    """Makes the input in a process of its own: a program that is started inherits the peak memory of what starts it."""
    child = os.fork()
    if child == 0:
        make()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("can't make an input; is there 5 GB of space in /tmp?")


def main():
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        _, base_s, base_mib, _, _ = run(["--version"], scratch)
        print(f"`uvic --version` takes {base_s:.2f} s and {base_mib:.0f} MiB; below is what comes on top\n")
        print("| input | exit code | processor s | MiB | answer |\n|---|---|---|---|---|")
        names = iter(range(1000))
        while True:
            folder = scratch / str(next(names))
            folder.mkdir()
            every = list(cases(folder))
            index = int(folder.name)
            if index >= len(every):
                break
            name, make, words = every[index]
            make_apart(make)
            code, seconds, mib, answer, lines = run(words, folder)
            seconds, mib = max(0, seconds - base_s), max(0, mib - base_mib)
            print(f"| {name} | {code} | {seconds:.2f} | {mib:.0f} | {answer.replace('uvic: ', '', 1)[:110]} |", flush=True)
            if code not in (0, 1, 2) or lines > 3 or seconds > LIMIT_S or mib > LIMIT_MIB:
                wrong.append(name)
            subprocess.run(["rm", "-rf", str(folder)], check=True)
    print(f"\n{index} inputs, {len(wrong)} out of bounds {wrong or ''}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
