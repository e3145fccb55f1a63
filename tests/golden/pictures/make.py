"""Pictures in forms that we do not write ourselves, with the numbers that are in them.

Made by Pillow and tifffile of numbers that are computed here, so they belong to nobody. Run with
Python 3, numpy, pillow, tifffile and imagecodecs: `python make.py`.
"""

import io
import json
import pathlib

import numpy as np
import tifffile
from PIL import Image

here = pathlib.Path(__file__).parent
y, x = np.mgrid[0:20, 0:37]
gray = ((7 * y + 5 * x) % 256).astype(np.uint8)
deep = (1000 * y + 37 * x).astype(np.uint16)
index = ((x // 5 + y // 3) % 6).astype(np.uint8)
color = np.stack([gray, gray[::-1], index * 40], axis=2).astype(np.uint8)
palette = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128]
expected = {}


def keep(name, array, **facts):
    array = np.asarray(array)
    numbers = array.reshape(-1).astype(int).tolist()
    # A checksum that tells places apart.
    total = sum((place % 1009 + 1) * number for place, number in enumerate(numbers))
    expected[name] = {"shape": list(array.shape), "sum": sum(numbers), "weighted": total, **facts}


def tiff(name, array, **options):
    tifffile.imwrite(here / name, array, metadata=None, **options)
    keep(name, array)


tiff("tiled_big_endian.tif", np.tile(gray, (2, 1)), byteorder=">", tile=(16, 16), photometric="minisblack")
tiff("deep_tiled_deflate.tif", deep, tile=(16, 16), compression="zlib", predictor=True, photometric="minisblack")
tiff("strips_lzw.tif", gray, rowsperstrip=7, compression="lzw", photometric="minisblack")
tiff("deep_big_endian_packbits.tif", deep, byteorder=">", compression="packbits", photometric="minisblack")
tiff("pages.tif", np.stack([deep, deep[::-1], deep + 5]), photometric="minisblack")
tiff("bigtiff.tif", gray, bigtiff=True, photometric="minisblack")
tiff("white_is_zero.tif", gray, photometric="miniswhite")
expected["white_is_zero.tif"] = None
keep("white_is_zero.tif", 255 - gray)

for name, compression in [("palette.tif", None), ("palette_lzw.tif", "tiff_lzw")]:
    picture = Image.fromarray(index, mode="P")
    picture.putpalette(palette)
    picture.save(here / name, compression=compression)
    keep(name, index, palette=palette[3:6])
colormap = np.zeros((3, 256), np.uint16)
colormap[:, :6] = np.array(palette, np.uint16).reshape(6, 3).T * 257
tifffile.imwrite(here / "palette_pages_big_endian.tif", np.stack([index, index[::-1]]), byteorder=">",
                 photometric="palette", colormap=colormap, metadata=None)
keep("palette_pages_big_endian.tif", np.stack([index, index[::-1]]), palette=palette[3:6])

for bits in (1, 2, 4):
    small = (index % 2**bits).astype(np.uint8)
    picture = Image.fromarray(small, mode="P")
    picture.putpalette(palette)
    picture.save(here / f"palette_{bits}_bits.png", bits=bits)
    keep(f"palette_{bits}_bits.png", small, palette=palette[3:6])


def interlaced(array, path):
    """An Adam7 PNG, written by hand: Pillow writes none."""
    import struct
    import zlib

    rows = b""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for row in array[y0::dy, x0::dx]:
            if row.size:
                rows += b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes()
    height, width = array.shape
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, 0, 0, 0, 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    assert (np.asarray(Image.open(path)) == array).all()


interlaced(gray, here / "interlaced.png")
keep("interlaced.png", gray)
interlaced(deep, here / "deep_interlaced.png")
keep("deep_interlaced.png", deep)

# To be refused, or told.
Image.fromarray(color).convert("CMYK").save(here / "cmyk.jpg", quality=90)
Image.fromarray(color).convert("CMYK").save(here / "cmyk.tif")
frames = [Image.fromarray(gray), Image.fromarray(gray[::-1].copy())]
frames[0].save(here / "animated.png", save_all=True, append_images=frames[1:])
exif = Image.Exif()
exif[0x0112] = 6
Image.fromarray(gray).save(here / "turned.jpg", quality=95, exif=exif)
(here / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
