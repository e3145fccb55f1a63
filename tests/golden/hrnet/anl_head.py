"""Writes the golden outputs of the ANL head: a PyTorch rebuild of
engine/src/networks/hrnet/attention_heads.rs around the block of the attention's own code
(MendelXu/ANN, models/seg/utils/apnb.py), rebuilt from its text.

Run it in this folder: `python anl_head.py`. Needs numpy, torch and safetensors. The rules that weights
and inputs follow from are those of ../unet/generate.py.
"""

import json
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, "../unet")
from generate import drawn, unit, weight  # noqa: E402

GAIN = 2.0**0.5


def norm_relu(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def tokens(map):
    batch, channels = map.shape[:2]
    pooled = [F.adaptive_avg_pool2d(map, bins).view(batch, channels, -1) for bins in (1, 3, 6, 8)]
    return torch.cat(pooled, 2)


class Attention(nn.Module):
    def __init__(self, channels, key):
        super().__init__()
        self.key = key
        self.f_key = nn.Sequential(nn.Conv2d(channels, key, 1), norm_relu(key))
        self.f_value = nn.Conv2d(channels, key, 1)
        self.W = nn.Conv2d(key, channels, 1)

    def forward(self, map):
        batch, _, height, width = map.shape
        value = tokens(self.f_value(map)).permute(0, 2, 1)
        both = self.f_key(map)
        query = both.view(batch, self.key, -1).permute(0, 2, 1)
        shares = F.softmax(query @ tokens(both) * self.key**-0.5, -1)
        context = (shares @ value).permute(0, 2, 1).reshape(batch, self.key, height, width)
        return self.W(context)


class Apnb(nn.Module):
    def __init__(self, channels, key):
        super().__init__()
        self.stages = nn.ModuleList([Attention(channels, key)])
        self.conv_bn_dropout = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), norm_relu(channels)
        )

    def forward(self, map):
        return self.conv_bn_dropout(torch.cat([self.stages[0](map), map], 1))


class AnlHead(nn.Module):
    def __init__(self, channels, middle, classes):
        super().__init__()
        self.context = nn.Sequential(
            nn.Conv2d(channels, middle, 3, padding=1, bias=False),
            norm_relu(middle),
            Apnb(middle, middle // 2),
        )
        self.cls = nn.Conv2d(middle, classes, 1)

    def forward(self, map):
        return self.cls(self.context(map))


def filled(module):
    state = {}
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if tensor.dim() > 1:  # rounded once, gain included
            u = unit(name, tensor.numel())
            fan_in = tensor.numel() / tensor.shape[0]
            state[name] = drawn((2 * u - 1) * GAIN * np.sqrt(3 / fan_in), tuple(tensor.shape))
        else:
            state[name] = weight(name, tuple(tensor.shape))
    module.load_state_dict(state, strict=False)
    return state


def main():
    torch.set_num_threads(1)
    head = AnlHead(24, 16, 5).double()
    state = filled(head)
    head.eval()
    tensors, cases = {}, {}
    for case, shape in {"a": (1, 24, 12, 20), "b": (2, 24, 7, 5)}.items():
        features = drawn(2 * unit("input", int(np.prod(shape))) - 1, shape)
        with torch.no_grad():
            context = head.context(features)
            out = head.cls(context)
            other = head(-features)
            single = head.float()(features.float()).double()
            head.double().load_state_dict(state, strict=False)

        def stored(key, values, channels):
            tensors[key] = values[:, :channels].float().contiguous()
            return {
                "shape": list(values.shape),
                "abs_max": values.abs().max().item(),
                "stored_slice": {"channels": channels, "spatial_stride": 1},
                "tensor": key,
            }

        cases[case] = {
            "inputs": [{"name": "input", "shape": list(shape)}],
            "outputs": {
                "out": {
                    **stored(f"{case}/out", out, 5),
                    "f32_vs_f64_max_abs_diff": (single - out).abs().max().item(),
                    "input_sensitivity": ((other - out).square().mean().sqrt() / out.std()).item(),
                }
            },
            "taps": {"context": stored(f"{case}/tap/context", context, 8)},
        }
    manifest = {
        "model": "ref_anl_head",
        "source": "anl_head.py: AnlHead(channels=24, middle=16, classes=5)",
        "weight_gain": GAIN,
        "param_count": sum(parameter.numel() for parameter in head.parameters()),
        "cases": cases,
        "params": [
            [name, list(tensor.shape), name.rsplit(".", 1)[-1], tensor.sum().item()]
            for name, tensor in state.items()
        ],
    }
    save_file(tensors, "ref_anl_head.safetensors")
    with open("ref_anl_head.json", "w") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
