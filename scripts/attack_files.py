"""Files that are crafted to be wrong, and the commands that read them. Part of attack.py.

Each is small; what it claims is not. A reader refuses it in bounded time and memory.
"""
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib


def npy(header, body=b""):
    text = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def npy_array(shape, dtype="|u1", body=b"", order="False"):
    return npy(f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n", body)


def zip_of(entries, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def safetensors(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def png(width, height, rows=b"", depth=8, kind=2):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Shell:
    def __reduce__(self):
        import os
        return os.system, ("touch /tmp/uvic-attack-ran",)


def pth(data_pkl, storages=()):
    return zip_of([("archive/data.pkl", data_pkl), ("archive/version", b"3\n")] +
                  [(f"archive/data/{i}", data) for i, data in enumerate(storages)], zipfile.ZIP_STORED)


def lying_zip(chance):
    """A valid archive with one number of its directory replaced."""
    data = bytearray(zip_of([(f"{i}.png", png(8, 8, bytes(25 * 8))) for i in range(4)]))
    at = data.rindex(b"PK\x01\x02") if chance.random() < 0.5 else data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, at + chance.choice((8, 12, 16, 20, 24, 28, 42)) % (len(data) - at - 4),
                     chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF)))
    return bytes(data)


def tar_of(size_field):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("00000.png")
        data = png(8, 8, bytes(25 * 8))
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    data = bytearray(stream.getvalue())
    data[124:136] = size_field
    data[148:156] = b"        "
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def deep(opening, closing, count=200000):
    return (opening * count + closing * count).encode()


def invalid(chance):
    """Files that no reader takes."""
    big = 2 ** 62
    yield "a.npy", npy_array(f"({big}, {big})")
    yield "a.npy", npy_array("(-1, 3, 8, 8)")
    yield "a.npy", npy_array("(1000000000, 3, 32, 32)", body=bytes(100))
    yield "a.npy", npy_array("(2, 8)", "|O", pickle.dumps([Shell()]))
    yield "a.npy", npy(b"\x00" * 60)
    yield "a.npy", b"\x93NUMPY\x01\x00\xff\xff{"
    yield "a.npy", npy("{'descr': " + "[" * 60000)
    yield "a.npz", zip_of([("arr_0.npy", npy_array("(4000000000, 3, 32, 32)"))])
    yield "a.npz", zip_of([("mu.npy", npy_array(f"({big},)", "<f8")), ("sigma.npy", npy_array(f"({big}, {big})", "<f8"))])
    yield "a.npz", zip_of([("mu.npy", npy_array("(4,)", "<f8", struct.pack("<4d", *[float("nan")] * 4))),
                           ("sigma.npy", npy_array("(4, 4)", "<f8", struct.pack("<16d", *[float("nan")] * 16)))])
    yield "a.safetensors", safetensors(b"{", length=2 ** 63 - 1)
    yield "a.safetensors", safetensors(b"{}", length=2 ** 40)
    yield "a.safetensors", safetensors(deep("[", "]"))
    yield "a.safetensors", safetensors(deep('{"a":', ""))
    yield "a.safetensors", safetensors({"a": tensor([2 ** 32, 2 ** 32], 0, 4)}, bytes(4))
    yield "a.safetensors", safetensors({"a": tensor([1], 0, 4), "b": tensor([1], 2, 6)}, bytes(8))
    yield "a.safetensors", safetensors({"a": tensor([-1], 0, 4)}, bytes(4))
    yield "a.safetensors", safetensors({"a": tensor([1], -4, 0)}, bytes(4))
    yield "a.safetensors", safetensors({"a": tensor([1], 0, 4, "F4096")}, bytes(4))
    yield "a.safetensors", safetensors({"__metadata__": {"uvic.config": "sample.steps = 9223372036854775807"},
                                        "pos_embed": tensor([1], 0, 4)}, bytes(4))
    yield "a.pth", pth(pickle.dumps({"state_dict": Shell()}))
    yield "a.pth", pth(b"\x80\x02" + b"(" * 1000000 + b".")
    yield "a.pth", pth(b"\x80\x02" + b"]2" * 500000 + b".")
    yield "a.pth", pth(b"\x80\x04\x95" + struct.pack("<Q", 2 ** 62) + b"N.")
    yield "a.pth", pth(b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".")
    yield "a.pth", b"\x80\x02}q\x00."
    yield "a.png", png(2 ** 31 - 1, 2 ** 31 - 1)
    yield "a.png", png(60000, 60000)
    yield "a.png", png(8, 8, bytes(25 * 8))[:-20]
    yield "a.png", b"\x89PNG\r\n\x1a\n"
    yield "a.jpg", b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9"
    yield "a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff\x2f" + b"\xff" * 40
    yield "a.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 2 ** 31 - 1, -2 ** 31, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "a.zip", zip_of([("dataset.json", deep("[", "]")), ("a.png", png(8, 8)[:40])])
    yield "a.zip", zip_of([("b.zip", zip_of([("c.zip", zip_of([]))]))])
    yield "a.zip", zip_of([(name, b"") for name in ("../a.png", "/a.png", "a" * 5000 + ".png", "\x01.png")])
    yield "a.zip", zip_of([("a.png", bytes(200 << 20))])
    yield "a.zip", b"PK\x05\x06" + b"\xff" * 18
    yield "a.tar", tar_of(b"77777777777\0")
    yield "a.tar", tar_of(b"\x80" + b"\xff" * 11)
    yield "a.tar", tar_of(b"zzzzzzzzzzz\0")
    yield "a.toml", b"[" * 30000
    yield "a.toml", ("a." * 10000 + "b = 1").encode()
    yield "a.toml", b"[sample]\nsteps = 9223372036854775807\n"
    yield "a.toml", b"batch_size = 99999999999999999999999\n"
    yield "a.toml", b"[model]\nembed_dim = nan\n"
    yield "a.toml", b"\x00\x01\x02"
    yield "a.toml", b"a" * 1000000
    yield "a.json", deep("[", "]")
    yield "a.json", b"[" + b"{}," * 1000000 + b"{}]"
    yield "a.json", b'{"images": 1, "annotations": [1, 2]}'
    yield "a.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield "a.pth", b"<!DOCTYPE html><html></html>"
    for name in ("a.npy", "a.npz", "a.safetensors", "a.pth", "a.png", "a.jpg", "a.zip", "a.tar", "a.pt", "a.index.json"):
        yield name, b""
        yield name, b"\x00" * 1000
        yield name, chance.randbytes(3000)


