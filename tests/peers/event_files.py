"""TensorBoard reads the event files of a training, also of one that was killed and went on.

Usage: event_files.py PROGRAM. Needs the package tensorboard; makes its own data with nibabel.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import nibabel
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DATASET = """
name = "tiny"
title = "Bright blocks"
modality = "mr"
license = "CC0-1.0"
source = "made here"
folder = "tiny"
images = "images"
labels = "labels"
classes = [
    { name = "background", color = [0, 0, 0] },
    { name = "block", color = [255, 170, 60] },
]
"""
EXPERIMENT = """
dataset = "tiny"
fold = 0
folds = 3
seed = 3
[network.unet]
base_channels = 4
depth = 2
[training]
epochs = 12
batch_size = 4
patch = [24, 20]
learning_rate = 0.05
"""


def make_data(folder):
    rng = np.random.default_rng(6)
    for kind in ("images", "labels"):
        (folder / "data/tiny" / kind).mkdir(parents=True)
    for case in range(6):
        labels = np.zeros((20, 24, 6), np.uint8)
        labels[4 + case : 12 + case, 6:14, 1:5] = 1
        image = (labels * 100 + rng.normal(0, 10, labels.shape)).astype(np.float32)
        for kind, array in (("images", image), ("labels", labels)):
            path = folder / "data/tiny" / kind / f"case_{case}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1.2, 3.0, 1.0])), path)
    for kind, text in (("datasets", DATASET), ("experiments", EXPERIMENT)):
        path = folder / "configs" / kind / "tiny.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)


def last_of_each(events):
    """What a reader of events.jsonl keeps: the last of each step and epoch."""
    steps, epochs = {}, {}
    for line in events.read_text().splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a run that was killed
        if event["event"] == "step":
            steps[(event["epoch"], event["step"])] = event
        elif event["event"] == "epoch_finished":
            epochs[event["epoch"]] = event
    return steps, epochs


def main(program):
    folder = pathlib.Path(tempfile.mkdtemp())
    make_data(folder)
    program = str(pathlib.Path(program).resolve())
    command = [program, "train", "--config", "configs/experiments/tiny.toml", "--data", "data",
               "--out", "run", "--device", "cpu", "--quiet"]
    child = subprocess.Popen(command, cwd=folder)
    events = folder / "run/events.jsonl"
    while child.poll() is None and not (
        events.exists() and events.read_text().count("epoch_finished") >= 3
    ):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    subprocess.run([*command, "--resume"], cwd=folder, check=True)

    files = sorted((folder / "run/tensorboard").iterdir())
    assert len(files) == 2, files
    steps, epochs = last_of_each(events)
    read = EventAccumulator(str(folder / "run/tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    tags = read.Tags()["scalars"]
    for tag in ("step/loss", "step/learning_rate", "epoch/loss", "epoch/waiting_for_data",
                "dice/mean", "dice/block"):
        assert tag in tags, (tag, tags)

    loss = read.Scalars("step/loss")
    found = [event.step for event in loss]
    assert found == list(range(1, len(steps) + 1)), found
    for event, (_, told) in zip(loss, sorted(steps.items())):
        assert np.float32(event.value) == np.float32(told["loss"]), (event, told)
    per_epoch = len(steps) // len(epochs)
    mean = read.Scalars("epoch/loss")
    assert [event.step for event in mean] == [per_epoch * epoch for epoch in sorted(epochs)]
    for event, (_, told) in zip(mean, sorted(epochs.items())):
        assert np.float32(event.value) == np.float32(told["training_loss"]), (event, told)
    times = [event.wall_time for event in loss]
    assert times == sorted(times) and abs(times[-1] - time.time()) < 3600, times[:3]
    print(f"TensorBoard read {len(loss)} steps and {len(mean)} epochs of a run that was killed once")


main(sys.argv[1])
