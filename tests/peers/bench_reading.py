"""How fast volumes are read, and with how much memory, beside nibabel and pydicom.

    cargo build --release -p lamina-io --example read_volume
    python tests/peers/bench_reading.py target/release/examples/read_volume [--rounds 7] [--check]

Makes a CT of 300 slices of 512 x 512 `int16` voxels from a fixed seed, half of it noise as scanners
have it, as one `.nii.gz` and as a series of DICOM files (plain, and as JPEG-LS where pyjpegls is
installed). Both sides read all voxels into one array, in a fresh process each time and in turns, and
print their sum, which must agree. What is timed is the reading alone: neither the start of a process
nor the imports of Python count. Needs numpy, nibabel and pydicom. With `--check` it fails where a
limit is missed: as fast as nibabel + numpy, twice as fast as pydicom's stacking, and no more memory
than 1.2 times the voxels and 64 MB.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SHAPE = (300, 512, 512)
VOXEL_BYTES = 2
LIMIT_BYTES = 1.2 * SHAPE[0] * SHAPE[1] * SHAPE[2] * VOXEL_BYTES + 64e6


def scan():
    """A body of soft tissue in air, with noise; from a fixed seed."""
    import numpy

    random = numpy.random.default_rng(12)
    y, x = numpy.mgrid[0 : SHAPE[1], 0 : SHAPE[2]]
    body = ((x - 256) / 200) ** 2 + ((y - 256) / 150) ** 2 < 1
    voxels = numpy.empty(SHAPE, numpy.int16)
    for k in range(SHAPE[0]):
        tissue = 40 + 60 * numpy.sin(x / 23) * numpy.cos(y / 31 + k / 20)
        values = numpy.where(body, tissue, -1000) + random.normal(0, 12, SHAPE[1:])
        voxels[k] = numpy.clip(numpy.rint(values), -1024, 3071)
    return voxels


def write_nifti(path, voxels):
    import nibabel
    import numpy

    image = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), numpy.diag([0.7, 0.7, 1.0, 1.0]))
    image.to_filename(path)


def write_series(folder, voxels, packed):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless

    folder.mkdir()
    for k, pixels in enumerate(voxels):
        number = k * 7 % SHAPE[0]  # names in an order of their own
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = JPEGLSLossless if packed else ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = CTImageStorage
        file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = f"1.2.3.{k + 1}"
        file.StudyInstanceUID, file.SeriesInstanceUID, file.Modality = "1.2.3", "1.2.4", "CT"
        file.Rows, file.Columns, file.SamplesPerPixel = SHAPE[1], SHAPE[2], 1
        file.PhotometricInterpretation = "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
        file.RescaleSlope, file.RescaleIntercept = 1, 0
        file.ImagePositionPatient = [0, 0, k]
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.PixelSpacing = [0.7, 0.7]
        if packed:
            import jpeg_ls

            file.PixelData = encapsulate([bytes(jpeg_ls.encode_array(pixels.view("uint16")))])
            file["PixelData"].is_undefined_length = True
        else:
            file.PixelData = pixels.tobytes()
        file["PixelData"].VR = "OB" if packed else "OW"
        file.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)


def theirs(path):
    """What their users write; runs in a process of its own."""
    import resource

    import numpy

    if path.is_dir():
        import pydicom

        start = time.perf_counter()
        files = [pydicom.dcmread(file) for file in path.iterdir()]
        files.sort(key=lambda file: file.ImagePositionPatient[2])
        voxels = numpy.stack([file.pixel_array for file in files])
    else:
        import nibabel

        start = time.perf_counter()
        voxels = numpy.asarray(nibabel.load(path).dataobj)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = int(voxels.sum(dtype=numpy.int64))
    print(json.dumps({"seconds": seconds, "sum": total, "peak_kilobytes": peak}))


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def compare(name, program, path, rounds, factor):
    """Prints one line; whether all limits are kept."""
    commands = [program, path], [sys.executable, __file__, "--theirs", path]
    for command in commands:  # the files are in memory from here on
        run(command)
    ours, others = [], []
    for _ in range(rounds):
        ours.append(run(commands[0]))
        others.append(run(commands[1]))
    sums = {int(answer["sum"]) for answer in ours + others}
    assert len(sums) == 1, f"{name}: sums differ: {sums}"
    median = [statistics.median(one["seconds"] for one in side) for side in (ours, others)]
    peak = [max(one["peak_kilobytes"] for one in side) / 1000 for side in (ours, others)]
    ratio = median[1] / median[0]
    kept = ratio >= factor and peak[0] * 1e6 <= LIMIT_BYTES
    print(
        f"{name:<18} {median[0]:7.3f} s {median[1]:7.3f} s {ratio:6.2f} x (at least {factor} x)"
        f" {peak[0]:7.0f} MB {peak[1]:7.0f} MB (at most {LIMIT_BYTES / 1e6:.0f} MB)"
        f" {'kept' if kept else 'MISSED'}"
    )
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="?", help="the example read_volume, built for release")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="fail where a limit is missed")
    parser.add_argument("--theirs", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.theirs:
        return theirs(arguments.theirs)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        voxels = scan()
        write_nifti(folder / "scan.nii.gz", voxels)
        write_series(folder / "plain", voxels, packed=False)
        cases = [
            ("scan.nii.gz", "int16 .nii.gz", 1),
            ("plain", "300 DICOM slices", 2),
        ]
        try:
            write_series(folder / "packed", voxels, packed=True)
            cases.append(("packed", "300 of JPEG-LS", 0))
        except ImportError:
            print("pyjpegls is not installed: no JPEG-LS", file=sys.stderr)
        del voxels
        print(f"{'':<18} {'ours':>9} {'theirs':>9} {'faster':>8} {'':>14} {'ours':>9} {'theirs':>10}")
        kept = [
            compare(title, arguments.program, folder / path, arguments.rounds, factor)
            for path, title, factor in cases
        ]
    sys.exit(0 if all(kept) or not arguments.check else 1)


if __name__ == "__main__":
    main()
