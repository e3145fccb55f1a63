"""Do weights that PyTorch saved give the answers that PyTorch gives, and come back the same?

Usage: compare_weights.py LAMINA_PROGRAM. Needs numpy, torch and safetensors.
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden" / "unet"))
from generate import Unet  # noqa: E402

# Sums of up to 500 products in another order, in single precision.
TOLERANCE = 1e-5


def network(channels, classes):
    """A U-Net whose norms have seen data, so that no statistic is 0 or 1."""
    torch.manual_seed(12)
    network = Unet(channels, classes, 6, 3)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, channels, 24, 16) * 2 + 1)
    return network.eval()


class Trainer:
    """Something that only Python could make, with weights in it."""

    def __init__(self, state):
        self.average = {name: tensor.clone() for name, tensor in state.items()}
        self.itself = self


def saved(reference, folder):
    """The network's weights as programs save them, by a name for each form."""
    state = reference.state_dict()
    module = {f"module.{name}": tensor for name, tensor in state.items()}
    forms = {
        "plain": state,
        "parallel": module,
        "state_dict": {"state_dict": module, "epoch": 7, "best": 0.5, "optimizer": {"state": {}}},
        "model": {"model": state, "args": ["--lr", 0.1]},
        "model_state": {"model_state": state},
        "double": {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
        "twice": {"best": state, "model": state},
        "beside": {"model": state, "trainer": Trainer(state)},
        "expanded": {"model": state, "mask": torch.zeros(1).expand(5, 7), "sizes": torch.Size([2, 3])},
        "strided": {name: torch.stack([tensor, tensor], -1)[..., 0] for name, tensor in state.items()},
    }
    for name, form in forms.items():
        torch.save(form, folder / f"{name}.pth")
        yield folder / f"{name}.pth"
    torch.save(reference, folder / "whole.pth")
    yield folder / "whole.pth"
    for protocol in (3, 4, 5):
        torch.save(forms["twice"], folder / f"protocol_{protocol}.pth", pickle_protocol=protocol)
        yield folder / f"protocol_{protocol}.pth"
    for name in ("plain", "twice", "beside"):
        torch.save(forms[name], folder / f"{name}.pt", _use_new_zipfile_serialization=False)
        yield folder / f"{name}.pt"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "plain.safetensors")
    yield folder / "plain.safetensors"


def main():
    program, passed = sys.argv[1], 0

    def lamina(*arguments):
        command = [program, *map(str, arguments)]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, (command, answer.stderr)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = folder / "unet.toml"
        config.write_text("[network.unet]\nbase_channels = 6\ndepth = 3\n")
        for channels, classes in ((1, 3), (3, 19)):
            reference = network(channels, classes)
            image = torch.randn(2, channels, 20, 28)
            save_file({"input": image}, folder / "x.safetensors")
            with torch.no_grad():
                expected = reference(image)
            for weights in saved(reference, folder):
                bundle = folder / "bundle"
                lamina("import", "--network", "unet", "--config", config, "--weights", weights,
                       "--out", bundle, "--overwrite")
                lamina("forward", bundle, "--input", folder / "x.safetensors",
                       "--output", folder / "y.safetensors", "--device", "cpu")
                found = load_file(folder / "y.safetensors")["logits"]
                error = ((found - expected).abs().max() / expected.abs().max()).item()
                assert error < TOLERANCE, (weights.name, error)
                lamina("export", bundle, "--weights", folder / "back.safetensors")
                back = load_file(folder / "back.safetensors")
                for name, tensor in reference.state_dict().items():
                    if not name.endswith("num_batches_tracked"):
                        assert torch.equal(back.pop(name), tensor), (weights.name, name)
                assert not back, list(back)
                passed += 1
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
