"""Do SimpleITK, pynrrd and Lamina agree on MetaImage and NRRD, in both directions?

SimpleITK and (where it is installed) pynrrd write scans on straight, flipped, oblique and
sheared grids; `lamina info` must say what they wrote. `lamina predict` then labels a scan
in each format, and they must find the labels on the grid of the scan.

Usage: formats.py LAMINA_PROGRAM
"""

import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import SimpleITK

try:
    import nrrd
except ImportError:
    nrrd = None

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = sorted((ROOT / "samples" / "hippocampus" / "images").glob("*.nii.gz"))[0]
ENDINGS = ("mha", "mhd", "nrrd", "nhdr")
TYPES = {
    SimpleITK.sitkUInt8: "uint8",
    SimpleITK.sitkInt16: "int16",
    SimpleITK.sitkUInt32: "uint32",
    SimpleITK.sitkInt64: "int64",
    SimpleITK.sitkFloat32: "float32",
    SimpleITK.sitkFloat64: "float64",
}
RAS = numpy.diag([-1, -1, 1, 1])


def rotation(degrees):
    angle = numpy.radians(degrees)
    about_z = numpy.eye(3)
    about_z[:2, :2] = [[numpy.cos(angle), -numpy.sin(angle)], [numpy.sin(angle), numpy.cos(angle)]]
    about_x = numpy.roll(about_z, (1, 1), (0, 1))
    return about_x @ about_z


