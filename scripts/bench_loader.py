"""The Python part of scripts/bench_loader: makes the photographs, and measures torchvision with Pillow on one core."""

import pathlib
import sys
import time

import torch
from PIL import Image
from torchvision import transforms

WIDTH, HEIGHT, COUNT, TILE = 500, 375, 400, 224


def make(photos, out):
    """Makes mosaics of unscaled photographs, so that the files are as detailed as real photographs of this size."""
    paths = sorted(path for path in pathlib.Path(photos).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    for number in range(COUNT):
        mosaic = Image.new("RGB", (WIDTH, HEIGHT))
        for tile in range(6):
            photo = Image.open(paths[(number * 6 + tile) * 7 % len(paths)]).convert("RGB")
            mosaic.paste(photo, (tile % 3 * TILE, tile // 3 * TILE))
        mosaic.save(pathlib.Path(out) / f"{number:04}.jpg", quality=92)
    sizes = [path.stat().st_size for path in pathlib.Path(out).iterdir()]
    print(f"{COUNT} photographs of {WIDTH}x{HEIGHT}, {sum(sizes) / len(sizes) / 1024:.0f} KB each")


def measure(folder):
    """Prints how many images per second one core decodes and transforms."""
    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    paths = sorted(pathlib.Path(folder).iterdir())
    begun = time.perf_counter()
    for first in range(0, len(paths), 64):
        torch.stack([transform(Image.open(path).convert("RGB")) for path in paths[first:first + 64]])
    print(f"torchvision with Pillow, one core {len(paths) / (time.perf_counter() - begun):4.0f} images/s")


if __name__ == "__main__":
    {"make": make, "measure": measure}[sys.argv[1]](*sys.argv[2:])
