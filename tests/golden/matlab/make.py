"""MATLAB files as data sets have them, by scipy.io.savemat and, where it has no way, by hand.

The numbers are made here; names and variables are those of COCO-Stuff 10K (`annotations/*.mat`) and
Pascal Context (`trainval/*.mat`). Run in this folder with numpy and scipy 1.17.1.
"""

import pathlib
import struct
import zlib

import numpy as np
from scipy.io import savemat

HEIGHT, WIDTH = 20, 24
PLACE = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)

# Official ids that do not occur in COCO-Stuff.
ABSENT = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
COCO = np.array([value for value in range(183) if value not in ABSENT])
stuff = {
    "S": COCO[PLACE % len(COCO)].astype(np.uint16),
    "names": np.array([["unlabeled"], ["person"], ["bicycle"]], dtype=object),
    "captions": np.array([["A made picture."], ["Nothing on it."]], dtype=object),
    "regionMapStuff": (PLACE % 7).astype(np.uint16),
    "regionLabelsStuff": np.array([[0], [154], [169]], dtype=np.uint16),
    "regionNamesStuff": np.array([["a"], ["b"]], dtype=object),
}
savemat("coco_stuff.mat", stuff, do_compression=True)
savemat("coco_stuff_plain.mat", stuff)
context = (PLACE % 459 + 1).astype(np.uint16)
savemat("pascal_context.mat", {"LabelMap": context}, do_compression=True)

# What reading has to get right: other classes, a small element, the only array, many arrays.
small = np.array([[1, 2, 3], [4, 5, 60]])
savemat("double.mat", {"whatever": small.astype(np.float64), "text": "not numbers"})
savemat("small.mat", {"S": np.array([[7, 8]], dtype=np.uint16)})
savemat("int32.mat", {"LabelMap": small.astype(np.int32)}, do_compression=True)
savemat("logical.mat", {"mask": small > 3})
savemat("fraction.mat", {"S": small / 2})
savemat("several.mat", {"a": small, "b": small.T, "c": {"d": 1}})
savemat("both.mat", {"S": small, "LabelMap": small})
savemat("cell.mat", {"S": np.array([["x"]], dtype=object), "other": small})
savemat("complex.mat", {"S": small + 1j})
savemat("deep.mat", {"S": np.zeros((2, 3, 4), dtype=np.uint8)})
savemat("level4.mat", {"S": small}, format="4")

for path in pathlib.Path().glob("*.mat"):
    # scipy writes the time of day.
    data = path.read_bytes()
    if data.startswith(b"MATLAB"):
        path.write_bytes(b"MATLAB 5.0 MAT-file, by scipy".ljust(116) + data[116:])


def element(order, kind, data):
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(order, name, values):
    """An array of uint16, column after column."""
    head = element(order, 6, struct.pack(order + "II", 11, 0))
    head += element(order, 5, struct.pack(order + "ii", *values.shape))
    head += element(order, 1, name.encode())
    numbers = values.astype(order + "u2").tobytes(order="F")
    return element(order, 14, head + element(order, 4, numbers))


for name, pack in [("big_endian", False), ("big_endian_packed", True)]:
    data = matrix(">", "LabelMap", small * 1000)
    if pack:
        data = zlib.compress(data)
        data = struct.pack(">II", 15, len(data)) + data
    text = b"MATLAB 5.0 MAT-file, made by hand".ljust(116) + bytes(8)
    with open(name + ".mat", "wb") as file:
        file.write(text + struct.pack(">H", 0x0100) + b"MI" + data)