def crafted(chance):
    """Endless (name, bytes, whether every reader must refuse it)."""
    cases = list(invalid(chance))
    chance.shuffle(cases)
    for name, data in cases:
        yield name, data, True
    sound = [("a.npy", npy_array("(4, 8, 8, 3)", body=bytes(768))),
             ("a.npz", zip_of([("arr_0.npy", npy_array("(4, 8, 8, 3)", body=bytes(768)))])),
             ("a.safetensors", safetensors({"a": tensor([4], 0, 16)}, bytes(16))),
             ("a.png", png(8, 8, bytes(25 * 8))), ("a.tar", tar_of(b"00000000200\0")),
             ("a.pth", pth(pickle.dumps({"a": [1, 2.0, "x"]}, protocol=2))),
             ("a.toml", b"batch_size = 4\n[model]\ndepth = 2\n"), ("a.json", b'["a cat", "a dog"]'),
             ("a.zip", zip_of([(f"{i}.png", png(8, 8, bytes(25 * 8))) for i in range(4)]))]
    many = {f"t{i}": tensor([1], 4 * i, 4 * i + 4) for i in range(40000)}  # sound, but linear time is asked for
    yield "a.safetensors", safetensors(many, bytes(160000)), False
    while True:
        yield "a.zip", lying_zip(chance), False
        name, data = chance.choice(sound)
        data = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(data))
            change = chance.randrange(4)
            if change == 0:
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            elif change == 1:
                del data[at:at + chance.choice((1, 4, 100))]
            elif change == 2:
                data[at:at] = data[at:at + chance.choice((1, 8, 50))]
            else:
                data[at:at + 8] = chance.choice((b"\xff" * 8, bytes(8), b"99999999", b"-1-1-1-1"))
            data = data or bytearray(b"\x00")
        yield name, bytes(data), False


def readers(path, folder, run):
    """The commands that read a file of that kind."""
    ending = path.rsplit(".", 1)[1]
    scores = ["--ref", "procedural", "--num_ref", "20"]
    out = folder + "/out"
    commands = {
        "toml": [["train", "--dry_run", "--config", path], ["sample", "--weights", f"{run}/weights/000000064.safetensors",
                                                            "--config", path, "--out", out, "--seeds", "0"]],
        "json": [["fid", "--run", run, "--captions", path, *scores], ["encode", "--data", "procedural", "--text_encoder", "words",
                                                                      "--tokenizer", path, "--out", out]],
        "txt": [["sample", "--weights", path, "--out", out, "--seeds", "0"]],
        "safetensors": [["sample", "--weights", path, "--out", out, "--seeds", "0"], ["convert", path, out + ".pth"],
                        ["train", "--init", path, "--data", "procedural", "--out", out, "--total_images", "16"]],
        "npz": [["fid", "--images", path, *scores], ["fid", "--images", "procedural", "--num_images", "20", "--ref", path]],
        "npy": [["fid", "--images", path, *scores], ["predict", "--weights", f"{run}/weights/000000064.safetensors", "--input",
                                                     path, "--timesteps", "0.5"]],
    }
    commands["pth"] = commands["pt"] = commands["safetensors"][:2]
    images = [["fid", "--images", folder, *scores], ["dataset", folder, out + ".zip"]]
    archives = [["fid", "--images", path, *scores], ["dataset", path, out + ".zip"]]
    for image in ("png", "jpg", "webp", "bmp"):
        commands[image] = images
    commands["zip"] = commands["tar"] = archives
    return [["inspect", path]] + commands[ending]
