"""Do nibabel and SimpleITK read the masks of `lamina predict` on the grid of their input?

Usage: read_masks.py LAMINA_PROGRAM
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import nibabel
import numpy
import SimpleITK

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = sorted((ROOT / "samples" / "hippocampus" / "images").glob("*.nii.gz"))


def rewritten(path, folder):
    """The image as it is, and turned, oblique and big-endian, as other scanners store it."""
    image = nibabel.load(path)
    voxels = numpy.asarray(image.dataobj)
    turned = nibabel.as_closest_canonical(image).as_reoriented([[1, -1], [2, 1], [0, -1]])
    oblique = nibabel.Nifti1Image(voxels, image.affine @ rotation(20), image.header)
    oblique.set_sform(oblique.affine, 1)
    oblique.set_qform(oblique.affine, 1)
    swapped = nibabel.Nifti1Image(voxels, image.affine, image.header.as_byteswapped(">"))
    second = nibabel.Nifti2Image(voxels, image.affine)
    forms = {"plain": image, "turned": turned, "oblique": oblique, "swapped": swapped, "nifti2": second}
    for name, form in forms.items():
        target = folder / f"{path.name.removesuffix('.nii.gz')}_{name}.nii.gz"
        nibabel.save(form, target)
        yield target


def rotation(degrees):
    angle = numpy.radians(degrees)
    matrix = numpy.eye(4)
    matrix[:2, :2] = [[numpy.cos(angle), -numpy.sin(angle)], [numpy.sin(angle), numpy.cos(angle)]]
    return matrix


def check(image_path, mask_path):
    image, mask = nibabel.load(image_path), nibabel.load(mask_path)
    assert mask.shape == image.shape, (mask.shape, image.shape)
    assert numpy.array_equal(mask.affine, image.affine), (mask.affine, image.affine)
    for code in ("sform_code", "qform_code"):
        assert mask.header[code] == image.header[code], code
    labels = numpy.asarray(mask.dataobj)
    assert labels.dtype == numpy.uint8 and set(numpy.unique(labels)) <= {0, 1, 2}
    assert (labels > 0).any(), "the mask is empty"

    if image_path.name.endswith("_nifti2.nii.gz"):
        return labels  # SimpleITK reads no compressed NIfTI-2, neither the image nor the mask

    itk_image, itk_mask = (SimpleITK.ReadImage(str(path)) for path in (image_path, mask_path))
    for fact in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        ours, theirs = (numpy.array(getattr(i, fact)()) for i in (itk_mask, itk_image))
        assert numpy.allclose(ours, theirs, atol=1e-6), (fact, ours, theirs)
    return labels


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        inputs = [target for path in IMAGES for target in rewritten(path, folder)]
        masks = folder / "masks"
        command = [program, "predict", *map(str, inputs), "--out", str(masks), "--json"]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        json.loads(answer.stdout)
        canonical = {}
        for path in inputs:
            labels = check(path, masks / path.name)
            stem, form = path.name.removesuffix(".nii.gz").rsplit("_", 1)
            mask = nibabel.Nifti1Image(labels, nibabel.load(path).affine)
            canonical[stem, form] = nibabel.as_closest_canonical(mask).get_fdata()
        for stem in {stem for stem, _ in canonical}:
            for form in ("turned", "swapped", "nifti2"):
                same = numpy.array_equal(canonical[stem, form], canonical[stem, "plain"])
                assert same, f"{stem}: the {form} file gives other labels in the patient"
    print(f"{len(inputs)} passed, 0 failed")


if __name__ == "__main__":
    main()
