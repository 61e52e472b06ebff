"""Evaluates Caffe's GoogLeNet weights independently of topfive, with Pillow and plain PyTorch calls.

    python3 scripts/check_googlenet_bvlc.py WEIGHTS.safetensors FOLDER SYNSETS

FOLDER contains one folder of images per synset id; SYNSETS lists all thousand ids, one per line (src/imagenet.txt).
Prints the top-1 and top-5 error of the center view, which must be what topfive eval configs/googlenet-bvlc.json prints.
"""

import pathlib
import sys

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

MODULES = {"3": "ab", "4": "abcde", "5": "ab"}


def forward(w, x):
    return F.linear(features(w, x).mean((2, 3)), w["fc.weight"], w["fc.bias"])


def features(w, x):
    """The last map, (images, 1024, 7, 7) for images of 224 pixels."""
    def conv(x, name, **options):
        return F.relu(F.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], **options))

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def norm(x):
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1)

    def inception(x, name):
        return torch.cat([
            conv(x, f"{name}.branch1"),
            conv(conv(x, f"{name}.branch2.0"), f"{name}.branch2.1", padding=1),
            conv(conv(x, f"{name}.branch3.0"), f"{name}.branch3.1", padding=2),
            conv(F.max_pool2d(x, 3, 1, padding=1, ceil_mode=True), f"{name}.branch4.1"),
        ], dim=1)

    x = norm(pool(conv(x, "conv1", stride=2, padding=3)))
    x = pool(norm(conv(conv(x, "conv2"), "conv3", padding=1)))
    for stage, letters in MODULES.items():
        for letter in letters:
            x = inception(x, f"inception{stage}{letter}")
        x = pool(x) if stage != "5" else x
    return x


def prepare(path):
    image = transforms.CenterCrop(224)(transforms.Resize(256)(Image.open(path).convert("RGB")))
    bgr = numpy.asarray(image)[:, :, ::-1].astype(numpy.float32) - numpy.array([104, 117, 123], numpy.float32)
    return torch.from_numpy(bgr.transpose(2, 0, 1).copy())


def main(weights, folder, synsets):
    w = load_file(weights)
    order = [line.split()[0] for line in open(synsets, encoding="utf-8")]
    items = [(path, order.index(path.parent.name)) for path in sorted(pathlib.Path(folder).glob("*/*"))]
    wrong1 = wrong5 = 0
    for first in range(0, len(items), 50):
        paths, labels = zip(*items[first:first + 50])
        with torch.no_grad():
            top = forward(w, torch.stack([prepare(path) for path in paths])).topk(5).indices
        hits = top == torch.tensor(labels)[:, None]
        wrong1 += int((~hits[:, 0]).sum())
        wrong5 += int((~hits.any(1)).sum())
    print(f"{len(items)} images: top-1 error {100 * wrong1 / len(items):.2f} %, top-5 error {100 * wrong5 / len(items):.2f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
