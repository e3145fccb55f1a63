"""Do the programs that hospitals and labs use accept our DICOM segmentations?

`lamina convert` writes labels as binary and label map segmentations of CT, MR, multi-frame and
single-slice series, and `lamina predict` one with the bundled model. pydicom has to read them without a
warning, highdicom and dcmqi have to find each voxel of each label at its place in the patient;
dciodvfy has to find no error, and no warning but those that it has about the same values of the source;
dcmdump has to parse them. dciodvfy and dcmdump are used where they are installed; this says so
where they are not. Series come from LAMINA_DATA where that is set, and are made here in any case.

Usage: segmentations.py LAMINA_PROGRAM
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import highdicom
import numpy
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

PATIENT = "Mustermann^Max"
SERIES = (
    "prostate_t2/dicom",
    "formats/dicom_series/prostatex_adc",
    "formats/dicom_series/rtutils_oriented",
    "formats/dicom/dcmqi_segmentations/ct-3slice",
    "formats/dicom/dcmqi_segmentations/24x38x3/multiframe",
)


def code(value, meaning):
    return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}


DESCRIPTION = {
    "ContentCreatorName": "Doe^John",
    "SeriesDescription": "Peers",
    "SeriesNumber": "300",
    "segmentAttributes": [[
        {
            "labelID": label,
            "SegmentLabel": name,
            "SegmentDescription": f"made for a test, {name}",
            "SegmentAlgorithmType": kind,
            "SegmentAlgorithmName": "segmentations.py",
            "SegmentedPropertyCategoryCodeSequence": code("123037004", "Anatomical Structure"),
            "SegmentedPropertyTypeCodeSequence": code(value, name),
            "SegmentedPropertyTypeModifierCodeSequence": code("7771000", "Left"),
            "AnatomicRegionSequence": code("818981001", "Abdomen"),
            "recommendedDisplayRGBValue": color,
        }
        for label, name, value, kind, color in (
            (1, "Liver", "10200004", "MANUAL", [221, 130, 101]),
            (2, "Kidney", "64033007", "SEMIAUTOMATIC", [60, 190, 255]),
            (3, "Spleen", "78961009", "AUTOMATIC", [157, 108, 162]),
        )
    ]],
}


def run(command):
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert answer.returncode == 0, (command, answer.stdout, answer.stderr)
    return answer


def rotation(degrees):
    angle = numpy.radians(degrees)
    about_z = numpy.eye(3)
    about_z[:2, :2] = [[numpy.cos(angle), -numpy.sin(angle)], [numpy.sin(angle), numpy.cos(angle)]]
    return numpy.roll(about_z, (1, 1), (0, 1)) @ about_z


def common(sop_class, uid):
    """What a slice of a marked patient says, whatever its kind."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = sop_class
    slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID = uid
    slice_.SpecificCharacterSet = "ISO_IR 100"
    slice_.Modality = "CT" if sop_class == CTImageStorage else "MR"
    slice_.PatientName, slice_.PatientID = PATIENT, "P-1"
    slice_.PatientBirthDate, slice_.PatientSex = "19700101", "O"
    slice_.StudyInstanceUID, slice_.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
    slice_.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.3"
    slice_.PositionReferenceIndicator = ""
    slice_.StudyDate, slice_.StudyTime = "20200102", "030405"
    slice_.StudyID, slice_.AccessionNumber, slice_.ReferringPhysicianName = "S1", "A1", "Arzt^Anna"
    slice_.SeriesNumber = 4
    slice_.Rows, slice_.Columns = 13, 21  # no whole bytes in a frame of bits
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 1
    return slice_


