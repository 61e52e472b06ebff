"""Makes tests/fixtures/pth, the files that tests/pth.rs reads.

    python3 scripts/make_pth_fixtures.py

Needs torch and safetensors. torch.save gives each file a new serial number, so files made again contain the same tensors
but differ in some bytes.
"""

import io
import os
import pathlib
import pickletools
import struct
import zipfile
from collections import OrderedDict

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
    torch.save({"x": torch.zeros(1), "epoch": 3}, FOLDER / "not_only_tensors.zip.pth")
    hostile = {"x": torch.zeros(1), "y": Hostile()}
    torch.save(hostile, FOLDER / "hostile.zip.pth")
    torch.save(hostile, FOLDER / "hostile.legacy.pth", _use_new_zipfile_serialization=False)
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
