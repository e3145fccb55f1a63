"""Writes small files as `torch.save` writes them, and what PyTorch answers with their weights.

Run it in this folder: `python save.py`. Needs numpy, torch and safetensors. The network is the
U-Net of ../unet/generate.py with one channel in, three classes, two levels of two channels.
"""

import os
import sys
from collections import OrderedDict

import torch
from safetensors.torch import save_file

sys.path.insert(0, "../unet")
from generate import Unet, drawn, filled, unit  # noqa: E402


class Hostile:
    """Unpickled by PyTorch with weights_only=False, this runs a command."""

    def __reduce__(self):
        return os.system, ("echo run > hostile_was_run",)


def strided(tensor):
    """The same values behind an offset, and in another order where there are two axes."""
    if tensor.ndim == 0:
        return tensor
    if tensor.ndim == 1:
        return torch.cat([torch.full_like(tensor, 9), tensor])[tensor.numel():]
    return tensor.transpose(0, 1).contiguous().transpose(0, 1)


def mixed(state):
    """Every real type that weights are stored as; `narrow` ones hold what they can."""
    types = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
    return OrderedDict((name, tensor.to(types[index % 4])) for index, (name, tensor) in enumerate(state.items()))


def main():
    network, _ = filled(1, 3, 2, 2)
    network.eval()
    shape = (2, 1, 6, 4)
    image = drawn(2 * unit("input", 48) - 1, shape)
    with torch.no_grad():
        logits = network(image)
    state = OrderedDict((name, tensor.float()) for name, tensor in network.state_dict().items()
                        if not name.endswith("num_batches_tracked"))
    counters = {name.replace("running_mean", "num_batches_tracked"): torch.tensor(7)
                for name in state if name.endswith("running_mean")}
    whole = OrderedDict(state, **counters)

    save_file(state, "weights.safetensors")
    save_file({"input": image.float(), "logits": logits.float()}, "answer.safetensors")
    torch.save(whole, "plain.pth")
    torch.save(whole, "twenty_one_characters.pth")
    torch.save(whole, "legacy.pth", _use_new_zipfile_serialization=False)
    wrapped = OrderedDict((f"module.{name}", strided(tensor)) for name, tensor in whole.items())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for parameter in network.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros(1)
    torch.save({"state_dict": wrapped, "optimizer": optimizer.state_dict(), "epoch": 3}, "wrapped.pth")
    parameters = {name: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor
                  for name, tensor in whole.items()}
    torch.save({"model_state": parameters, "best": 0.5}, "parameters.pt")
    torch.save({"model": mixed(state)}, "mixed.pth")
    torch.save({"model": whole, "note": Hostile()}, "hostile.pth")
    whole["head.bias"] = torch.tensor([0.0, float("nan"), 1.0])
    torch.save(whole, "not_finite.pth")


if __name__ == "__main__":
    main()
