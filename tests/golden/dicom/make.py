"""Packed frames of 12 rows and 10 columns, by imagecodecs 2026.3.6 and numpy;
those of JPEG-LS with 12 bits by pyjpegls 1.5.1.

Pixel (x, y) is 200 y + 37 x + x y mod 7, of 12 bits; a tenth of it where there are 8.
"""

import imagecodecs
import jpeg_ls
import numpy

y, x = numpy.mgrid[0:12, 0:10]
wide = (200 * y + 37 * x + (x * y) % 7).astype(numpy.uint16)
narrow = (wide // 10).astype(numpy.uint8)
packed = {
    "lossless.jpg": imagecodecs.ljpeg_encode(wide, bitspersample=16),
    "lossless.jxl": imagecodecs.jpegxl_encode(wide, lossless=True),
    "twelve.jxl": imagecodecs.jpegxl_encode(wide, lossless=True, bitspersample=12),
    "lossless8.jxl": imagecodecs.jpegxl_encode(narrow, lossless=True),
    "lossless.j2k": imagecodecs.jpeg2k_encode(wide, codecformat="j2k", reversible=True, level=0),
    "lossless.jph": imagecodecs.htj2k_encode(wide, reversible=True),
    "lossless16.jls": imagecodecs.jpegls_encode(16 * wide),
    "lossless12.jls": bytes(jpeg_ls.encode_array(wide)),
    "lossless8.jls": imagecodecs.jpegls_encode(narrow),
    "near12.jls": bytes(jpeg_ls.encode_array(wide, lossy_error=3)),
    "extended.jpg": imagecodecs.jpeg8_encode(wide, level=100, bitspersample=12),
    "baseline.jpg": imagecodecs.jpeg8_encode(narrow, level=100),
}
for name, frame in packed.items():
    with open(name, "wb") as file:
        file.write(frame)
