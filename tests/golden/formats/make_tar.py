"""Writes tar archives as other programs pack them, for tar_archive_test.cpp and captions_test.cpp.

  python3 make_tar.py        # in its own folder; Python's tarfile, formats ustar, GNU and pax
"""
import io
import struct
import tarfile
import zlib


def png(red):
    """A 2 x 2 image of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([red, 20, 30]) * 2 for _ in range(2))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write(name, form, files):
    with tarfile.open(name, "w", format=form) as tar:
        for path, content in files:
            info = tarfile.TarInfo(path)
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


LONG = "d" * 90 + "/" + "n" * 120 + ".txt"  # beyond ustar's 100 characters of a name
for name, form, path in (("ustar.tar", tarfile.USTAR_FORMAT, "d" * 90 + "/" + "n" * 90 + ".txt"), ("gnu.tar", tarfile.GNU_FORMAT, LONG),
                         ("pax.tar", tarfile.PAX_FORMAT, LONG + "\u00e9")):
    write(name, form, [("folder", None), ("folder/a.txt", b"hello"), (path, b"long"), ("empty", b""), ("block", b"x" * 512)])

SAMPLES = [("0001", 10, b"7", "a red square"), ("0002", 200, b"3\n", "a second one"), ("0003", 90, b"0", "caf\u00e9")]
files = []
for key, red, label, caption in SAMPLES:
    files += [(key + ".cls", label), (key + ".png", png(red)), (key + ".txt", caption.encode())]
write("shard-0000.tar", tarfile.USTAR_FORMAT, files)
write("shard-0001.tar", tarfile.PAX_FORMAT, [("0009.png", png(1)), ("0009.cls", b"5"), ("0009.json", b'{"caption": "in json", "width": 2}')])
