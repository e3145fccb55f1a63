"""Masks and the numbers that other programs make of them, for engine/tests/golden_metrics.rs.

Run with a Python that has numpy, scipy, SimpleITK, torch, monai, surface-distance and nnunetv2:

    python tests/golden/metrics/make.py

writes masks.json and expected.json beside itself. Made with the versions that expected.json names.
MetricsReloaded is on no package index; `reloaded` here follows the definitions of its
`BinaryPairwiseMeasures` (commit 00219d05d0), written anew with scipy. surface-distance 0.1 was made for
numpy 1: the names that numpy 2 and scipy no longer have are given back to it, nothing else.

In expected.json a number may be "nan", "inf", or null where the library has no such number.
"""

import importlib.metadata
import json
import pathlib
import tempfile
import warnings

import numpy as np
from scipy import ndimage

HERE = pathlib.Path(__file__).parent
TOLERANCES = [1.0, 0.6, 2.5]
warnings.filterwarnings("ignore")


def masks():
    """Name -> spacing of the array axes (None: a picture), prediction, reference."""
    cases = {}
    thick = [3.6, 0.6, 0.6]

    def empty(shape=(4, 5, 6)):
        return np.zeros(shape, np.uint8)

    def cube(at, size=(2, 3, 3), shape=(6, 9, 10), label=1):
        array = empty(shape)
        array[tuple(slice(a, a + s) for a, s in zip(at, size))] = label
        return array

    cases["both_empty"] = (thick, empty(), empty())
    cases["missed"] = (thick, empty((6, 9, 10)), cube((1, 2, 3)))
    cases["false"] = (thick, cube((1, 2, 3)), empty((6, 9, 10)))
    one, other = empty(), empty()
    one[1, 2, 3], other[2, 4, 5] = 1, 1
    cases["one_voxel"] = (thick, one, other)
    cases["one_voxel_in_a_cube"] = (thick, cube((2, 3, 4), (1, 1, 1)), cube((1, 2, 3), (3, 4, 5)))
    cases["at_the_border"] = (thick, cube((0, 0, 0), (3, 9, 4)), cube((0, 0, 6), (6, 5, 4)))
    cases["shifted_cube"] = ([1.0, 1.0, 1.0], cube((1, 1, 3), (4, 4, 4)), cube((1, 1, 1), (4, 4, 4)))
    cases["full"] = (thick, np.ones((3, 4, 5), np.uint8), np.ones((3, 4, 5), np.uint8))

    def blobs(shape, seed, sigma, levels):
        random = np.random.default_rng(seed)
        field = ndimage.gaussian_filter(random.normal(size=shape), sigma)
        return np.digitize(field, np.quantile(field, levels)).astype(np.uint8)

    reference = blobs((9, 20, 22), 1, (0.7, 2, 2), [0.6, 0.85])
    noise = blobs((9, 20, 22), 2, (0.7, 2, 2), [0.6, 0.85])
    cases["blobs"] = (thick, np.where(blobs((9, 20, 22), 3, 2, [0.7]) > 0, noise, reference), reference)
    cases["speckles"] = ([2.0, 0.7, 1.3], blobs((6, 12, 13), 4, 0, [0.5, 0.8]), blobs((6, 12, 13), 5, 0, [0.6, 0.7]))
    picture = blobs((1, 24, 30), 6, (0, 2, 2), [0.6, 0.85])
    cases["picture"] = (None, np.roll(picture, (2, 1), (1, 2)), picture)
    cases["picture_missed"] = (None, np.zeros_like(picture), picture)
    return cases


def runs(array):
    """Labels as pairs of a label and how often it follows itself."""
    flat = array.ravel()
    ends = np.append(np.flatnonzero(np.diff(flat)), len(flat) - 1)
    lengths = np.diff(np.append(-1, ends))
    return [[int(flat[end]), int(length)] for end, length in zip(ends, lengths)]


def plain(number):
    number = float(number)
    if np.isnan(number):
        return "nan"
    return ("inf" if number > 0 else "-inf") if np.isinf(number) else number


def unit(spacing):
    return "px" if spacing is None else "mm"


def squeezed(spacing, *arrays):
    """A picture is two-dimensional for the libraries."""
    if spacing is None:
        return [1.0, 1.0], *[array[0] for array in arrays]
    return spacing, *arrays


