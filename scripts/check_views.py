"""Compares topfive's class probabilities under GoogLeNet's protocols with an independent computation (Pillow, PyTorch).

    python3 scripts/check_views.py TOPFIVE WEIGHTS.safetensors FOLDER [PHOTOGRAPHS]

TOPFIVE is the program, WEIGHTS are those of Caffe's GoogLeNet, FOLDER contains photographs at any depth, and PHOTOGRAPHS
(default: 200) of them, evenly spread, are compared. Every tenth is also cropped to a landscape and to a portrait, so that
the squares of googlenet-144 differ. Prints the largest difference of any probability under each protocol, and fails if it
exceeds 1e-3.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms
from torchvision.transforms import functional

from check_googlenet_bvlc import forward

ROOT = pathlib.Path(__file__).parent.parent
MOST = 1e-3


def center(image):
    return [transforms.CenterCrop(224)(transforms.Resize(256)(image))]


def ten_crop(image):
    five = functional.five_crop(transforms.Resize(256)(image), 224)
    return [*five, *map(functional.hflip, five)]


def googlenet_144(image):
    """Szegedy et al., arXiv:1409.4842, section 7."""
    crops = []
    for side in (256, 288, 320, 352):
        scaled = transforms.Resize(side)(image)
        width, height = scaled.size
        middle = round((width - side) / 2), round((height - side) / 2)
        for left, top in [(0, 0), middle, (width - side, height - side)]:
            square = scaled.crop((left, top, left + side, top + side))
            crops += [*functional.five_crop(square, 224), square.resize((224, 224), Image.BILINEAR)]
    return [*crops, *map(functional.hflip, crops)]


PROTOCOLS = {"center": center, "ten-crop": ten_crop, "googlenet-144": googlenet_144}


def probabilities(w, crops):
    """The mean softmax over the crops; identical crops go through the network once."""
    distinct, places = {}, []
    for crop in crops:
        places.append(distinct.setdefault(crop.tobytes(), (len(distinct), crop))[0])
    rows = []
    for _, crop in distinct.values():
        bgr = numpy.asarray(crop)[:, :, ::-1].astype(numpy.float32) - numpy.array([104, 117, 123], numpy.float32)
        rows.append(torch.from_numpy(bgr.transpose(2, 0, 1).copy()))
    with torch.no_grad():
        found = torch.cat([forward(w, torch.stack(rows[first:first + 48])).double().softmax(1) for first in range(0, len(rows), 48)])
    return found[places].mean(0)


def photographs(folder, count, extra):
    paths = sorted(path for path in pathlib.Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    paths = [paths[number * len(paths) // count] for number in range(count)]
    for number, path in enumerate(paths[::10]):
        image = Image.open(path).convert("RGB")
        for name, box in [("landscape", (0, 40, 224, 190)), ("portrait", (37, 0, 150, 224))]:
            image.crop(box).save(extra / f"{number:03}-{name}.png")
    return paths + sorted(extra.iterdir())


def main(program, weights, folder, count="200"):
    w = load_file(weights)
    order = [line.split()[0] for line in open(ROOT / "src/imagenet.txt", encoding="utf-8")]
    worst = 0.0
    with tempfile.TemporaryDirectory() as extra:
        paths = photographs(folder, int(count), pathlib.Path(extra))
        for name, crops in PROTOCOLS.items():
            command = [program, "predict", ROOT / "configs/googlenet-bvlc.json", *paths, "--weights", weights,
                       "--views", name, "--top", "1000", "--format", "jsonl", "--quiet"]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            assert len(lines) == len(paths)
            most = 0.0
            for path, line in zip(paths, lines):
                found = {guess["class"]: guess["probability"] for guess in json.loads(line)["predictions"]}
                found = torch.tensor([found[synset] for synset in order], dtype=torch.float64)
                most = max(most, (found - probabilities(w, crops(Image.open(path).convert("RGB")))).abs().max().item())
            print(f"{name}: probabilities of {len(paths)} images differ by at most {most:.1e}", flush=True)
            worst = max(worst, most)
    sys.exit(f"the largest difference {worst:.1e} exceeds {MOST}" if worst > MOST else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
