"""Makes tests/fixtures/steps.json: ten updates of each optimiser of PyTorch, with layers frozen or at rates of their own, clipped
gradients, and gradients of several batches, on small networks written down here in plain torch calls.

Each case holds its experiment, the losses, and after the last update every value of every parameter, running statistic and
buffer of the optimiser, computed in double precision. It also holds what torch.amp.GradScaler's rule makes of its scale.

Run with torch 2.11: python3 scripts/make_step_fixture.py
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from make_parity_fixtures import filled, noise, rounded

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/steps.json"
CLASSES, IMAGES, SIDE = 5, 6, 12
MEAN, STD = 128, 64


def network(batch_norm):
    """Two layers of which one's name begins as the other's."""
    layers = [{"basic_conv": {"name": name, "channels": channels, "kernel": 3, "stride": 2, "padding": 1, "batch_norm": batch_norm}}
              for name, channels in (("layer1", 6), ("layer10", 4))]
    layers += ["flatten", {"linear": {"name": "fc", "features": "classes"}}]
    return {"input": [3, SIDE, SIDE], "classes": CLASSES, "layers": layers}


def tensors(batch_norm):
    """Every parameter and running statistic by its name."""
    shapes = {"layer1.conv.weight": (6, 3, 3, 3), "layer10.conv.weight": (4, 6, 3, 3)}
    for layer, channels in (("layer1", 6), ("layer10", 4)):
        if batch_norm:
            shapes |= {f"{layer}.bn.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
        else:
            shapes[f"{layer}.conv.bias"] = (channels,)
    shapes |= {"fc.weight": (CLASSES, 36), "fc.bias": (CLASSES,)}
    return {name: filled(name, shape).double().requires_grad_("running" not in name) for name, shape in shapes.items()}


def forward(w, x, frozen):
    for layer in ("layer1", "layer10"):
        x = F.conv2d(x, w[f"{layer}.conv.weight"], w.get(f"{layer}.conv.bias"), stride=2, padding=1)
        if f"{layer}.bn.weight" in w:
            parts = [w[f"{layer}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            x = F.batch_norm(x, *parts, training=layer not in frozen, momentum=0.1, eps=1e-5)
        x = F.relu(x)
    return F.linear(x.flatten(1), w["fc.weight"], w["fc.bias"])


def images():
    """Bytes, (images, 3, height, width)."""
    values = noise("images", IMAGES * 3 * SIDE * SIDE).reshape(IMAGES, 3, SIDE, SIDE)
    return torch.from_numpy(((values + 1) * 127.5).round())


WHOLE = [[6]] * 10
# The number of images in each batch of each update's group.
PARTS = [[3, 3], [2, 4], [4, 2], [3, 3], [6], [1, 5], [3, 3], [2], [3, 3], [2, 2]]
SGD = {"sgd": {"momentum": 0.9}}

# Name, fields of training, whether there are batch norms, the groups.
CASES = [
    ("adamw", {"optimizer": {"adamw": {"betas": [0.8, 0.99], "epsilon": 1e-6}}, "learning_rate": 0.01, "weight_decay": 0.1}, True, WHOLE),
    ("rmsprop", {"optimizer": {"rmsprop": {}}, "learning_rate": 0.003, "weight_decay": 0.01}, True, WHOLE),
    ("rmsprop with momentum", {"optimizer": {"rmsprop": {"momentum": 0.9, "epsilon": 0.001}}, "learning_rate": 0.001, "weight_decay": 0.01}, True, WHOLE),
    ("rmsprop centered", {"optimizer": {"rmsprop": {"decay": 0.9, "epsilon": 1e-4, "momentum": 0.5, "centered": True}},
                          "learning_rate": 0.001, "weight_decay": 0.01}, True, WHOLE),
    ("layers", {"optimizer": {"sgd": {"momentum": 0.9, "nesterov": True}}, "learning_rate": 0.02, "weight_decay": 0.1,
                "freeze": ["layer1"], "rate_scale": {"fc": 2.0, "layer10": 0.1, "layer10.bn": 0.5},
                "decay_norms_and_biases": False}, True, WHOLE),
    ("adamw in layers", {"optimizer": {"adamw": {}}, "learning_rate": 0.005, "weight_decay": 0.5, "rate_scale": {"fc": 3.0},
                         "decay_norms_and_biases": False}, True, WHOLE),
    ("clipped by norm", {"optimizer": SGD, "learning_rate": 0.05, "weight_decay": 0.01, "clip": {"norm": 0.7}}, True, WHOLE),
    ("clipped by value", {"optimizer": SGD, "learning_rate": 0.05, "weight_decay": 0.01, "clip": {"value": 0.05}}, True, WHOLE),
    ("accumulated", {"optimizer": SGD, "learning_rate": 0.05, "weight_decay": 0.01, "accumulate": 2, "clip": {"norm": 1.0}}, False, PARTS),
]


def parameter_groups(w, training, frozen):
    """One group for each parameter that is trained, with its own rate and decay."""
    scales = training.get("rate_scale", {})
    for name, value in w.items():
        layer = name.rsplit(".", 1)[0]
        if not value.requires_grad or layer.split(".")[0] in frozen:
            continue
        fitting = [part for part in scales if layer == part or layer.startswith(part + ".")]
        scale = scales[max(fitting, key=len)] if fitting else 1.0
        decays = training.get("decay_norms_and_biases", True) or value.dim() > 1
        yield {"params": [value], "lr": training["learning_rate"] * scale, "weight_decay": training["weight_decay"] * decays}


def optimizer(training, groups):
    (name, options), = training["optimizer"].items()
    if name == "sgd":
        return torch.optim.SGD(groups, **options)
    if name == "adamw":
        return torch.optim.AdamW(groups, betas=options.get("betas", (0.9, 0.999)), eps=options.get("epsilon", 1e-8))
    return torch.optim.RMSprop(groups, alpha=options.get("decay", 0.99), eps=options.get("epsilon", 1e-8),
                               momentum=options.get("momentum", 0.0), centered=options.get("centered", False))


def case(name, training, batch_norm, groups):
    frozen = training.get("freeze", [])
    w = tensors(batch_norm)
    trained = list(parameter_groups(w, training, frozen))
    values = [value for group in trained for value in group["params"]]
    rule = optimizer(training, trained)
    x, labels = (images() - MEAN) / STD, torch.arange(IMAGES) % CLASSES
    losses = []
    for group in groups:
        # One batch of all the group's images.
        count = sum(group)
        loss = F.cross_entropy(forward(w, x[:count], frozen), labels[:count])
        rule.zero_grad()
        loss.backward()
        clip = training.get("clip", {})
        if "norm" in clip:
            torch.nn.utils.clip_grad_norm_(values, clip["norm"])
        if "value" in clip:
            torch.nn.utils.clip_grad_value_(values, clip["value"])
        rule.step()
        losses.append(loss.item())
    names = {value: name for name, value in w.items()}
    state = {f"{kind}.{names[value]}": rounded(tensor.flatten().tolist())
             for value in values for kind, tensor in rule.state[value].items() if kind != "step" and tensor is not None}
    preprocess = {"scale": "byte", "mean": [MEAN] * 3, "std": [STD] * 3}
    return {
        "name": name, "experiment": {"name": "fixture", "network": network(batch_norm), "preprocess": preprocess, "training": training},
        "groups": groups, "losses": rounded(losses),
        "final": {name: rounded(value.flatten().tolist()) for name, value in w.items()}, "state": state,
    }


def scales():
    """Updates in a row, whether their gradients are infinite, and the scale afterwards."""
    scale, tracker = torch.full((1,), 65536.0), torch.zeros(1, dtype=torch.int32)
    rows = []
    for updates, infinite in ((1999, False), (1, False), (1500, False), (2, True), (1999, False), (1, True), (4001, False)):
        for _ in range(updates):
            torch._amp_update_scale_(scale, tracker, torch.full((1,), float(infinite)), 2.0, 0.5, 2000)
        rows.append([updates, infinite, scale.item(), tracker.item()])
    return rows


def main():
    fixture = {"cases": [case(*arguments) for arguments in CASES], "scales": scales()}
    OUT.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
