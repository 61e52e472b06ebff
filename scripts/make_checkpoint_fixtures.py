"""Makes tests/fixtures/checkpoints: the weights of one small network, wrapped as many programs wrap them.

    python3 scripts/make_checkpoint_fixtures.py

Needs torch, numpy and safetensors. tests/checkpoints.rs reads the files and says what becomes of each.
"""

import argparse
import collections
import gzip
import json
import pathlib
import pickle
import shutil
import zipfile

import numpy as np
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "checkpoints"

NETWORK = {
    "name": "small",
    "network": {
        "input": [3, 8, 8],
        "classes": 3,
        "layers": [
            {"sequence": {"name": "features", "layers": [{"conv": {"channels": 2, "kernel": 3}}, {"batch_norm": {}}, "relu"]}},
            "global_average_pool",
            {"linear": {"name": "fc", "features": "classes"}},
        ],
    },
    "training": {"learning_rate": 0.1},
}


def weights():
    """Eighths, which every kind of floating-point number holds exactly."""
    shapes = {
        "features.0.weight": [2, 3, 3, 3],
        "features.0.bias": [2],
        "features.1.weight": [2],
        "features.1.bias": [2],
        "features.1.running_mean": [2],
        "features.1.running_var": [2],
        "fc.weight": [3, 2],
        "fc.bias": [3],
    }
    count = iter(range(1, 1000))
    filled = {name: torch.empty(shape).apply_(lambda _: next(count) / 8) for name, shape in shapes.items()}
    return collections.OrderedDict(filled)


