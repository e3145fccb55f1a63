"""How long do HD95 of two large organs take here and in MONAI? To be run by hand on a quiet machine.

    python tests/peers/bench_distances.py target/release/lamina [rounds]

Two ellipsoids of some 200 mm in 512 x 512 x 300 voxels, 10 mm apart. One thread each, one after the
other, several times; both in seconds of the processor, so that what else runs does not count, and as
they passed. Ours is the whole program: starting, reading both files, every overlap, HD95,
ASSD and surface Dice. MONAI's is the call of `compute_hausdorff_distance` alone, on arrays in memory.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import json  # noqa: E402
import pathlib  # noqa: E402
import resource  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import nibabel  # noqa: E402
import numpy as np  # noqa: E402

SHAPE, SPACING = (512, 512, 300), (0.78, 0.78, 1.0)


def ellipsoid(center, radii):
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    return sum(((a * s - c) / r) ** 2 for a, s, c, r in zip(axes, SPACING, center, radii)) <= 1


def main():
    import torch
    from monai.metrics import compute_hausdorff_distance

    torch.set_num_threads(1)
    program = pathlib.Path(sys.argv[1]).resolve()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    prediction = ellipsoid((206, 205, 153), (100, 95, 105))
    reference = ellipsoid((200, 200, 150), (100, 100, 100))
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("prediction.nii", "reference.nii")]
        for file, mask in zip(files, (prediction, reference)):
            nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), np.diag([*SPACING, 1])), file)
        pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
        ours, theirs = [], []
        for _ in range(rounds):
            done, passed, cpu = timed(resource.RUSAGE_CHILDREN, lambda: subprocess.run(
                [program, "evaluate", "--prediction", files[0], "--reference", files[1], "--surface", "--json"],
                env={**os.environ, "RAYON_NUM_THREADS": "1"}, capture_output=True, check=True,
            ))
            ours.append(cpu)
            print(f"ours {cpu:.2f} s ({passed:.2f} s passed)", end=", ")
            expected, passed, cpu = timed(resource.RUSAGE_SELF, lambda: compute_hausdorff_distance(
                *pair, include_background=True, percentile=95, spacing=SPACING
            ).item())
            theirs.append(cpu)
            print(f"MONAI {cpu:.2f} s ({passed:.2f} s passed)")
            found = json.loads(done.stdout)["cases"][0]["classes"][0]["hd95_mm"]
            assert abs(found - expected) < 1e-4, (found, expected)
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"HD95 {found:.3f} mm both; median ours {ours:.2f} s, MONAI {theirs:.2f} s: {theirs / ours:.1f} times as fast")


def timed(who, work):
    """What `work` answers, and the seconds that passed and that the processor worked."""
    used = lambda: sum(resource.getrusage(who)[:2])
    start, before = time.perf_counter(), used()
    answer = work()
    return answer, time.perf_counter() - start, used() - before


if __name__ == "__main__":
    main()
