"""Writes the golden outputs of nnU-Net's plain convolutional U-Net, from its authors' code.

Run it in this folder: `python generate.py`. Needs dynamic-network-architectures, numpy, torch and
safetensors. Weights, inputs and labels follow from their names by the rule of
engine/src/synthetic_weights.rs, so only outputs are stored. Everything is computed in double
precision.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "unet"))
from generate import drawn, labels, loss_of, unit, weight  # noqa: E402


def channels(settings):
    base, most, stages = (settings[key] for key in ("base_channels", "max_channels", "stages"))
    return [min(base << stage, most) for stage in range(stages)]


def build(settings, **more):
    stages = settings["stages"]
    return PlainConvUNet(
        settings["in_channels"],
        stages,
        channels(settings),
        nn.Conv2d,
        3,
        [1] + [2] * (stages - 1),
        settings["convs_per_stage"],
        settings["num_classes"],
        settings["convs_per_stage"],
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"negative_slope": 0.01, "inplace": False},
        deep_supervision=True,
        **more,
    )


def filled(settings):
    """The network, its weights by the first name of each, and the other names."""
    network = build(settings)
    first, aliases, state = {}, {}, {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            aliases[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
            state[name] = weight(name, tuple(tensor.shape))
    network = network.double()
    network.load_state_dict({**state, **{name: state[same] for name, same in aliases.items()}})
    return network, state, aliases


def outputs_of(network, image):
    """Logits, and those of the lower levels brought to the size of the image."""
    levels = network(image)
    size = image.shape[2:]
    names = ["logits"] + [f"aux{level}" for level in range(1, len(levels))]
    resize = lambda x: F.interpolate(x, size, mode="bilinear", align_corners=False)
    return dict(zip(names, [levels[0], *map(resize, levels[1:])]))


def described(tensor, key, stride, **slices):
    return {
        "shape": list(tensor.shape),
        "abs_max": tensor.abs().max().item(),
        "stored_slice": {**slices, "spatial_stride": stride},
        "tensor": key,
    }


def answer(name, settings, shapes, stride):
    network, state, aliases = filled(settings)
    network.eval()
    tensors, cases = {}, {}
    for shape in shapes:
        case = "x".join(map(str, shape))
        taps = {}
        parts = {f"encoder{i}": stage for i, stage in enumerate(network.encoder.stages)}
        parts |= {f"decoder{i}": stage for i, stage in enumerate(network.decoder.stages)}
        hooks = [
            part.register_forward_hook(lambda _, __, out, tap=tap: taps.update({tap: out.detach()}))
            for tap, part in parts.items()
        ]
        image = drawn(2 * unit("input", int(np.prod(shape))) - 1, shape)
        with torch.no_grad():
            outputs = outputs_of(network, image)
            for hook in hooks:
                hook.remove()
            single = outputs_of(network.float(), image.float())
        network.double().load_state_dict(
            {**state, **{alias: state[same] for alias, same in aliases.items()}}
        )
        described_outputs, described_taps = {}, {}
        for output, value in outputs.items():
            key = f"{case}/{output}"
            step = stride if output == "logits" else 4 * stride
            tensors[key] = value[:, :, ::step, ::step].float().contiguous()
            described_outputs[output] = described(value, key, step, channels=value.shape[1])
            apart = (single[output].double() - value).abs().max().item()
            described_outputs[output]["f32_vs_f64_max_abs_diff"] = apart
        for tap, value in taps.items():
            key = f"{case}/tap/{tap}"
            tensors[key] = value[:1, :2, ::4, ::4].float().contiguous()
            described_taps[tap] = described(value, key, 4, batch=1, channels=2)
        cases[case] = {
            "inputs": [{"name": "input", "shape": list(shape)}],
            "outputs": described_outputs,
            "taps": described_taps,
        }
    manifest = {
        "model": name,
        "settings": settings,
        "weight_gain": 1.0,
        "param_count": sum(value.numel() for value in state.values()),
        "aliases": aliases,
        "cases": cases,
        "params": [
            [key, list(value.shape), key.rsplit(".", 1)[-1], value.sum().item()]
            for key, value in state.items()
        ],
    }
    save_file(tensors, f"{name}.safetensors")
    write(name, manifest)


def train_step(settings, shape, supervised):
    network, state, _ = filled(settings)
    image = drawn(2 * unit("input", int(np.prod(shape))) - 1, shape)
    target = labels("train_labels", (shape[0], *shape[2:]), settings["num_classes"], 0.1, 4)
    parameters = dict(network.named_parameters())
    sgd = torch.optim.SGD(
        [
            {"params": [p for p in parameters.values() if p.dim() > 1], "weight_decay": 5e-4},
            {"params": [p for p in parameters.values() if p.dim() <= 1]},
        ],
        lr=0.01,
        momentum=0.9,
    )
    steps, lengths, without, sums = [], {}, [], {}
    for step in range(2):
        sgd.zero_grad()
        outputs = list(outputs_of(network, image).items())[:supervised]
        parts = {name: loss_of(out, target, settings["num_classes"]) for name, out in outputs}
        total = sum(part / 2**level for level, part in enumerate(parts.values()))
        total.backward()
        parts = {name: part.item() for name, part in parts.items()}
        steps.append({"total": total.item(), "parts": parts})
        if step == 0:
            lengths = {n: p.grad.norm().item() for n, p in parameters.items() if p.grad is not None}
            without = [n for n, p in parameters.items() if p.grad is None]
        sgd.step()
        if step == 0:
            sums = {n: p.sum().item() for n, p in parameters.items()}
    return {
        "settings": settings,
        "weight_gain": 1.0,
        "input": list(shape),
        "losses_f64": steps,
        "grad_l2_f64": lengths,
        "params_without_grad": without,
        "param_sum_after_step1_f64": sums,
        "bn_running_sum_after_step1_f64 [mean,var]": {},
    }


def write(name, manifest):
    with open(f"{name}.json", "w") as file:
        json.dump(manifest, file, indent=None, separators=(",", ":"))
        file.write("\n")


def settings(stages, base, most, in_channels, num_classes, convs=2):
    return {
        "stages": stages,
        "base_channels": base,
        "max_channels": most,
        "convs_per_stage": convs,
        "in_channels": in_channels,
        "num_classes": num_classes,
    }


def main():
    torch.set_num_threads(2)
    answer("nnunet_c8_s4", settings(4, 8, 32, 1, 3), [(2, 1, 48, 32), (3, 1, 16, 40)], 2)
    answer("nnunet_c4_s3_n3", settings(3, 4, 16, 3, 5, convs=3), [(1, 3, 20, 28)], 1)
    answer("nnunet_2d", settings(7, 32, 512, 1, 2), [(1, 1, 128, 192)], 4)
    write("train_step_nnunet", train_step(settings(5, 8, 32, 1, 3), (3, 1, 64, 32), 2))
    counts = []
    for stages in (7, 8):
        chosen = settings(stages, 32, 512, 3, 19)
        with torch.device("meta"):
            network = build(chosen)
        training = sum(parameter.numel() for parameter in network.parameters())
        lower = sum(p.numel() for p in network.decoder.seg_layers[:-1].parameters())
        counts.append([stages, training, training - lower])
    write("parameter_counts", {"stages, training, inference": counts})


if __name__ == "__main__":
    main()