def save(slice_, pixels, path):
    slice_.PixelData = pixels.astype("<i2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    slice_.save_as(path, enforce_file_format=True)


def made_series(folder):
    """Series of a marked patient: axial, oblique, one slice, and frames of one file out of order."""
    turned = rotation(25)
    for name, depth, axes, sop_class in (
        ("axial", 5, numpy.eye(3), CTImageStorage),
        ("oblique", 5, turned, MRImageStorage),
        ("single", 1, turned, MRImageStorage),
    ):
        for k in range(depth):
            slice_ = common(sop_class, f"1.2.826.0.1.3680043.8.498.9.{k + 1}")
            slice_.InstanceNumber = depth - k
            slice_.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            slice_.PixelSpacing, slice_.SliceThickness = [1.5, 0.75], 3
            slice_.ImageOrientationPatient = [f"{v:.10f}" for v in (*axes[:, 0], *axes[:, 1])]
            slice_.ImagePositionPatient = [f"{v:.8f}" for v in numpy.array([-11.5, 22.25, 30]) + 2.5 * k * axes[:, 2]]
            save(slice_, numpy.full((13, 21), 100 * k), folder / name / f"{(7 * k + 3) % 11}.dcm")
        yield folder / name
    frames = common(EnhancedMRImageStorage, "1.2.826.0.1.3680043.8.498.9.9")
    frames.ImageType = ["ORIGINAL", "PRIMARY", "OTHER", "NONE"]
    frames.NumberOfFrames = 4
    measures, directions, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1.5, 0.75], 2.5
    directions.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [directions]
    frames.SharedFunctionalGroupsSequence = [shared]
    frames.PerFrameFunctionalGroupsSequence = []
    for k in (2, 0, 3, 1):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [1, 2 + 2.5 * k, 3]
        group.PlanePositionSequence = [position]
        frames.PerFrameFunctionalGroupsSequence.append(group)
    save(frames, numpy.zeros((4, 13, 21)), folder / "frames" / "all.dcm")
    yield folder / "frames"


def label_map(program, series, folder):
    """Three labels on the grid of a series, in an order of axes of their own; the last is rare."""
    scan = folder / "scan.mha"
    run([program, "convert", series, scan, "--overwrite"])
    image = SimpleITK.ReadImage(str(scan))
    shape = SimpleITK.GetArrayFromImage(image).shape
    k, j, i = numpy.ogrid[tuple(slice(0, n) for n in shape)]
    radius = ((j - 0.55 * shape[1]) / shape[1]) ** 2 + ((i - 0.4 * shape[2]) / shape[2]) ** 2
    labels = numpy.where(radius < 0.02 + 0.001 * k, 1, 0) * numpy.ones(shape, int)
    labels[numpy.broadcast_to((radius < 0.06) & (i > j), shape) & (labels == 0)] = 2
    labels[-1, 0, 0] = 3
    if shape[0] > 1:
        labels[0] = 0
    mask = SimpleITK.GetImageFromArray(labels.astype(numpy.uint8))
    mask.CopyInformation(image)
    turned = SimpleITK.PermuteAxes(mask, (2, 0, 1))[:, ::-1, :]
    SimpleITK.WriteImage(turned, str(folder / "mask.nii.gz"))
    return mask, folder / "mask.nii.gz"


def points(array, affine, number):
    """Where the voxels of a label lie, as rounded LPS millimeters, sorted."""
    index = numpy.argwhere(array == number)
    placed = index @ affine[:3, :3].T + affine[:3, 3]
    return numpy.array(sorted(map(tuple, numpy.round(placed, 2))))


def itk_affine(image):
    """LPS from the index of the array, slowest axis first."""
    direction = numpy.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine = numpy.eye(4)
    affine[:3, :3], affine[:3, 3] = direction[:, ::-1], image.GetOrigin()
    return affine


def assert_same_points(found, expected, what):
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    # Rounding may sort neighbors differently: each point has to have its partner near by.
    distance = numpy.abs(found - expected).max() if found.size else 0
    if distance > 0.03:
        order = [numpy.lexsort(numpy.round(p, 1).T) for p in (found, expected)]
        distance = numpy.abs(found[order[0]] - expected[order[1]]).max()
    assert distance <= 0.03, (what, distance)