def monai(cases):
    import torch
    from monai.metrics import (
        DiceMetric, HausdorffDistanceMetric, MeanIoU, SurfaceDiceMetric, SurfaceDistanceMetric,
    )

    makers = {
        "dice": lambda: DiceMetric(include_background=False, reduction="none"),
        "iou": lambda: MeanIoU(include_background=False, reduction="none"),
        "hd": lambda: HausdorffDistanceMetric(include_background=False, reduction="none"),
        "hd95": lambda: HausdorffDistanceMetric(include_background=False, percentile=95, reduction="none"),
        "assd": lambda: SurfaceDistanceMetric(include_background=False, symmetric=True, reduction="none"),
    }
    made = {}
    for name, (spacing, prediction, reference) in cases.items():
        classes = {str(label): {} for label in (1, 2)}
        step, prediction, reference = squeezed(spacing, prediction, reference)
        one_hot = lambda labels: torch.stack([torch.from_numpy(labels == n) for n in range(3)])[None].float()
        pair = one_hot(prediction), one_hot(reference)

        def take(key, metric, **options):
            metric(*pair, **options)
            for label, number in zip((1, 2), metric.aggregate().flatten().tolist()):
                classes[str(label)][key] = plain(number)

        for key, maker in makers.items():
            distance = key not in ("dice", "iou")
            key = f"{key}_{unit(spacing)}" if distance else key
            take(key, maker(), **({"spacing": step} if distance else {}))
        for at, tolerance in enumerate(TOLERANCES):
            metric = SurfaceDiceMetric([tolerance] * 2, include_background=False, reduction="none")
            take(f"surface_dice_at_{tolerance:g}{unit(spacing)}", metric, spacing=step)
            if at == 0:
                take("surface_dice", SurfaceDiceMetric([tolerance] * 2, include_background=False, reduction="none"), spacing=step)
        made[name] = classes

    # What it makes of all volumes together.
    volumes = [case for case in cases.values() if case[0] is not None]
    means = {}
    for key, per_class, over_all in [
        ("dice", DiceMetric(include_background=False, reduction="mean_batch", get_not_nans=True),
         DiceMetric(include_background=False, reduction="mean")),
        ("hd95_mm", HausdorffDistanceMetric(include_background=False, percentile=95, reduction="mean_batch", get_not_nans=True), None),
        ("hd_mm", HausdorffDistanceMetric(include_background=False, reduction="mean_batch", get_not_nans=True), None),
    ]:
        for spacing, prediction, reference in volumes:
            one_hot = lambda labels: torch.stack([torch.from_numpy(labels == n) for n in range(3)])[None].float()
            options = {} if key == "dice" else {"spacing": spacing}
            for metric in [m for m in (per_class, over_all) if m is not None]:
                metric(one_hot(prediction), one_hot(reference), **options)
        mean, not_nans = per_class.aggregate()
        means[key] = {"mean": [plain(n) for n in mean.tolist()], "n": [int(n) for n in not_nans.tolist()]}
        if over_all is not None:
            means[key]["over_all"] = plain(over_all.aggregate().item())
    return made, means


def deepmind(cases):
    for name, value in {"Inf": np.inf, "NaN": np.nan}.items():
        if not hasattr(np, name):
            setattr(np, name, value)
    for name in ("filters", "morphology"):
        if not hasattr(getattr(ndimage, name, None), "correlate" if name == "filters" else "distance_transform_edt"):
            setattr(ndimage, name, ndimage)
    import surface_distance as sd

    made = {}
    for name, (spacing, prediction, reference) in cases.items():
        step, prediction, reference = squeezed(spacing, prediction, reference)
        classes = {}
        for label in (1, 2):
            p, r = prediction == label, reference == label
            found = sd.compute_surface_distances(r, p, step)
            from_reference, from_prediction = sd.compute_average_surface_distance(found)
            numbers = {
                "dice": sd.compute_dice_coefficient(r, p),
                f"hd_{unit(spacing)}": sd.compute_robust_hausdorff(found, 100),
                f"hd95_{unit(spacing)}": sd.compute_robust_hausdorff(found, 95),
                f"asd_reference_to_prediction_{unit(spacing)}": from_reference,
                f"asd_prediction_to_reference_{unit(spacing)}": from_prediction,
                "surface_dice": sd.compute_surface_dice_at_tolerance(found, TOLERANCES[0]),
            }
            for tolerance in TOLERANCES:
                numbers[f"surface_dice_at_{tolerance:g}{unit(spacing)}"] = sd.compute_surface_dice_at_tolerance(found, tolerance)
            classes[str(label)] = {key: plain(number) for key, number in numbers.items()}
        made[name] = classes
    return made


