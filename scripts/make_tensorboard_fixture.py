"""Makes tests/fixtures/tensorboard: an event file that PyTorch's SummaryWriter wrote, and as JSON what it was told.

Its records are: the file's beginning; the version and the restart of a writer that purges; two scalars, a histogram and an
image. The histogram's values are multiples of 1/1024 from -1 to 1, so that all its sums and limits are exact numbers, and
equal to the bit whoever computes them.

Run with torch 2.11 and tensorboard 2.21: python3 scripts/make_tensorboard_fixture.py
"""

import json
import pathlib
import shutil
import struct
from unittest import mock

import torch
from torch.utils.tensorboard import SummaryWriter

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/tensorboard"
TIME, PURGE_STEP, STEP, BINS = 1764000000.25, 7, 300, 64


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    values = torch.randint(-1024, 1025, (500,), generator=torch.Generator().manual_seed(0)) / 1024
    values[0], values[1], values[2] = -1, 1, 0
    image = torch.arange(3 * 2 * 4, dtype=torch.uint8).reshape(3, 2, 4) * 10
    scalars = {"training/loss": 1 / 3, "validation/top5_error": 0.0}
    with mock.patch("time.time", return_value=TIME):
        writer = SummaryWriter(OUT, purge_step=PURGE_STEP)
        for tag, value in scalars.items():
            writer.add_scalar(tag, value, STEP)
        writer.add_histogram("weights/conv1.weight", values, STEP, bins=BINS)
        writer.add_image("validation/confusion", image, STEP)
        writer.close()
    (written,) = OUT.iterdir()
    file = written.rename(OUT / "events")
    png = file.read_bytes()
    png = png[png.index(b"\x89PNG"):]
    png = png[:png.index(b"IEND") + 8]
    told = {"time": TIME, "purge_step": PURGE_STEP, "step": STEP, "scalars": list(scalars.items()),
            "histogram": ["weights/conv1.weight", values.tolist()],
            "image": ["validation/confusion", *struct.unpack(">II", png[16:24]), list(png)]}
    (OUT / "told.json").write_text(json.dumps(told, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
