"""Makes tests/fixtures/random_crops.json: how torchvision's RandomResizedCrop.get_params spreads its crops.

For images of several sizes and some values of a crop's x, y, area and ratio of width to height, the share of 100,000 crops
that has this value or a smaller one. Of the wide image most tries do not fit, and torchvision takes the middle instead.

Run with torchvision 0.26: python3 scripts/make_random_crop_fixture.py
"""

import json
import pathlib

import numpy
import torch
from torchvision import transforms

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/random_crops.json"
CROPS = 100_000
SIZES = [(500, 375), (333, 500), (2000, 200)]
AREA, ASPECT = [0.08, 1.0], [3 / 4, 4 / 3]


def shares(values):
    """Some of the values, spread from the least to the greatest, each with the share of all that are not above it."""
    points = numpy.unique(numpy.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], method="nearest"))
    return [[float(point), float((values <= point).mean())] for point in points]


def main():
    torch.manual_seed(0)
    cases = []
    for width, height in SIZES:
        image = torch.empty(1, height, width)
        crops = [transforms.RandomResizedCrop.get_params(image, AREA, ASPECT) for _ in range(CROPS)]
        y, x, h, w = numpy.array(crops).T
        cases.append({"size": [width, height], "area": AREA, "aspect": ASPECT, "shares": {
            "x": shares(x), "y": shares(y), "area": shares(w * h), "ratio": shares(w / h)}})
    OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
