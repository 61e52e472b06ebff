"""Makes tests/fixtures/average.json: the averages that torch.optim.swa_utils.AveragedModel keeps of a small network.

In each of twelve steps all weights and running statistics take values that a formula gives, which stands in
tests/common/formula.rs too. The exponential average is updated after every step and begins with the initial weights; in step n,
counted from 0, its decay is min(0.9, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage. The mean takes the
steps from three quarters on.

Run with torch 2.11: python3 scripts/make_average_fixture.py
"""

import json
import pathlib

import torch
from make_parity_fixtures import filled, rounded
from torch.optim.swa_utils import AveragedModel

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/average.json"
STEPS, DECAY, FROM = 12, 0.9, 0.75

NETWORK = {
    "input": [3, 8, 8],
    "classes": 3,
    "layers": [
        {"basic_conv": {"name": "stem", "channels": 4, "kernel": 3, "batch_norm": True}},
        "global_average_pool",
        {"linear": {"name": "fc", "features": "classes"}},
    ],
}


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.ModuleDict({"conv": torch.nn.Conv2d(3, 4, 3, bias=False), "bn": torch.nn.BatchNorm2d(4)})
        self.fc = torch.nn.Linear(4, 3)

    def fill(self, prefix=""):
        for name, tensor in self.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(filled(prefix + name, tuple(tensor.shape)))


def ema(averaged, current, averages):
    # The copy of the initial weights counts as one average.
    n = int(averages) - 1
    decay = min(DECAY, (1 + n) / (10 + n))
    return decay * averaged + (1 - decay) * current


def main():
    network = Network().double()
    network.fill()
    moving = AveragedModel(network, avg_fn=ema, use_buffers=True)
    moving.update_parameters(network)
    mean = AveragedModel(network, use_buffers=True)
    for step in range(STEPS):
        network.fill(f"{step} ")
        moving.update_parameters(network)
        if step >= FROM * STEPS:
            mean.update_parameters(network)
    values = lambda model: {name: rounded(tensor.flatten().tolist()) for name, tensor in model.module.state_dict().items()
                            if not name.endswith("num_batches_tracked")}
    fixture = {"experiment": {"name": "fixture", "network": NETWORK}, "steps": STEPS,
               "averages": [{"average": {"ema": {"decay": DECAY}}, "expected": values(moving)},
                            {"average": {"polyak": {"from": FROM}}, "expected": values(mean)}]}
    OUT.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
