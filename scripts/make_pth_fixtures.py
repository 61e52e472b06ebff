"""Makes tests/fixtures/pth, the files that tests/pth.rs reads.

    python3 scripts/make_pth_fixtures.py

Needs torch, numpy and safetensors. torch.save gives each file a new serial number, so files made again contain the same tensors
but differ in some bytes.
"""

import argparse
import io
import os
import pathlib
import pickle
import pickletools
import struct
import tempfile
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "pth"


def state_dictionary():
    """One tensor of each kind that a checkpoint may contain; _metadata is what a module's state_dict() sets."""
    shared = torch.arange(24, dtype=torch.float32)
    state = OrderedDict()
    state["module.transposed"] = torch.arange(12, dtype=torch.float32).reshape(3, 4).t()
    state["module.channels_last"] = torch.rand(2, 3, 2, 2).to(memory_format=torch.channels_last)
    state["module.all"] = shared.reshape(2, 3, 4)
    state["module.part"] = shared[4:16].reshape(3, 4)[:, 1:3]
    state["module.half"] = torch.tensor([0.5, -65504.0], dtype=torch.float16)
    state["module.bfloat"] = torch.tensor([[1.5], [-3e38]], dtype=torch.bfloat16)
    state["module.double"] = torch.tensor([1e-300], dtype=torch.float64)
    state["module.num_batches_tracked"] = torch.tensor(1 << 40)
    state["module.bytes"] = torch.tensor([0, 128, 255], dtype=torch.uint8)
    state["module.flags"] = torch.tensor([True, False])
    state["module.parameter"] = torch.nn.Parameter(torch.tensor([0.25, -1.0]))
    state["module.none"] = torch.empty(0, 3)
    state._metadata = OrderedDict({"": {"version": 1}})
    return state


def python_2_file(head):
    """{"x": Parameter([1.5, -2.5])} as saved by Python 2 and PyTorch before 0.4: byte strings, an OrderedDict made of lists,
    and a Parameter made by its class. `head` contains the three pickles with which every legacy file starts."""
    storage = b"(U\x07storagectorch.cuda\nFloatStorage\nU\x01aU\x06cuda:0K\x02NtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x00K\x02\x85K\x01\x85tR"
    flags = b"(\x88\x89ccollections\nOrderedDict\n)Rtb"
    pair = b"](U\x01xctorch.nn.parameter\nParameter\n" + tensor + b"\x85R" + flags + b"e"
    state = b"\x80\x02ccollections\nOrderedDict\n](" + pair + b"e\x85R."
    return head + state + b"\x80\x02]U\x01aa." + struct.pack("<qff", 2, 1.5, -2.5)


class Hostile:
    """If Python loaded its pickle, this would create a file."""

    def __reduce__(self):
        return os.system, ("touch hostile-was-run",)


