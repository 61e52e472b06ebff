"""The Python part of scripts/bench_loader: makes the mosaics, measures other libraries on one core, prints the table.

A figure is a line: what is measured, by what, images per second, separated by tabs.
"""

import collections
import pathlib
import platform
import statistics
import sys
import time

import torch
from PIL import Image
from torchvision import io, transforms
from torchvision.transforms import v2

WIDTH, HEIGHT, COUNT, TILE = 500, 375, 400, 224
# Each measurement goes through at least so many images.
LEAST = 400
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photographs(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def make(photos, out):
    """Makes mosaics of unscaled photographs, so that the files are as detailed as real photographs of this size."""
    paths = photographs(photos)
    for number in range(COUNT):
        mosaic = Image.new("RGB", (WIDTH, HEIGHT))
        for tile in range(6):
            photo = Image.open(paths[(number * 6 + tile) * 7 % len(paths)]).convert("RGB")
            mosaic.paste(photo, (tile % 3 * TILE, tile // 3 * TILE))
        mosaic.save(pathlib.Path(out) / f"{number:04}.jpg", quality=92)


def with_pillow():
    return transforms.Compose([
        lambda path: Image.open(path).convert("RGB"),
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])


def with_libjpeg_turbo():
    return v2.Compose([
        lambda path: io.decode_jpeg(io.read_file(str(path)), mode=io.ImageReadMode.RGB),
        v2.RandomResizedCrop(224, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ])


def measure(folder):
    """Measures each way of decoding and of preparing training images."""
    torch.set_num_threads(1)
    paths = photographs(folder)
    paths *= -(-LEAST // len(paths))

    def batches(prepare):
        for first in range(0, len(paths), 64):
            torch.stack([prepare(path) for path in paths[first:first + 64]])

    def each(decode):
        for path in paths:
            decode(path)

    ways = [
        ("decode", "libjpeg-turbo (torchvision)", lambda: each(
            lambda path: io.decode_jpeg(io.read_file(str(path)), mode=io.ImageReadMode.RGB))),
        ("decode", "Pillow", lambda: each(lambda path: Image.open(path).convert("RGB").load())),
        ("prepare", "torchvision, libjpeg-turbo", lambda: batches(with_libjpeg_turbo())),
        ("prepare", "torchvision, Pillow", lambda: batches(with_pillow())),
    ]
    for what, by, way in ways:
        begun = time.perf_counter()
        way()
        print(what, by, len(paths) / (time.perf_counter() - begun), sep="\t")


def table(folder, figures):
    """Prints the medians, and how topfive compares."""
    rates = collections.defaultdict(list)
    for line in pathlib.Path(figures).read_text().splitlines():
        what, by, rate = line.split("\t")
        rates[what, by].append(float(rate))
    medians = {key: statistics.median(values) for key, values in rates.items()}
    sizes = [path.stat().st_size for path in photographs(folder)]
    print(f"{len(sizes)} photographs of {sum(sizes) / len(sizes) / 1024:.0f} KB, {processor()}, {time.strftime('%Y-%m-%d')};")
    print("images per second on one core: medians of five rounds in turns, from the least to the most, topfive's multiple of it")
    for (what, by), rate in medians.items():
        spread = f"{min(rates[what, by]):.0f} to {max(rates[what, by]):.0f}"
        multiple = "" if by.startswith("topfive") else f"{medians[what, 'topfive'] / rate:.2f}"
        print(f"{what:8} {by:28} {rate:6.0f}  {spread:14} {multiple}".rstrip())


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    {"make": make, "measure": measure, "table": table}[sys.argv[1]](*sys.argv[2:])
