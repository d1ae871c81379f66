"""Small images of every kind that decode_image takes. Run here: python3 make_images.py (Pillow 9.4)."""
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

# 2 x 2 px by its header, 64 MiB by its data.
with open("bomb.png", "wb") as out:
    out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
              + chunk(b"IDAT", zlib.compress(bytes(64 << 20), 9)) + chunk(b"IEND", b""))

flat = Image.new("RGB", (16, 16), (200, 100, 50))
flat.save("flat.jpg", quality=90, optimize=True)
flat.save("flat_progressive.jpg", quality=90, progressive=True, optimize=True)

# WebP, lossy and lossless, with alpha, and an animation of two frames.
flat.save("lossy.webp", quality=90)
rgb.save("lossless.webp", lossless=True)
half = rgb.convert("RGBA")
half.putalpha(128)
half.save("alpha.webp", lossless=True)
flat.save("animated.webp", save_all=True, append_images=[Image.new("RGB", (16, 16))])

# JPEGs that Pillow 9.4 does not write, through cjpeg of libjpeg-turbo: restart intervals of 8 units, and a scan for each
# component.
import random
import subprocess

random.seed(1)
grey = Image.new("L", (64, 64))
grey.putdata([random.randrange(256) for _ in range(64 * 64)])
grey.save("noise.pgm")
flat.save("flat.ppm")
with open("scans.txt", "w") as out:
    out.write("0;\n1;\n2;\n")
subprocess.run("cjpeg -quality 50 -restart 8B -outfile restarts.jpg noise.pgm", shell=True, check=True)
subprocess.run("cjpeg -quality 90 -scans scans.txt -outfile separate.jpg flat.ppm", shell=True, check=True)
subprocess.run("rm noise.pgm flat.ppm scans.txt", shell=True, check=True)