class Network(torch.nn.Module):
    """A whole module, whose class would have to be imported to load it."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)


# Of a class without source code, the legacy format keeps no code.
Layer = type("Layer", (torch.nn.Module,), {})


def optimizer_states():
    """The states of an optimiser and a schedule after a step."""
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([parameter], 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 30)
    parameter.sum().backward()
    optimizer.step()
    schedule.step()
    return optimizer.state_dict(), schedule.state_dict()


def renamed(state, rename):
    return {rename(name): tensor for name, tensor in state.items()}


def prefixed(state, prefix):
    return renamed(state, lambda name: prefix + name)


def flat_storage(state):
    """All tensors as views of one."""
    flat, start, views = torch.cat([tensor.flatten() for tensor in state.values()]), 0, {}
    for name, tensor in state.items():
        views[name] = flat[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
    return views


def trainers(state):
    """Checkpoints as trainers write them."""
    optimizer, schedule = optimizer_states()
    arguments = argparse.Namespace(lr=0.1, data_path="x", opt=None)
    average = prefixed({name: tensor + 1 for name, tensor in state.items()}, "module.") | {"n_averaged": torch.tensor(3)}
    wrapped = prefixed(state, "model.")
    trained = {"epoch": 3, "optimizer": optimizer, "lr_scheduler": schedule}
    lightning = {
        "epoch": 1,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": wrapped,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.4)}},
        "optimizer_states": [optimizer],
        "hyper_parameters": {"lr": 0.1, "sizes": (1, 2)},
    }
    metrics = wrapped | {"criterion.weight": torch.ones(3), "val_accuracy.tp": torch.zeros(3, dtype=torch.int64)}
    return {
        "pytorch-examples.pth.tar": trained
        | {"arch": "resnet18", "state_dict": prefixed(state, "module."), "best_acc1": torch.tensor(70.0)},
        "pytorch-examples-alexnet.pth.tar": trained
        | {"state_dict": renamed(state, lambda name: name.replace("features.", "features.module."))},
        "torchvision.pth": trained | {"model": state, "args": arguments},
        "torchvision-ema.pth": trained | {"model": state, "args": arguments, "model_ema": average, "scaler": {}},
        "timm.pth.tar": trained | {"state_dict": state, "args": arguments, "metric": 70.1, "state_dict_ema": average},
        "tutorial.tar": {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer, "loss": 0.4},
        "net.pth": {"net": state, "acc": 93.2, "epoch": 199},
        "weights-key.pth": {"weights": state},
        "params.pth": {"params": state},
        "ema-only.pth": {"ema": state, "updates": 3},
        "model_ema.pth": {"model_ema": state},
        "averaged.pth": prefixed(state, "module.") | {"n_averaged": torch.tensor(3)},
        "lightning.ckpt": lightning,
        "lightning-loss.ckpt": {"state_dict": metrics},
        "lightning-metric.ckpt": {"state_dict": prefixed(state, "net.")},
        "lightning-namespace.ckpt": {"state_dict": wrapped, "hyper_parameters": {"args": arguments}},
        "mmpretrain.pth": {
            "meta": {"CLASSES": ["a"], "epoch": 3},
            "state_dict": renamed(state, lambda name: ("head." if name.startswith("fc") else "backbone.") + name),
        },
        "compiled-ddp.pth": prefixed(state, "module._orig_mod."),
        "distillation.pth": {"teacher": {"fc.weight": torch.ones(2, 2), "fc.bias": torch.ones(2)}, "pupil": state},
        "optimizer-by-name.pth": {"momentum": {name: tensor + 1 for name, tensor in state.items()}, "learned": state},
        "plain-metrics.pth": state | {"train_accuracy.tp": torch.zeros(3), "normalize.mean": torch.zeros(3), "class_loss.weight": torch.ones(3)},
        "fsdp.pth": renamed(state, lambda name: "module." + name.replace("features.0.", "features.0._fsdp_wrapped_module.")),
        "two-networks.pth": prefixed(state, "model.") | prefixed({n: t + 1 for n, t in state.items()}, "model_ema."),
    }


def kinds(state):
    """Other kinds of numbers, storages and neighbours."""
    means = [name for name in state if name.endswith("running_mean")]
    counted = {name.replace("running_mean", "num_batches_tracked"): torch.tensor(9) for name in means}
    # What thop.profile leaves in a network.
    profiled = {f"{module}total_{what}": torch.zeros(1) for module in ["", "features.0.", "fc."] for what in ["ops", "params"]}
    channels_last = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in state.items()
    }
    return {
        "plain.pth": state,
        "half.pth": {name: tensor.half() for name, tensor in state.items()},
        "bfloat16.pth": {name: tensor.bfloat16() for name, tensor in state.items()},
        "double.pth": {name: tensor.double() for name, tensor in state.items()},
        "channels-last.pth": channels_last,
        "one-storage.pth": flat_storage(state),
        "parameters.pth": {name: torch.nn.Parameter(tensor) for name, tensor in state.items()},
        "counted.pth": state | counted,
        "profiled.pth": state | profiled,
        "tuple.pth": (state, 3),
        "numpy-accuracy.pth": {"state_dict": state, "best_acc": np.float64(0.7)},
        "size.pth": {"state_dict": state, "size": torch.Size([3, 2]), "device": torch.device("cpu"), "kind": torch.float32},
        "set.pth": {"state_dict": state, "classes": {1, 2}},
        "defaultdict.pth": {"state_dict": state, "log": collections.defaultdict(list, a=[1])},
        "big-integer.pth": {"state_dict": state, "seed": 2**200},
        "random.pth": {"state_dict": state, "torch": torch.get_rng_state(), "numpy": np.random.get_state()},
        "bytes.pth": {"state_dict": state, "commit": b"abc"},
        "integer-keys.pth": {"state_dict": state, "classes": {0: "cat", 1: "dog"}},
        "class-names.pth": {"model": state, "model_name": "resnet", "class_to_idx": {"cat": 0}},
    }


def refused(folder, state):
    """What is not a state dictionary of this network."""
    missing = {name: tensor for name, tensor in state.items() if name != "fc.bias"}
    spoilt = {name: tensor.clone() for name, tensor in state.items()}
    spoilt["features.0.weight"][1, 2, 0, 0] = float("nan")
    infinite = state | {"fc.bias": torch.tensor([1.0, float("inf"), 2.0])}
    files = {
        "missing.pth": prefixed(missing, "model.") | {"criterion.weight": torch.ones(3)},
        "list.pth": list(state.items()),
        "pupil-and-teacher.pth": prefixed(state, "pupil.") | prefixed(spoilt, "teacher."),
        "empty.pth": {},
        "nan.pth": spoilt,
        "infinity.pth": infinite,
        "too-large.pth": state | {"fc.bias": torch.tensor([1.0, 1e300, 2.0], dtype=torch.float64)},
        "module.pt": Network(),
        "module-in-dictionary.pt": {"epoch": 3, "args": argparse.Namespace(lr=0.1), "model": Network()},
        "arrays.pth": {"state_dict": {name: tensor.numpy() for name, tensor in state.items()}},
        "another-layer.pth": state | {"projection.weight": torch.ones(3, 3)},
    }
    for name, value in files.items():
        torch.save(value, folder / name)
    safetensors.torch.save_file(spoilt, folder / "nan.safetensors")
    torch.jit.script(torch.nn.Linear(2, 2)).save(folder / "script.pt")
    (folder / "numpy.pkl").write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}))
    np.savez(folder / "weights.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"
    (folder / "pointer.safetensors").write_text(pointer)
    (folder / "answer.pth").write_text("Entry not found")
    (folder / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(24))
    (folder / "compressed.pth.gz").write_bytes(gzip.compress(pickle.dumps({}), mtime=0))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("small/model.pth"), (FOLDER / "plain.pth").read_bytes())
    (folder / "page.pth").write_text("<!DOCTYPE html>\n<html><body>Not found</body></html>\n")
    for name in ["plain.pth", "plain.safetensors"]:
        whole = (FOLDER / name).read_bytes()
        (folder / name.replace("plain", "half-of")).write_bytes(whole[: len(whole) // 2])


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    torch.manual_seed(0)
    state = weights()
    (FOLDER / "network.json").write_text(json.dumps(NETWORK, indent=2) + "\n")
    for name, value in (trainers(state) | kinds(state)).items():
        torch.save(value, FOLDER / name)
    # The legacy format keeps the values of all storages in one row, whatever they are, and the code of modules.
    others = {"complex": torch.ones(2, dtype=torch.complex64), "untyped": torch.ones(3).untyped_storage(),
              "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
              "eight_bits": torch.ones(2).to(torch.float8_e4m3fn), "module": Layer(), "axes": torch.ones([1] * 9)}
    torch.save({"state_dict": state, "others": others}, FOLDER / "legacy-others.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": state, "others": others}, FOLDER / "others.pth")
    torch.save(state, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, FOLDER / "legacy-protocol4.pth", _use_new_zipfile_serialization=False, pickle_protocol=4)
    torch.save(state, FOLDER / "protocol4.pth", pickle_protocol=4)
    torch.save(state, FOLDER / "protocol5.pth", pickle_protocol=5)
    safetensors.torch.save_file(state, FOLDER / "plain.safetensors")
    halves = {name: tensor.bfloat16() for name, tensor in state.items()}
    safetensors.torch.save_file(halves, FOLDER / "bfloat16.safetensors")
    (FOLDER / "refused").mkdir()
    refused(FOLDER / "refused", state)


if __name__ == "__main__":
    main()
