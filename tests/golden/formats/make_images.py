"""Small pictures of every kind that decode_image takes. Run here: python3 make_images.py (Pillow 9.4)."""
from PIL import Image

rgb = Image.new("RGB", (2, 2))
rgb.putdata([(0, 0, 0), (128, 128, 128), (255, 255, 255), (255, 0, 0)])
rgb.save("rgb.png")
rgb.save("rgb.bmp")
rgb.convert("P", palette=Image.Palette.ADAPTIVE).save("palette.png")
rgb.convert("RGBA").save("rgba.png")
rgb.convert("L").save("grey.png")
Image.fromarray(__import__("numpy").array([[0, 0x8080], [0xFFFF, 0x4C4C]], dtype="uint16")).save("grey16.png")

# Pillow writes no interlaced PNG: Adam7 of 2 x 2 has the passes (0,0), (1,0) and row 1.
import struct
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


rows = b"\0" + bytes([0] * 3) + b"\0" + bytes([128] * 3) + b"\0" + bytes([255, 255, 255, 255, 0, 0])
with open("interlaced.png", "wb") as out:
    out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 1))
              + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

flat = Image.new("RGB", (16, 16), (200, 100, 50))
flat.save("flat.jpg", quality=90, optimize=True)
flat.save("flat_progressive.jpg", quality=90, progressive=True, optimize=True)
