"""Does `lamina evaluate --convention NAME` print what the library NAME prints?

    python tests/peers/metrics.py target/release/lamina

Masks and the libraries' numbers are those of tests/golden/metrics/make.py, made anew here with the
versions that this Python has; the program reads the masks as NIfTI (pictures as PNG). Libraries that
cannot be imported are left out by name. MetricsReloaded is on no package index: its definitions,
written anew, are compared instead. With cityscapesscripts the official script scores two pictures
of ids beside `--cityscapes`.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden" / "metrics"))
sys.dont_write_bytecode = True
import make  # noqa: E402

METRICS = {
    "monai": "dice,iou,hd,hd95,assd,nsd",
    "deepmind": "dice,hd,hd95,assd,nsd",
    "reloaded": "dice,iou,rvd,hd,hd95,assd,masd,nsd,boundary-iou",
    "nnunet": "dice,iou",
}


def write(folder, cases):
    import nibabel
    from PIL import Image

    for side, at in (("prediction", 1), ("reference", 2)):
        (folder / side).mkdir(parents=True)
        for name, case in cases.items():
            spacing, labels = case[0], case[at]
            if spacing is None:
                Image.fromarray(labels[0]).save(folder / side / f"{name}.png")
            else:
                affine = np.diag([*spacing[::-1], 1.0])
                image = nibabel.Nifti1Image(np.ascontiguousarray(labels.transpose(2, 1, 0)), affine)
                nibabel.save(image, folder / side / f"{name}.nii.gz")


def evaluate(program, folder, *options):
    command = [program, "evaluate", "--prediction", folder / "prediction", "--reference", folder / "reference", "--json", *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def number(value):
    return float("nan") if value is None else float(value)


def same(found, expected, tolerance):
    expected = number(expected)
    if math.isnan(expected) or math.isinf(expected):
        return found is None  # JSON has neither; the summary tells them apart
    return found is not None and abs(found - expected) <= tolerance * max(abs(expected), 1e-3)


def compare(program, folder, name, expected, tolerance):
    tolerances = ",".join(f"{t:g}" for t in make.TOLERANCES)
    compared = 0
    report = evaluate(program, folder, "--convention", name, "--metrics", METRICS[name], "--labels", "1,2", "--tolerance-mm", tolerances)
    for case in report["cases"]:
        for found in case["classes"]:
            for key, value in expected[case["case"]][str(found["label"])].items():
                assert same(found.get(key), value, tolerance), (name, case["case"], found["label"], key, found.get(key), value)
                compared += 1
    print(f"{name}: {compared} numbers are the library's")


def compare_nnunet(program, folder, volumes):
    expected = make.nnunet(volumes)
    out = folder / "summary.json"
    report = evaluate(program, folder, "--convention", "nnunet", "--labels", "1,2", "--summary", out)
    found = json.loads(out.read_text())
    assert found.keys() == expected.keys()
    text = lambda summary, key: json.dumps(summary[key], sort_keys=True).replace('"nan"', "NaN")
    near = lambda a, b: all(abs(a[k] - b[k]) < 1e-12 for k in b if not math.isnan(number(b[k])))
    for label, mean in expected["mean"].items():
        assert near(found["mean"][label], mean), (label, found["mean"][label], mean)
        of_report = next(c for c in report["summary"]["classes"] if str(c["label"]) == label)
        assert abs(of_report["dice"]["mean"] - mean["Dice"]) < 1e-12
    assert near(found["foreground_mean"], expected["foreground_mean"])
    cases = lambda summary: [json.dumps(case["metrics"], sort_keys=True).replace('"nan"', "NaN") for case in summary["metric_per_case"]]
    assert cases(found) == cases(expected)
    print(f"nnunet: summary.json of {len(expected['metric_per_case'])} cases is the library's")


def compare_cityscapes(program, folder):
    """Pictures of ids, with instances, by chance."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
    from PIL import Image

    if not hasattr(np, "in1d"):
        np.in1d = np.isin  # it was made for numpy 1
    random = np.random.default_rng(3)
    pairs = []
    for city, frame in (("aachen", 1), ("bonn", 2)):
        name = f"{city}_000000_{frame:06d}"
        reference = random.choice([0, 4, 7, 8, 11, 13, 17, 20, 21, 23, 24, 25, 26, 28, 29, 33], (8, 10)).astype(np.uint8)
        reference = reference.repeat(6, 0).repeat(7, 1)
        prediction = np.where(random.random(reference.shape) < 0.7, reference, random.integers(0, 34, reference.shape)).astype(np.uint8)
        instances = reference.astype(np.uint16)
        with_instances = (reference >= 24) & (random.random(reference.shape) < 0.9)
        instances[with_instances] = reference[with_instances].astype(np.uint16) * 1000 + (np.indices(reference.shape)[1] // 20)[with_instances]
        for side, image, suffix in (
            ("pred", prediction, "pred"), ("gt", reference, "gtFine_labelIds"), ("gt", instances, "gtFine_instanceIds"),
        ):
            (folder / side / city).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / side / city / f"{name}_{suffix}.png")
        pairs.append((str(folder / "pred" / city / f"{name}_pred.png"), str(folder / "gt" / city / f"{name}_gtFine_labelIds.png")))
    official.args.quiet = True
    official.args.exportFile = str(folder / "official" / "result.json")
    expected = official.evaluateImgLists([p for p, _ in pairs], [g for _, g in pairs], official.args)
    done = subprocess.run([str(program), "evaluate", "--cityscapes", "--json", "--prediction", str(folder / "pred"), "--reference", str(folder / "gt")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    compared = 0
    for table in ("classScores", "classInstScores", "categoryScores", "categoryInstScores"):
        for name, value in expected[table].items():
            if name == "license plate":
                continue  # has no id from 0 on, and no score
            assert same(found[table][name], value, 1e-12), (table, name, found[table][name], value)
            compared += 1
    for key in ("averageScoreClasses", "averageScoreInstClasses", "averageScoreCategories", "averageScoreInstCategories"):
        assert same(found[key], expected[key], 1e-12), (key, found[key], expected[key])
        compared += 1
    assert found["confMatrix"] == [list(map(int, row)) for row in expected["confMatrix"]]
    print(f"cityscapes: {compared} scores are the official script's")


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    # NIfTI keeps a spacing in single precision.
    single = lambda spacing: spacing and [float(np.float32(step)) for step in spacing]
    cases = {name: (single(spacing), p, r) for name, (spacing, p, r) in make.masks().items()}
    volumes = {name: case for name, case in cases.items() if case[0] is not None}
    pictures = {name: case for name, case in cases.items() if case[0] is None}
    left_out = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder / "volumes", volumes)
        write(folder / "pictures", pictures)
        for name, library, tolerance in (("monai", "monai", 2e-6), ("deepmind", "surface_distance", 1e-12), ("reloaded", "scipy", 1e-12)):
            try:
                __import__(library)
            except ImportError as missing:
                left_out.append(f"{name}'s numbers: {missing}")
                continue
            made = getattr(make, name)(cases)
            expected = made[0] if name == "monai" else made
            for kind in ("volumes", "pictures"):
                compare(program, folder / kind, name, expected, tolerance)
        try:
            import nnunetv2.evaluation.evaluate_predictions  # noqa: F401
        except ImportError as missing:
            left_out.append(f"nnU-Net's summary.json: {missing}")
        else:
            compare_nnunet(program, folder / "volumes", volumes)
        try:
            import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling  # noqa: F401
        except ImportError as missing:
            left_out.append(f"Cityscapes' official script: {missing}")
        else:
            compare_cityscapes(program, folder / "cityscapes")
    print("reloaded: written anew from its definitions, for MetricsReloaded is on no package index")
    for reason in left_out:
        print(f"left out: {reason}")


if __name__ == "__main__":
    main()
