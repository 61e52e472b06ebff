"""Makes tests/fixtures/training.json: ten steps of PyTorch's SGD on a small network, written down here in plain torch calls.

It has what parity of finished networks cannot show: batch norm in training, local response normalisation, a zero-padded
shortcut, an inception module, an auxiliary head, label smoothing, weight decay and Nesterov's momentum at rates that change.
It holds the losses and, after the last step, every value of every parameter, running statistic and momentum buffer, computed
in double precision.

Run with torch 2.11: python3 scripts/make_training_fixture.py
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from make_parity_fixtures import filled, noise, rounded

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/training.json"
CLASSES, IMAGES, SIDE = 5, 6, 20
# One for each step: a momentum buffer that has the rate in it, as Caffe's, goes another way when the rate falls.
RATES = [0.05] * 5 + [0.02] * 5
MOMENTUM, WEIGHT_DECAY, SMOOTHING, AUXILIARY = 0.9, 0.01, 0.1, 0.3

NETWORK = {
    "input": [3, SIDE, SIDE],
    "classes": CLASSES,
    "layers": [
        {"basic_conv": {"name": "stem", "channels": 8, "kernel": 3, "stride": 2, "padding": 1, "batch_norm": True}},
        {"local_response_norm": {"size": 5, "alpha": 0.5, "beta": 0.75, "k": 2.0}},
        {"max_pool": {"kernel": 3, "stride": 2, "ceil": True}},
        {"residual_stage": {"name": "layer1", "blocks": 1, "channels": 12, "stride": 2, "shortcuts": "a"}},
        {"auxiliary": {"name": "aux", "weight": AUXILIARY,
                       "layers": ["global_average_pool", {"linear": {"name": "fc", "features": "classes"}}]}},
        {"inception": {"name": "inception", "channels": [4, 4, 6, 2, 3, 3]}},
        {"average_pool": {"kernel": 2, "stride": 1}},
        "flatten",
        {"linear": {"name": "fc", "features": "classes"}},
    ],
}

SHAPES = {
    "stem.conv.weight": (8, 3, 3, 3), "stem.bn": 8,
    "layer1.0.conv1.weight": (12, 8, 3, 3), "layer1.0.bn1": 12, "layer1.0.conv2.weight": (12, 12, 3, 3), "layer1.0.bn2": 12,
    "aux.fc": (CLASSES, 12),
    "inception.branch1.conv": (4, 12, 1, 1),
    "inception.branch2.0.conv": (4, 12, 1, 1), "inception.branch2.1.conv": (6, 4, 3, 3),
    "inception.branch3.0.conv": (2, 12, 1, 1), "inception.branch3.1.conv": (3, 2, 5, 5),
    "inception.branch4.1.conv": (3, 12, 1, 1),
    "fc": (CLASSES, 64),
}


def tensors():
    """Every parameter and running statistic by its name."""
    made = {}
    for name, shape in SHAPES.items():
        if name.endswith(".weight"):
            made[name] = filled(name, shape)
        elif isinstance(shape, int):
            for part in ("weight", "bias", "running_mean", "running_var"):
                made[f"{name}.{part}"] = filled(f"{name}.{part}", (shape,))
        else:
            made[f"{name}.weight"] = filled(f"{name}.weight", shape)
            made[f"{name}.bias"] = filled(f"{name}.bias", shape[:1])
    return {name: value.double().requires_grad_("running" not in name) for name, value in made.items()}


def forward(w, x):
    def norm(x, name):
        parts = [w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, training=True, momentum=0.1, eps=1e-5)

    def conv(x, name, **options):
        return F.relu(F.conv2d(x, w[f"inception.{name}.conv.weight"], w[f"inception.{name}.conv.bias"], **options))

    x = F.relu(norm(F.conv2d(x, w["stem.conv.weight"], stride=2, padding=1), "stem.bn"))
    x = F.max_pool2d(F.local_response_norm(x, 5, alpha=0.5, beta=0.75, k=2.0), 3, 2, ceil_mode=True)
    body = F.relu(norm(F.conv2d(x, w["layer1.0.conv1.weight"], stride=2, padding=1), "layer1.0.bn1"))
    body = norm(F.conv2d(body, w["layer1.0.conv2.weight"], padding=1), "layer1.0.bn2")
    x = F.relu(body + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 4)))
    head = F.linear(x.mean((2, 3)), w["aux.fc.weight"], w["aux.fc.bias"])
    x = torch.cat([
        conv(x, "branch1"),
        conv(conv(x, "branch2.0"), "branch2.1", padding=1),
        conv(conv(x, "branch3.0"), "branch3.1", padding=2),
        conv(F.max_pool2d(x, 3, 1, padding=1), "branch4.1"),
    ], dim=1)
    x = F.avg_pool2d(x, 2, 1).flatten(1)
    return F.linear(x, w["fc.weight"], w["fc.bias"]), head


def main():
    w = tensors()
    trainable = {name: value for name, value in w.items() if value.requires_grad}
    sgd = torch.optim.SGD(trainable.values(), RATES[0], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    # Values of 32-bit floats.
    images = torch.from_numpy(noise("input", IMAGES * 3 * SIDE * SIDE)).float().double().reshape(IMAGES, 3, SIDE, SIDE)
    labels = torch.arange(IMAGES) % CLASSES
    losses = []
    for rate in RATES:
        sgd.param_groups[0]["lr"] = rate
        logits, head = forward(w, images)
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        loss = loss + AUXILIARY * F.cross_entropy(head, labels, label_smoothing=SMOOTHING)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    final = {name: rounded(value.flatten().tolist()) for name, value in w.items()}
    momentum = {name: rounded(sgd.state[value]["momentum_buffer"].flatten().tolist()) for name, value in trainable.items()}
    training = {"learning_rate": RATES[0], "momentum": MOMENTUM, "nesterov": True, "weight_decay": WEIGHT_DECAY,
                "label_smoothing": SMOOTHING}
    experiment = {"name": "fixture", "network": NETWORK, "training": training}
    fixture = {"experiment": experiment, "images": IMAGES, "rates": RATES, "losses": rounded(losses), "final": final,
               "momentum": momentum}
    OUT.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