class Network(torch.nn.Module):
    """A whole module, whose class would have to be imported to load it."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)


def save_as_trainers_do(folder):
    """The same two tensors, as trainers and people save them."""
    folder.mkdir(exist_ok=True)
    state = OrderedDict({"fc.weight": torch.tensor([[1.0, 2.0]]), "fc.bias": torch.tensor([3.0])})
    module = OrderedDict({f"module.{name}": tensor for name, tensor in state.items()})
    average = {name: tensor + 1 for name, tensor in module.items()} | {"module.n_averaged": torch.tensor(3)}
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9)
    weight.sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 30)
    trained = {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(), "epoch": 3}
    arguments = argparse.Namespace(lr=0.1, data_path="x")
    hyper = {"args": arguments, "size": torch.Size([3, 2]), "device": torch.device("cpu"), "dtype": torch.float32}
    files = {
        "pytorch-examples": {"epoch": 3, "arch": "x", "state_dict": state, "best_acc1": torch.tensor(70.0)} | trained,
        "torchvision": {"model": state, "model_ema": average, "args": arguments, "scaler": {}} | trained,
        "timm": {"epoch": 3, "state_dict": state, "args": arguments, "metric": 70.1, "state_dict_ema": average} | trained,
        "tutorial": {"epoch": 3, "model_state_dict": state, "loss": 0.4},
        "lightning": {
            "state_dict": state,
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.4)}},
            "optimizer_states": [optimizer.state_dict()],
            "hyper_parameters": hyper,
        },
        "net": {"net": state, "acc": np.float64(93.2), "array": np.arange(3)},
        "odd-values": {
            "weights": state,
            "set": {1, 2},
            "frozen": frozenset({1}),
            "log": defaultdict(list, a=[1]),
            "seed": 2**200,
            "commit": b"abc",
            "random": torch.get_rng_state(),
            "numpy": np.random.get_state(),
            "classes": {0: "cat", 1: "dog"},
        },
        "another-word": {"something": {"inner": state}},
        "tuple": (state, 3),
        "with-attributes": OrderedDict({"fc.weight": attributed(state["fc.weight"]), "fc.bias": state["fc.bias"]}),
    }
    for name, value in files.items():
        torch.save(value, folder / f"{name}.pth")
    torch.save(files["torchvision"], folder / "torchvision.legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, folder / "protocol4.legacy.pth", _use_new_zipfile_serialization=False, pickle_protocol=4)
    torch.save(files["odd-values"], folder / "protocol5.pth", pickle_protocol=5)
    refused = folder / "refused"
    refused.mkdir(exist_ok=True)
    torch.save(Network(), refused / "module.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(refused / "script.pt")
    torch.save(list(state), refused / "names.pth")
    torch.save({}, refused / "empty.pth")
    np.savez(refused / "weights.npz", x=np.zeros(2))
    (refused / "numpy.pkl").write_bytes(pickle.dumps({"x": np.zeros(2)}))
    # Names of 1 to 60 letters shift everything in the archive.
    with open(folder / "names.bin", "wb") as packed, tempfile.TemporaryDirectory() as place:
        for letters in range(1, 61):
            path = pathlib.Path(place) / ("n" * letters + ".pth")
            torch.save({"x": torch.tensor([float(letters)])}, path)
            packed.write(struct.pack("<I", path.stat().st_size) + path.read_bytes())


def attributed(tensor):
    """A tensor with an attribute of its own, which torch.save wraps in a further call."""
    copy = torch.nn.Parameter(tensor.clone())
    copy.note = "own"
    return copy


def rewrite(source, target, method=zipfile.ZIP_STORED, **replaced):
    """Copies a zip file with another compression method, or with other contents for the entries named in `replaced`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            contents = replaced.get(pathlib.PurePath(entry.filename).name, old.read(entry))
            new.writestr(zipfile.ZipInfo(entry.filename), contents, method)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = state_dictionary()
    checkpoint = {"epoch": 3, "lr": 0.1, "best": None, "names": ["a", ("b", True)], "state_dict": state}

    rows = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    safetensors.torch.save_file(rows, FOLDER / "expected.safetensors")
    for name, value in {"state": state, "checkpoint": checkpoint}.items():
        torch.save(value, FOLDER / f"{name}.zip.pth")
        torch.save(value, FOLDER / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
    legacy = io.BytesIO((FOLDER / "state.legacy.pth").read_bytes())
    for _ in range(3):
        list(pickletools.genops(legacy))
    (FOLDER / "python2.legacy.pth").write_bytes(python_2_file(legacy.getvalue()[: legacy.tell()]))
    torch.save({"model": state}, FOLDER / "protocol4.zip.pth", pickle_protocol=4)
    torch.serialization.set_crc32_options(False)
    torch.save(state, FOLDER / "without_crc.zip.pth")
    torch.serialization.set_crc32_options(True)

    torch.save({"x": torch.zeros(1).expand(1 << 40)}, FOLDER / "expanded.zip.pth")
    hostile = {"x": torch.zeros(1), "y": Hostile()}
    torch.save(hostile, FOLDER / "hostile.zip.pth")
    torch.save(hostile, FOLDER / "hostile.legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(Hostile(), FOLDER / "hostile_root.zip.pth")
    save_as_trainers_do(FOLDER / "trainers")
    rewrite(FOLDER / "state.zip.pth", FOLDER / "deflated.zip.pth", zipfile.ZIP_DEFLATED)
    rewrite(FOLDER / "state.zip.pth", FOLDER / "big_endian.zip.pth", byteorder=b"big")

    twice = FOLDER / "same_name_twice.zip.pth"
    torch.save({"x": torch.zeros(1), "y": torch.zeros(1)}, twice)
    with zipfile.ZipFile(twice) as file:
        names = file.read(f"{twice.stem}/data.pkl").replace(b"X\x01\x00\x00\x00y", b"X\x01\x00\x00\x00x")
    rewrite(twice, twice.with_suffix(".new"), **{"data.pkl": names})
    twice.with_suffix(".new").replace(twice)


if __name__ == "__main__":
    main()