def reloaded(cases):
    """The definitions of BinaryPairwiseMeasures; where it divides by or takes a percentile of nothing, "nan"."""
    made = {}
    for name, (spacing, prediction, reference) in cases.items():
        step, prediction, reference = squeezed(spacing, prediction, reference)
        mm = unit(spacing)
        classes = {}
        for label in (1, 2):
            p, r = prediction == label, reference == label
            n_p, n_r, both = p.sum(), r.sum(), (p & r).sum()
            numbers = {
                "dice": 1.0 if n_p + n_r == 0 else 2 * both / (n_p + n_r),
                "iou": np.nan if n_p + n_r == 0 else both / (p | r).sum(),
            }
            border_p, border_r = p ^ ndimage.binary_erosion(p), r ^ ndimage.binary_erosion(r)
            either = (border_p | border_r).sum()
            numbers["boundary_iou"] = (border_p & border_r).sum() / either if either else np.nan
            if n_r == 0:
                numbers["rvd_percent"] = 0.0 if n_p == 0 else 100.0
            else:
                numbers["rvd_percent"] = (int(n_p) - int(n_r)) / n_r * 100
            keys = [f"{key}_{mm}" for key in ("hd", "assd", "hd95", "masd")]
            nsd = {"surface_dice": TOLERANCES[0], **{f"surface_dice_at_{t:g}{mm}": t for t in TOLERANCES}}
            if n_p == 0 and n_r == 0:
                numbers.update(dict.fromkeys(keys, 0.0), **dict.fromkeys(nsd, np.nan))
            elif n_p == 0 or n_r == 0:
                numbers.update(dict.fromkeys([*keys, *nsd], np.nan))
            else:
                to_r = ndimage.distance_transform_edt(~border_r, sampling=step)[border_p]
                to_p = ndimage.distance_transform_edt(~border_p, sampling=step)[border_r]
                pooled = np.concatenate([to_r, to_p])
                numbers.update(zip(keys, [
                    pooled.max(),
                    pooled.mean(),
                    max(np.percentile(to_r, 95), np.percentile(to_p, 95)),
                    (to_r.mean() + to_p.mean()) / 2,
                ]))
                numbers.update({key: (pooled <= tolerance).mean() for key, tolerance in nsd.items()})
            classes[str(label)] = {key: plain(number) for key, number in numbers.items()}
        made[name] = classes
    return made


def nnunet(cases):
    import SimpleITK as sitk
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for side, at in (("prediction", 1), ("reference", 2)):
            (folder / side).mkdir()
            for name, case in cases.items():
                if case[0] is None:
                    continue
                image = sitk.GetImageFromArray(case[at])
                image.SetSpacing(case[0][::-1])
                sitk.WriteImage(image, str(folder / side / f"{name}.nii.gz"))
        out = folder / "summary.json"
        compute_metrics_on_folder(
            str(folder / "reference"), str(folder / "prediction"), str(out),
            SimpleITKIO(), ".nii.gz", [1, 2], num_processes=1,
        )
        # NaN is no JSON: what Python writes for it is put into quotes.
        text = out.read_text().replace("NaN", '"nan"').replace(str(folder) + "/", "")
        return json.loads(text)


def main():
    import surface_distance.lookup_tables as tables

    cases = masks()
    (HERE / "masks.json").write_text(json.dumps({
        name: {
            "shape": list(prediction.shape),
            "spacing_mm": spacing,
            "prediction": runs(prediction),
            "reference": runs(reference),
        }
        for name, (spacing, prediction, reference) in cases.items()
    }, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    per_case, means = monai(cases)
    spacing = [0.6, 1.7, 3.1]
    expected = {
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("monai", "surface-distance", "nnunetv2", "scipy", "numpy")
        },
        "tolerances": TOLERANCES,
        "monai": per_case,
        "monai_over_cases": means,
        "deepmind": deepmind(cases),
        "deepmind_areas": {
            "spacing_mm": spacing,
            "areas": list(tables.create_table_neighbour_code_to_surface_area(spacing)),
        },
        "reloaded": reloaded(cases),
        "nnunet_summary": nnunet(cases),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=False) + "\n")


if __name__ == "__main__":
    main()