def check_highdicom(path, mask, names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        str(pydicom.dcmread(path))
        seg = highdicom.seg.segread(path)
        volume = seg.get_volume(combine_segments=True, rescale_fractional=False)
    labels, affine = SimpleITK.GetArrayFromImage(mask), itk_affine(mask)
    for number in range(1, len(names) + 1):
        found = points(volume.array, volume.affine, number)
        assert_same_points(found, points(labels, affine, number), (path, number))
    assert [seg.get_segment_description(n).segment_label for n in range(1, len(names) + 1)] == names
    return seg


def check_dcmqi(path, mask, folder):
    out = folder / "dcmqi"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    program = pathlib.Path(sys.executable).parent / "segimage2itkimage"
    command = [program, "--inputDICOM", path, "--outputDirectory", out, "--prefix", "s", "--outputType", "nrrd"]
    run(command)
    labels, affine = SimpleITK.GetArrayFromImage(mask), itk_affine(mask)
    described = json.loads((out / "s-meta.json").read_text())["segmentAttributes"]
    numbers = {segment["labelID"] for group in described for segment in group}
    found = {number: [] for number in numbers}
    for image_path in sorted(out.glob("*.nrrd")):
        image = SimpleITK.ReadImage(str(image_path))
        array = SimpleITK.GetArrayFromImage(image)
        for number in numpy.unique(array[array > 0]):
            found[int(number)].append(points(array, itk_affine(image), number))
    for number in set(numpy.unique(labels[labels > 0]).tolist()):
        assert_same_points(numpy.concatenate(found[number]), points(labels, affine, number), (path, number))
    return described


def complaints(path):
    answer = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    lines = (answer.stdout + answer.stderr).splitlines()
    return {line for line in lines if line.startswith(("Error", "Warning"))}


def first_file(series):
    return series if series.is_file() else sorted(p for p in series.rglob("*") if p.is_file())[0]


def check_colors_and_codes(seg):
    for item, described in zip(seg.SegmentSequence[-3:], DESCRIPTION["segmentAttributes"][0]):
        color = highdicom.color.CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb()
        assert numpy.abs(numpy.array(color) - described["recommendedDisplayRGBValue"]).max() <= 1, color
        for sequence in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
            code, expected = item[sequence][0], described[sequence]
            assert (code.CodeValue, code.CodeMeaning) == (expected["CodeValue"], expected["CodeMeaning"])
        modifier = item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
        assert (modifier.CodeValue, item.AnatomicRegionSequence[0].CodeValue) == ("7771000", "818981001")
        assert item.SegmentAlgorithmType == described["SegmentAlgorithmType"]
    assert (seg.ContentCreatorName, seg.SeriesNumber, seg.SeriesDescription) == ("Doe^John", 300, "Peers")


def check_series(program, series, folder, missing):
    mask, mask_path = label_map(program, series, folder)
    source = pydicom.dcmread(first_file(series), stop_before_pixels=True)
    description = folder / "segments.json"
    description.write_text(json.dumps(DESCRIPTION))
    for kind in ("binary", "labelmap"):
        path = folder / f"{kind}.dcm"
        command = [program, "convert", mask_path, path, "--scan", series, "--seg-type", kind, "--segments", description]
        answer = json.loads(run([*command, "--json"]).stdout)
        assert answer["verified"]["voxels"] == SimpleITK.GetArrayFromImage(mask).size, answer
        seg = check_highdicom(path, mask, ["Liver", "Kidney", "Spleen"])
        check_colors_and_codes(seg)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
            # Some sources name no frame of reference; a segmentation has to.
            assert seg.get(keyword) == source.get(keyword) or keyword not in source, keyword
        check_dcmqi(path, mask, folder)
        if "dcmdump" not in missing:
            run(["dcmdump", "-q", path])
        if "dciodvfy" not in missing and kind == "binary":
            # Its release of 2022 does not know label maps. What the source says stays as it is.
            copied = ("/PatientName", "/PatientID", "/StudyID", "/ReferringPhysicianName", "/AccessionNumber")
            ours = {line for line in complaints(path) if not (line.startswith("Warning") and any(c in line for c in copied))}
            theirs = {line for line in complaints(path) if line not in ours} - complaints(first_file(series))
            assert not ours and not theirs, (series, ours, theirs)
        path.unlink()
        path.with_name(path.name + ".json").unlink()


def check_prediction(program, series, folder, missing):
    """The bundled model on MR slices: whatever it finds, as a segmentation and as NIfTI."""
    for ending in ("nii.gz", "dicom-seg"):
        run([program, "predict", series, "--out", folder / "masks", "--format", ending])
    mask = SimpleITK.ReadImage(str(folder / "masks" / f"{series.name}.nii.gz"))
    path = folder / "masks" / f"{series.name}.dcm"
    check_highdicom(path, mask, ["anterior", "posterior"])
    check_dcmqi(path, mask, folder)
    if "dciodvfy" not in missing:
        assert not complaints(path), complaints(path)


def main():
    program = sys.argv[1]
    missing = [name for name in ("dciodvfy", "dcmdump") if shutil.which(name) is None]
    passed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        series = list(made_series(folder))
        data = os.environ.get("LAMINA_DATA")
        series += [pathlib.Path(data) / path for path in SERIES] if data else []
        for path in series:
            check_series(program, path, folder, missing)
            passed += 1
        check_prediction(program, folder / "oblique", folder, missing)
    print(f"{passed + 1} passed, 0 failed" + "".join(f" ({name} is not installed)" for name in missing))


if __name__ == "__main__":
    main()
