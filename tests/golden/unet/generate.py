"""Writes the golden outputs of U-Net: a small PyTorch rebuild of engine/src/networks/unet.rs.

Run it in this folder: `python generate.py`. Needs numpy, torch and safetensors. Weights, inputs and
labels follow from their names by the rule of engine/src/synthetic_weights.rs, so only outputs are
stored. Everything is computed in double precision.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

MASK = (1 << 64) - 1


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def hashes(name, count):
    """splitmix64 of the seed of `name` plus 0, 1, ..."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + np.uint64(fnv1a64(name))
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(name, count):
    return (hashes(name, count) >> np.uint64(11)).astype(np.float64) / 2.0**53


def drawn(values, shape):
    """Rounded once to single precision, as weights are stored."""
    return torch.from_numpy(values.astype(np.float32).reshape(shape)).double()


def weight(name, shape):
    u = unit(name, int(np.prod(shape)))
    if len(shape) >= 2:
        fan_in = np.prod(shape) / shape[0]
        return drawn((2 * u - 1) * np.sqrt(3 / fan_in), shape)
    kind = name.rsplit(".", 1)[-1]
    if kind == "bias":
        return drawn(0.2 * (2 * u - 1), shape)
    if kind == "running_mean":
        return drawn(0.1 * (2 * u - 1), shape)
    return drawn(0.5 + u, shape)


def labels(name, shape, classes, ignored, cell):
    batch, height, width = shape
    rows, columns = height // cell, width // cell
    count = batch * rows * columns
    label = (hashes(name, count) % np.uint64(classes)).astype(np.int64)
    label[unit(name + ".ignore", count) < ignored] = 255
    label = label.reshape(batch, rows, columns).repeat(cell, axis=1).repeat(cell, axis=2)
    return torch.from_numpy(label)


class ConvBlock(nn.Module):
    def __init__(self, channels, to):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, to, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(to)
        self.conv2 = nn.Conv2d(to, to, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(to)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class UpBlock(nn.Module):
    def __init__(self, to):
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * to, to, 2, stride=2)
        self.block = ConvBlock(2 * to, to)

    def forward(self, x, skip):
        return self.block(torch.cat([skip, self.up(x)], 1))


class Unet(nn.Module):
    def __init__(self, in_channels, classes, base_channels=64, depth=5):
        super().__init__()
        widths = [base_channels << level for level in range(depth)]
        channels = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(ConvBlock(a, b) for a, b in zip(channels, widths))
        self.decoder = nn.ModuleList(UpBlock(width) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base_channels, classes, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            x = block(x, skips.pop())
        return self.head(x)


def parameter_count(*settings):
    with torch.device("meta"):
        network = Unet(*settings)
    return sum(parameter.numel() for parameter in network.parameters())


def filled(*settings):
    network = Unet(*settings).double()
    state = {
        name: weight(name, tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network.load_state_dict(state, strict=False)
    return network, state


def answer(name, settings, shapes):
    in_channels, classes, base_channels, depth = settings
    network, state = filled(*settings)
    network.eval()
    tensors, cases = {}, {}
    for shape in shapes:
        case = "x".join(map(str, shape))
        count = int(np.prod(shape))
        with torch.no_grad():
            image = drawn(2 * unit("input", count) - 1, shape)
            logits = network(image)
            single = network.float()(image.float()).double()
            network.double().load_state_dict(state, strict=False)
        key = f"{case}/logits"
        tensors[key] = logits.float().contiguous()
        cases[case] = {
            "inputs": [{"name": "input", "shape": list(shape)}],
            "outputs": {
                "logits": {
                    "shape": list(logits.shape),
                    "abs_max": logits.abs().max().item(),
                    "f32_vs_f64_max_abs_diff": (single - logits).abs().max().item(),
                    "stored_slice": {"channels": classes, "spatial_stride": 1},
                    "tensor": key,
                }
            },
        }
    manifest = {
        "model": name,
        "settings": {
            "in_channels": in_channels,
            "num_classes": classes,
            "base_channels": base_channels,
            "depth": depth,
        },
        "weight_gain": 1.0,
        "param_count": parameter_count(*settings),
        "cases": cases,
        "params": [
            [key, list(value.shape), key.rsplit(".", 1)[-1], value.sum().item()]
            for key, value in sorted(state.items())
        ],
    }
    save_file(tensors, f"{name}.safetensors")
    write(name, manifest)


def loss_of(logits, target, classes):
    """Cross-entropy plus one minus the batch Dice of the foreground classes; 255 is left out."""
    cross_entropy = F.cross_entropy(logits, target, ignore_index=255)
    counted = target != 255
    one_hot = F.one_hot(target.where(counted, 0), classes).permute(0, 3, 1, 2) * counted[:, None]
    probabilities = logits.softmax(1) * counted[:, None]
    overlap = (probabilities * one_hot).sum((0, 2, 3))[1:]
    sizes = (probabilities + one_hot).sum((0, 2, 3))[1:]
    return cross_entropy + 1 - ((2 * overlap + 1) / (sizes + 1)).mean()


def train(nesterov, dtype):
    settings, shape, steps = (1, 3, 4, 3), (3, 1, 24, 16), 4
    network, _ = filled(*settings)
    network.train().to(dtype)
    decayed = [p for p in network.parameters() if p.dim() > 1]
    exempt = [p for p in network.parameters() if p.dim() <= 1]
    sgd = torch.optim.SGD(
        [{"params": decayed}, {"params": exempt, "weight_decay": 0.0}],
        lr=0.1,
        momentum=0.9,
        weight_decay=0.01,
        nesterov=nesterov,
    )
    image = drawn(2 * unit("input", int(np.prod(shape))) - 1, shape).to(dtype)
    target = labels("train_labels", (3, 24, 16), 3, 0.1, 4)
    losses, gradients = [], {}
    for step in range(steps):
        sgd.zero_grad()
        loss = loss_of(network(image), target, 3)
        loss.backward()
        if step == 0:
            gradients = {n: p.grad.norm().item() for n, p in network.named_parameters()}
        losses.append(loss.item())
        sgd.step()
    values = {n: v for n, v in network.state_dict().items() if "num_batches" not in n}
    lengths = {n: v.norm().item() for n, v in sorted(values.items())}
    return {"losses": losses, "first_gradient_l2": gradients, "l2_after": lengths}


def write(name, manifest):
    with open(f"{name}.json", "w") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")


def main():
    torch.set_num_threads(1)
    answer("unet_c8_d4", (1, 2, 8, 4), [(2, 1, 48, 32), (3, 1, 8, 24)])
    answer("unet_c16_d3", (3, 5, 16, 3), [(1, 3, 20, 28)])
    steps = {name: train(name == "nesterov", torch.float64) for name in ("plain", "nesterov")}
    for name, run in steps.items():
        single = train(name == "nesterov", torch.float32)
        apart = [abs(a - b) for a, b in zip(run["losses"], single["losses"])]
        run["losses_f32_vs_f64"] = apart
    counts = {
        "in_channels, num_classes, base_channels, depth": [
            [settings, parameter_count(*settings)]
            for settings in [(1, 2, 64, 5), (3, 2, 64, 5), (3, 3, 32, 4), (1, 2, 32, 4)]
        ]
    }
    write("unet_training", {"steps": steps, "parameter_counts": counts})


if __name__ == "__main__":
    main()