def directions():
    """All 48 orders of the axes, an oblique and a sheared one."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield numpy.eye(3)[:, order] * signs
    yield rotation(25)
    yield rotation(-70) @ numpy.diag([1, -1, 1])
    sheared = rotation(25) @ numpy.array([[1, 0.2, 0], [0, 1, -0.3], [0, 0, 1]])
    yield sheared / numpy.linalg.norm(sheared, axis=0)


def ras_from_index(image):
    affine = numpy.eye(4)
    direction = numpy.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return RAS @ affine


def scan(direction, pixel_type):
    values = numpy.arange(2 * 3 * 4).reshape(2, 3, 4)
    image = SimpleITK.Cast(SimpleITK.GetImageFromArray(values.astype(numpy.uint8)), pixel_type)
    image.SetSpacing((0.7, 1.1, 3.3))
    image.SetOrigin((-11.1, 12.2, 13.3))
    image.SetDirection(direction.flatten().tolist())
    return image


def info(program, paths):
    answer = subprocess.run([program, "info", "--json", *map(str, paths)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout)


def check_reading(program, folder):
    """What others write, as Lamina reads it."""
    expected = {}
    for number, direction in enumerate(directions()):
        image = scan(direction, SimpleITK.sitkInt16)
        for ending, compress in itertools.product(ENDINGS, (False, True)):
            path = folder / f"grid{number}{'z' if compress else ''}_{ending}.{ending}"
            SimpleITK.WriteImage(image, str(path), compress)
            expected[path] = (ras_from_index(image), "int16")
    for pixel_type, name in TYPES.items():
        image = scan(numpy.eye(3), pixel_type)
        for ending in ENDINGS:
            path = folder / f"{name}_{ending}.{ending}"
            SimpleITK.WriteImage(image, str(path), True)
            expected[path] = (ras_from_index(image), name)
    for entry, (path, (affine, dtype)) in zip(info(program, expected), expected.items()):
        assert entry["path"] == str(path)
        assert numpy.allclose(entry["affine"], affine, atol=1e-5), (path, entry["affine"], affine)
        assert (entry["shape"], entry["dtype"]) == ([4, 3, 2], dtype), entry
        assert (entry["min"], entry["max"], entry["mean"]) == (0, 23, 11.5), entry
    return len(expected)


META = """ObjectType = Image
NDims = 3
DimSize = 4 3 2
ElementType = MET_UCHAR
"""
NRRD = """NRRD0004
type: uchar
dimension: 3
sizes: 4 3 2
"""
STEPS = "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (10,20,30)\n"
# Headers on which the formats' descriptions are silent or nobody agrees: ITK decides.
ODD = {
    "behind.mhd": META + "HeaderSize = -1\nElementSpacing = 1 2 3\nElementDataFile = behind.raw\n",
    "skipped.mhd": META + "HeaderSize = 3\nElementSpacing = 1 2 3\nElementDataFile = behind.raw\n",
    "pattern.mhd": META + "ElementSpacing = 1 2 3\nElementDataFile = part%02d.raw 1 2 1\n",
    "list.mhd": META + "ElementSize = 1 2 3\nElementDataFile = LIST\npart01.raw\npart02.raw\n",
    "negative.mha": META + "ElementSpacing = 1 -2 3\nOffset = 4 5 6\nElementDataFile = LOCAL\n",
    "letters.mha": META + "ElementSpacing = 1 2 3\nAnatomicalOrientation = RPI\nElementDataFile = LOCAL\n",
    "center.mha": META + "ElementSpacing = 1 2 3\nTransformMatrix = 0 1 0 0 0 1 1 0 0\n"
    "CenterOfRotation = 7 8 9\nOffset = 4 5 6\nElementDataFile = LOCAL\n",
    "position.mha": META + "ElementSpacing = 1 2 3\nPosition = 4 5 6\nElementDataFile = LOCAL\n",
    "function.mha": META + "ElementSpacing = 1 2 3\nElementToIntensityFunctionSlope = 2\n"
    "ElementDataFile = LOCAL\n",
    "scanner.nrrd": NRRD + "space: scanner-xyz\n" + STEPS + "encoding: raw\n\n",
    "handed.nrrd": NRRD + "space: 3D-right-handed\n" + STEPS + "encoding: raw\n\n",
    "unnamed.nrrd": NRRD + "space dimension: 3\n" + STEPS + "encoding: raw\n\n",
    "spacings.nrrd": NRRD + "spacings: 1 2 3\nencoding: raw\n\n",
    "cells.nrrd": NRRD + "spacings: 1 2 3\naxis mins: 10 20 30\nencoding: raw\n\n",
    "nodes.nrrd": NRRD + "spacings: 1 2 3\naxis mins: 10 20 30\ncenters: node node node\nencoding: raw\n\n",
}


def check_odd_headers(program, folder):
    voxels = bytes(range(24))
    (folder / "behind.raw").write_bytes(b"abc" + voxels)
    (folder / "part01.raw").write_bytes(voxels[:12])
    (folder / "part02.raw").write_bytes(voxels[12:])
    for name, header in ODD.items():
        local = header.endswith(("LOCAL\n", "\n\n"))
        (folder / name).write_bytes(header.encode() + (voxels if local else b""))
    for entry in info(program, [folder / name for name in ODD]):
        image = SimpleITK.ReadImage(entry["path"])
        assert numpy.allclose(entry["affine"], ras_from_index(image)), entry
        assert (entry["shape"], entry["dtype"]) == (list(image.GetSize()), "uint8"), entry
        values = SimpleITK.GetArrayFromImage(image)
        assert numpy.array_equal(values.flatten(), numpy.arange(24)), entry["path"]
        assert (entry["min"], entry["max"], entry["mean"]) == (0, 23, 11.5), entry
    return len(ODD)


def check_pynrrd_reading(program, folder):
    values = numpy.arange(24, dtype=numpy.int16).reshape((4, 3, 2), order="F")
    paths = []
    for encoding, space in itertools.product(
        ("raw", "gzip", "bzip2", "ascii"),
        ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior"),
    ):
        path = folder / f"pynrrd_{encoding}_{space}.nrrd"
        steps = numpy.diag([2.0, 3.0, 5.0])
        header = {"encoding": encoding, "space": space, "space directions": steps, "space origin": [10, 20, 30]}
        nrrd.write(str(path), values, header)
        paths.append(path)
    for entry in info(program, paths):
        signs = [1 if word in entry["path"] else -1 for word in ("right", "anterior")]
        affine = numpy.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 5, 30]]) * numpy.array([[*signs, 1]]).T
        assert numpy.allclose(entry["affine"][:3], affine), entry
        assert (entry["min"], entry["max"], entry["mean"]) == (0, 23, 11.5), entry
    return len(paths)


def check_writing(program, folder):
    """The masks of one scan in every format, as others read them."""
    image = SimpleITK.ReadImage(str(SAMPLE))
    scans = []
    for number, direction in enumerate((numpy.eye(3), rotation(20), rotation(100) @ numpy.diag([1, 1, -1]))):
        image.SetDirection(direction.flatten().tolist())
        image.SetOrigin((-11.1, 12.2, 13.3))
        path = folder / f"scan{number}.mha"
        SimpleITK.WriteImage(image, str(path))
        scans.append(path)
    read = 0
    for ending in (*ENDINGS, "nii.gz"):
        masks = folder / f"masks_{ending}"
        command = [program, "predict", *map(str, scans), "--out", str(masks), "--format", ending]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        for path in scans:
            original = SimpleITK.ReadImage(str(path))
            mask_path = masks / f"{path.stem}.{ending}"
            mask = SimpleITK.ReadImage(str(mask_path))
            tolerance = 1e-4 if ending == "nii.gz" else 1e-9
            for fact in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
                ours, theirs = (numpy.array(getattr(i, fact)()) for i in (mask, original))
                assert numpy.allclose(ours, theirs, atol=tolerance), (mask_path, fact, ours, theirs)
            labels = SimpleITK.GetArrayFromImage(mask)
            assert labels.dtype == numpy.uint8 and labels.any()
            reference = SimpleITK.ReadImage(str(folder / "masks_mha" / f"{path.stem}.mha"))
            assert numpy.array_equal(labels, SimpleITK.GetArrayFromImage(reference)), mask_path
            if nrrd and ending in ("nrrd", "nhdr"):
                values, header = nrrd.read(str(mask_path))
                assert numpy.array_equal(values.T, labels), mask_path
                assert header["space"] == "left-posterior-superior"
                steps = numpy.array(original.GetDirection()).reshape(3, 3) * original.GetSpacing()
                assert numpy.allclose(header["space directions"], steps.T), mask_path
            read += 1
    return read


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        passed = check_reading(program, folder)
        passed += check_odd_headers(program, folder)
        if nrrd:
            passed += check_pynrrd_reading(program, folder)
        passed += check_writing(program, folder)
    print(f"{passed} passed, 0 failed" + ("" if nrrd else " (pynrrd is not installed)"))


if __name__ == "__main__":
    main()
