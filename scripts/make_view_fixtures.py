"""Makes tests/fixtures/views: images, and the crops that torchvision's own transforms cut out of them.

Run with torchvision 0.26 and Pillow 13: python3 scripts/make_view_fixtures.py
"""

import json
import pathlib

import numpy
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/views"
CROP, SHORTER_SIDE = 28, 32


def noise(width, height, seed):
    """Blurred noise, so that a shift of one pixel is seen everywhere."""
    coarse = numpy.random.default_rng(seed).integers(0, 256, (height // 3 + 2, width // 3 + 2, 3), dtype=numpy.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.BICUBIC)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, width, height in [("landscape", 75, 50), ("portrait", 41, 63), ("square", 40, 40), ("tiny", 17, 12), ("wide", 230, 23)]:
        image = noise(width, height, len(cases))
        image.save(OUT / f"{name}.png")
        resized = transforms.Resize(SHORTER_SIDE)(image)
        # torchvision's own ten_crop cuts its second five out of the mirrored image, which moves the central crop by a pixel
        # where the room around it is odd; the paper mirrors the crops.
        five = functional.five_crop(resized, CROP)
        views = {
            "center": [transforms.CenterCrop(CROP)(resized)],
            "ten-crop": [*five, *map(functional.hflip, five)],
        }
        for protocol, crops in views.items():
            stacked = numpy.concatenate([numpy.asarray(crop) for crop in crops], axis=0)
            Image.fromarray(stacked).save(OUT / f"{name}.{protocol}.png")
            cases.append({"image": f"{name}.png", "views": protocol, "expected": f"{name}.{protocol}.png", "count": len(crops)})
    (OUT / "cases.json").write_text(json.dumps({"input": CROP, "crop_fraction": CROP / SHORTER_SIDE, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
