"""A journey through the real window, with a keyboard and a mouse, on a screen of its own.

open, segment, correct, undo, kill -9, recover, export; and what was exported is read with nibabel.
Needs Xvfb, xdotool, a window manager (openbox) and OpenGL in software, and nibabel:

    journey.py PROGRAMS [FOLDER]

PROGRAMS is the folder with `lamina` and `lamina-gui`. Pictures of each stage are left in FOLDER where
ImageMagick is there.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import nibabel
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples/hippocampus/images/hippocampus_124.nii.gz"
SIZE = (1200, 900)
# In the middle of the axial pane of a window of that size.
AXIAL = (232, 265)
PATIENCE = 60.0  # seconds, of a machine that does other things, too


def wait_for(what, found):
    """Asks until there is an answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.1)
    raise SystemExit(f"journey: waited in vain for {what}")


class Screen:
    """A screen without a monitor, with a window manager."""

    def __init__(self, folder):
        reading, writing = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24",
             "+extension", "GLX", "+render", "-noreset"],
            pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as display:
            number = display.readline().strip()
        if not number:
            raise SystemExit("journey: Xvfb did not start")
        self.folder = folder
        self.environment = {
            **os.environ,
            "DISPLAY": f":{number}",
            "HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            # No dialogs of a desktop: paths are typed.
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
        }
        self.environment.pop("WAYLAND_DISPLAY", None)
        self.manager = subprocess.Popen(
            ["openbox"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def do(self, *words):
        done = subprocess.run(
            ["xdotool", *map(str, words)], env=self.environment, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    def key(self, *keys):
        for key in keys:
            self.do("key", "--clearmodifiers", key)
            time.sleep(0.3)

    def drag(self, start, end):
        self.do("mousemove", *start)
        time.sleep(0.3)
        self.do("mousedown", 1)
        for part in range(1, 11):
            place = [round(a + (b - a) * part / 10) for a, b in zip(start, end)]
            self.do("mousemove", *place)
            time.sleep(0.03)
        self.do("mouseup", 1)

    def picture(self, name, pictures):
        if pictures and shutil.which("import"):
            pictures.mkdir(parents=True, exist_ok=True)
            command = ["import", "-window", "root", str(pictures / f"{name}.png")]
            subprocess.run(command, env=self.environment, check=False)

    def close(self):
        for process in (self.manager, self.server):
            process.terminate()


def open_window(screen, program, *files):
    # Without zenity in the path no dialog comes up either.
    environment = {**screen.environment, "PATH": ""}
    process = subprocess.Popen(
        [str(program), *map(str, files)], env=environment, stderr=subprocess.DEVNULL
    )
    window = wait_for("the window", lambda: screen.do("search", "--onlyvisible", "--name", "^Lamina$"))
    window = window.splitlines()[-1]
    screen.do("windowactivate", "--sync", window)
    screen.do("windowmove", window, 0, 0)
    screen.do("windowsize", "--sync", window, *SIZE)
    screen.do("mousemove", *AXIAL)
    time.sleep(2)
    return process


def size_of(path):
    return path.stat().st_size


def in_use(path):
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def check(what, held):
    print(f"{'ok  ' if held else 'FAIL'}  {what}")
    if not held:
        raise SystemExit(1)


def journey(screen, programs, folder, pictures):
    model = folder / "model"
    subprocess.run(
        [str(programs / "lamina"), "predict", str(SAMPLE), "--out", str(model)],
        check=True, capture_output=True, cwd=folder,
    )
    alone = nibabel.load(next(model.glob("*.nii.gz")))

    # Open, segment.
    window = open_window(screen, programs / "lamina-gui", SAMPLE)
    screen.picture("opened", pictures)
    screen.key("r")
    time.sleep(1)
    # The brush begins a journal, once the model is through.
    screen.key("2")
    journals = folder / "state/lamina/journals"
    journal = wait_for("a journal", lambda: next(iter(journals.glob("*.lamina-journal")), None))
    check("a journal is kept of what is done", True)
    time.sleep(1)
    screen.picture("segmented", pictures)

    # Correct: two strokes, the second of which is undone.
    before = size_of(journal)
    screen.drag(AXIAL, (AXIAL[0] + 60, AXIAL[1] + 30))
    first = wait_for("the first stroke", lambda: size_of(journal) > before and size_of(journal))
    time.sleep(0.5)
    screen.drag(AXIAL, (AXIAL[0] - 40, AXIAL[1] - 60))
    second = wait_for("the second stroke", lambda: size_of(journal) > first and size_of(journal))
    time.sleep(0.5)
    screen.picture("corrected", pictures)
    screen.key("ctrl+z")
    wait_for("the undoing", lambda: size_of(journal) > second)
    time.sleep(1)
    check("each stroke and its undoing is in the journal at once", True)

    # Kill, and come back without the image, then with it.
    window.send_signal(signal.SIGKILL)
    window.wait()
    check("the journal is free after kill -9", not in_use(journal))
    window = open_window(screen, programs / "lamina-gui")
    screen.picture("offered", pictures)
    screen.key("Return")
    wait_for("the work to be taken up", lambda: in_use(journal))
    check("the work is offered without the image", True)
    time.sleep(1)
    screen.picture("taken_up_without_the_image", pictures)
    window.send_signal(signal.SIGKILL)
    window.wait()
    window = open_window(screen, programs / "lamina-gui", SAMPLE)
    screen.key("Return")
    wait_for("the work to be taken up", lambda: in_use(journal))
    check("and again with the image", True)
    time.sleep(1)
    screen.picture("taken_up", pictures)

    # Export.
    saved = folder / "corrected.nii.gz"
    screen.key("ctrl+s")
    time.sleep(1.5)
    screen.picture("saving", pictures)
    screen.do("type", "--delay", "20", str(saved))
    time.sleep(0.5)
    screen.key("Return")
    wait_for("the labels in a file", saved.exists)
    time.sleep(1)
    screen.picture("saved", pictures)
    screen.key("ctrl+q")
    check("the window closes without a question once all is saved", window.wait(PATIENCE) == 0)

    # Read back by others.
    image, mask = nibabel.load(SAMPLE), nibabel.load(saved)
    check("nibabel: shape of the image", mask.shape == image.shape)
    check("nibabel: place of the image", np.allclose(mask.affine, image.affine))
    labels, model_labels = np.asarray(mask.dataobj), np.asarray(alone.dataobj)
    changed = np.argwhere(labels != model_labels)
    check(f"the stroke is there: {len(changed)} voxels", 20 <= len(changed) <= 400)
    check("all of it in one axial slice", len(set(changed[:, 2])) == 1)
    check("and of one label", set(labels[tuple(changed.T)]) == {1})
    # The stroke that stands runs right and down on the page, to the patient's left and back; the
    # undone one ran to the right and front. Voxels of 1 mm run to right and front, the brush has
    # 3 mm, and both strokes began in the middle.
    farthest = changed.max(axis=0)[:2] - np.array(image.shape[:2]) // 2
    check("the undone stroke is not there", (farthest <= 4).all())

    # What was finished is not offered again.
    window = open_window(screen, programs / "lamina-gui", SAMPLE)
    screen.key("Return")
    time.sleep(2)
    check("finished work is not offered", not in_use(journal))
    screen.key("ctrl+q")
    check("the window closes", window.wait(PATIENCE) == 0)


def main():
    programs = pathlib.Path(sys.argv[1]).resolve()
    pictures = pathlib.Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "home").mkdir()
        screen = Screen(folder)
        try:
            journey(screen, programs, folder, pictures)
        finally:
            screen.close()


if __name__ == "__main__":
    main()
