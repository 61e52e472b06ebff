"""Makes tests/fixtures/ddp.json: twenty steps of PyTorch's DistributedDataParallel in two processes, with Gloo.

Each step learns from all images, half of them in each process, so that their order does not matter. With batch norms, which
normalise over each process's own images, each process has a single one, so that it does not matter which has which, either.
Weights begin as the formula of make_parity_fixtures.py has them. The fixture holds the experiments and every value of the
trained parameters, computed in double precision. (PyTorch's SyncBatchNorm needs a GPU.)

Run with torch 2.11: python3 scripts/make_ddp_fixture.py
"""

import json
import pathlib
from collections import OrderedDict

import torch
import torch.distributed as dist
import torch.nn.functional as F
from make_parity_fixtures import filled, noise, rounded
from torch import nn
from torch.nn.parallel import DistributedDataParallel

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/ddp.json"
SIDE, STEPS, PROCESSES = 16, 20, 2
MEAN, STD = 128, 64
TRAINING = {
    "epochs": STEPS, "optimizer": {"sgd": {"momentum": 0.9}}, "learning_rate": 0.05, "weight_decay": 0.01,
    "schedule": "constant", "crop": {"padded": {"pixels": 0}}, "mirror": False,
}
# Name, images, classes, whether there are batch norms.
CASES = [("plain", 16, 4, False), ("batch norm", 2, 2, True)]


def layers(batch_norm):
    """The network in the format of experiments."""
    found = []
    for number, channels in ((1, 8), (2, 12)):
        found.append({"conv": {"name": f"conv{number}", "channels": channels, "kernel": 3, "stride": 2, "padding": 1}})
        found += [{"batch_norm": {"name": f"bn{number}"}}] * batch_norm + ["relu"]
    return found + ["global_average_pool", {"linear": {"name": "fc", "features": "classes"}}]


def network(batch_norm, classes):
    """The same network in PyTorch, with its initial weights."""
    parts, before = OrderedDict(), 3
    for number, channels in ((1, 8), (2, 12)):
        parts[f"conv{number}"] = nn.Conv2d(before, channels, 3, stride=2, padding=1)
        if batch_norm:
            parts[f"bn{number}"] = nn.BatchNorm2d(channels)
        parts[f"relu{number}"] = nn.ReLU()
        before = channels
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(before, classes)}
    model = nn.Sequential(parts).double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(filled(name, tuple(value.shape)))
    return model


def images(count):
    values = noise("images", count * 3 * SIDE * SIDE).reshape(count, 3, SIDE, SIDE)
    return (torch.from_numpy(((values + 1) * 127.5).round()) - MEAN) / STD


def train(rank, results):
    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:29543", rank=rank, world_size=PROCESSES)
    for name, count, classes, batch_norm in CASES:
        model = DistributedDataParallel(network(batch_norm, classes))
        sgd = torch.optim.SGD(model.parameters(), TRAINING["learning_rate"], momentum=0.9, weight_decay=TRAINING["weight_decay"])
        own = slice(rank * count // PROCESSES, (rank + 1) * count // PROCESSES)
        x, labels = images(count)[own], (torch.arange(count) % classes)[own]
        for _ in range(STEPS):
            loss = F.cross_entropy(model(x), labels)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        if rank == 0:
            results[name] = {key: rounded(value.flatten().tolist()) for key, value in model.module.named_parameters()}
    dist.destroy_process_group()


def main():
    with torch.multiprocessing.Manager() as manager:
        results = manager.dict()
        torch.multiprocessing.spawn(train, (results,), nprocs=PROCESSES)
        cases = []
        for name, count, classes, batch_norm in CASES:
            experiment = {
                "name": "fixture", "network": {"input": [3, SIDE, SIDE], "classes": classes, "layers": layers(batch_norm)},
                "preprocess": {"scale": "byte", "mean": [MEAN] * 3, "std": [STD] * 3},
                "training": TRAINING | {"batch_size": count // PROCESSES},
            }
            cases.append({"name": name, "images": count, "experiment": experiment, "final": results[name]})
    OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
