"""Writes the golden outputs of DeepLabV3+ and PSPNet: a small PyTorch rebuild of both.

Run it in this folder: `python rebuild.py`. Needs numpy, torch and safetensors. Weights and inputs
follow from their names by the rule of engine/src/synthetic_weights.rs, so only outputs are stored.
Everything is computed in double precision. Encoders are narrow, which the settings of
engine/src/networks/{deeplab/v3plus,pspnet}.rs allow.
"""

import math
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, "../unet")
from generate import drawn, unit, weight, write  # noqa: E402

GAIN = 2**0.5


def conv(channels, to, kernel=1, stride=1, dilation=1, groups=1, bias=False):
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels, to, kernel, stride, padding, dilation, groups, bias)


class ConvBnRelu(nn.Sequential):
    def __init__(self, *args, **kwargs):
        super().__init__(conv(*args, **kwargs), nn.BatchNorm2d(args[1]), nn.ReLU())


class Bottleneck(nn.Module):
    def __init__(self, channels, to, stride, dilation):
        super().__init__()
        inner = to // 4
        self.conv1, self.bn1 = conv(channels, inner), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, stride, dilation), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv(inner, to), nn.BatchNorm2d(to)
        if stride > 1 or channels != to:
            self.downsample = nn.Sequential(conv(channels, to, 1, stride), nn.BatchNorm2d(to))

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class Resnet(nn.Module):
    def __init__(self, width, blocks, output_stride):
        super().__init__()
        self.conv1, self.bn1 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
        channels, reduced, dilation = width, 4, 1
        for stage, count in enumerate(blocks):
            to, stride, first = 4 * width << stage, 1, dilation
            if stage and reduced < output_stride:
                reduced, stride = 2 * reduced, 2
            elif stage:
                dilation *= 2
            layers = [Bottleneck(channels, to, stride, first)]
            layers += [Bottleneck(to, to, 1, dilation) for _ in range(1, count)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
            channels = to
        self.channels = [4 * width << stage for stage in range(4)]

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps


class SqueezeExcite(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.reduce = conv(channels, squeezed, bias=True)
        self.expand = conv(squeezed, channels, bias=True)

    def forward(self, x):
        scale = self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * scale.sigmoid()


class MbConv(nn.Module):
    def __init__(self, channels, expansion, to, kernel, stride, dilation):
        super().__init__()
        inner, norm = channels * expansion, lambda n: nn.BatchNorm2d(n, eps=1e-3)
        if expansion > 1:
            self.expand, self.bn0 = conv(channels, inner), norm(inner)
        self.conv, self.bn1 = conv(inner, inner, kernel, stride, dilation, inner), norm(inner)
        self.se = SqueezeExcite(inner, max(1, channels // 4))
        self.project, self.bn2 = conv(inner, to), norm(to)
        self.residual = stride == 1 and channels == to

    def forward(self, x):
        shortcut = x
        if hasattr(self, "expand"):
            x = F.silu(self.bn0(self.expand(x)))
        x = self.se(F.silu(self.bn1(self.conv(x))))
        x = self.bn2(self.project(x))
        return x + shortcut if self.residual else x


class Efficientnet(nn.Module):
    """Table 1 of the paper; with an output stride of 16 the last level is dilated."""

    STAGES = [
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
    ]  # fmt: skip

    def __init__(self, width, depth, output_stride):
        super().__init__()

        def channels(count):
            rounded = max(8, int(count * width + 4) // 8 * 8)
            return rounded + 8 if rounded < 0.9 * count * width else rounded

        stem = channels(32)
        self.stem, self.stem_bn = conv(3, stem, 3, 2), nn.BatchNorm2d(stem, eps=1e-3)
        blocks, self.ends, before, dilation = [], [], stem, 1
        for stage, (repeats, kernel, stride, expansion, to) in enumerate(self.STAGES):
            first = dilation
            if stage == 5 and output_stride == 16:
                stride, dilation = 1, 2
            for repeat in range(math.ceil(depth * repeats)):
                shape = (stride, first) if repeat == 0 else (1, dilation)
                blocks.append(MbConv(before, expansion, channels(to), kernel, *shape))
                before = channels(to)
            self.ends.append(len(blocks))
        self.blocks = nn.ModuleList(blocks)
        self.channels = [channels(self.STAGES[stage][4]) for stage in (1, 2, 4, 6)]

    def forward(self, x):
        x, maps = F.silu(self.stem_bn(self.stem(x))), []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return [maps[self.ends[stage] - 1] for stage in (1, 2, 4, 6)]


class Separable(nn.Module):
    def __init__(self, channels, to, dilation=1):
        super().__init__()
        self.dw = conv(channels, channels, 3, 1, dilation, channels)
        self.pw, self.norm = conv(channels, to), nn.BatchNorm2d(to)

    def forward(self, x):
        return F.relu(self.norm(self.pw(self.dw(x))))


class Aspp(nn.Module):
    def __init__(self, channels, to, rates, separable):
        super().__init__()
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *ConvBnRelu(channels, to))
        branches = [
            Separable(channels, to, rate) if separable else ConvBnRelu(channels, to, 3, 1, rate)
            for rate in rates
        ]
        self.convs = nn.ModuleList([ConvBnRelu(channels, to), *branches, pooling])
        self.project = ConvBnRelu(5 * to, to)

    def forward(self, x):
        *maps, pooled = [branch(x) for branch in self.convs]
        return self.project(torch.cat([*maps, pooled.expand_as(maps[0])], 1))


class Deeplabv3plus(nn.Module):
    def __init__(self, backbone, classes, channels, low_level, separable):
        super().__init__()
        self.backbone = backbone
        self.aspp = Aspp(backbone.channels[3], channels, (6, 12, 18), separable)
        self.low_level = nn.Module()
        self.low_level.conv = conv(backbone.channels[0], low_level)
        self.low_level.bn = nn.BatchNorm2d(low_level)
        self.decoder = nn.Sequential(
            Separable(channels + low_level, channels), Separable(channels, channels)
        )
        self.classifier = conv(channels, classes, bias=True)

    def forward(self, image):
        finest, _, _, coarsest = self.backbone(image)
        x = self.aspp(coarsest)
        taps = {"aspp": x}
        low = F.relu(self.low_level.bn(self.low_level.conv(finest)))
        x = F.interpolate(x, low.shape[2:], mode="bilinear", align_corners=False)
        x = self.decoder(torch.cat([x, low], 1))
        taps["decoder"] = x
        logits = F.interpolate(
            self.classifier(x), image.shape[2:], mode="bilinear", align_corners=False
        )
        return {"logits": logits}, taps


class PyramidPooling(nn.Module):
    def __init__(self, channels, bins):
        super().__init__()
        self.features = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(b), *ConvBnRelu(channels, channels // len(bins)))
            for b in bins
        )

    def forward(self, x):
        resize = lambda y: F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)
        return torch.cat([x, *(resize(feature(x)) for feature in self.features)], 1)


class Pspnet(nn.Module):
    def __init__(self, backbone, classes, channels):
        super().__init__()
        self.backbone = backbone
        fourth, last = backbone.channels[2:]
        self.ppm = PyramidPooling(last, (1, 2, 3, 6))
        head = lambda before, to: nn.Sequential(
            *ConvBnRelu(before, to, 3), nn.Dropout2d(0.1), conv(to, classes, bias=True)
        )
        self.cls = head(2 * last, channels)
        self.aux = head(fourth, channels // 2)

    def forward(self, image):
        *_, fourth, last = self.backbone(image)
        resize = lambda y: F.interpolate(y, image.shape[2:], mode="bilinear", align_corners=True)
        pooled = self.ppm(last)
        logits = {"logits": resize(self.cls(pooled)), "aux": resize(self.aux(fourth))}
        return logits, {"ppm": pooled}


def fill(network):
    state = {}
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            shape = tuple(tensor.shape)
            if len(shape) >= 2:
                fan_in = np.prod(shape) / shape[0]
                series = 2 * unit(name, int(np.prod(shape))) - 1
                state[name] = drawn(series * GAIN * np.sqrt(3 / fan_in), shape)
            else:
                state[name] = weight(name, shape)
    network.load_state_dict(state, strict=False)
    return state


def described(values, key, limit=24000):
    """Every so many pixels of a map, and how to say so in the manifest."""
    stride = 1
    while values[..., ::stride, ::stride].numel() * 4 > limit:
        stride *= 2
    spec = {
        "shape": list(values.shape),
        "abs_max": values.abs().max().item(),
        "stored_slice": {"channels": values.shape[1], "spatial_stride": stride},
        "tensor": key,
    }
    return values[..., ::stride, ::stride].float().contiguous(), spec


def answer(name, network, shapes):
    network.double().eval()
    state = fill(network)
    tensors, cases = {}, {}
    for shape in shapes:
        case = "x".join(map(str, shape))
        image = drawn(2 * unit("input", int(np.prod(shape))) - 1, shape)
        specs = {}
        with torch.no_grad():
            for kind, maps in zip(("outputs", "taps"), network(image)):
                specs[kind] = {}
                for label, values in maps.items():
                    key = f"{case}/{label}"
                    tensors[key], specs[kind][label] = described(values, key)
        cases[case] = {"inputs": [{"name": "input", "shape": list(shape)}], **specs}
    manifest = {
        "model": name,
        "weight_gain": GAIN,
        "param_count": sum(parameter.numel() for parameter in network.parameters()),
        "cases": cases,
        "params": [
            [key, list(value.shape), key.rsplit(".", 1)[-1], value.sum().item()]
            for key, value in sorted(state.items())
        ],
    }
    save_file(tensors, f"{name}.safetensors")
    write(name, manifest)


def main():
    torch.set_num_threads(1)
    blocks = [3, 4, 6, 3]
    shapes = [(2, 3, 65, 97), (1, 3, 64, 40)]
    for stride in (16, 32):
        network = Deeplabv3plus(Resnet(8, blocks, stride), 5, 32, 6, stride == 32)
        answer(f"deeplabv3plus_r50_os{stride}", network, shapes)
    network = Deeplabv3plus(Efficientnet(0.5, 0.5, 16), 5, 32, 6, False)
    answer("deeplabv3plus_efficientnet_os16", network, shapes)
    answer("pspnet_r50", Pspnet(Resnet(8, blocks, 8), 5, 64), shapes)


if __name__ == "__main__":
    main()
