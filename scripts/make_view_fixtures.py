"""Makes tests/fixtures/views: where each protocol's views lie, and images with the crops that torchvision and Pillow make.

    python3 scripts/make_view_fixtures.py

cases.json lists images, each with the crops of one protocol stacked vertically in another image. geometry.json lists, for
images of several sizes, the views of each protocol in any order: [width and height of the resized image, x, y, width and
height of the crop, whether it is mirrored, and "crop" (as it is), "whole" (resized to the input) or "dense"]. Needs
torchvision 0.26 and Pillow 13.
"""

import json
import pathlib

import numpy
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/views"
CROP, SHORTER_SIDE = 28, 32
SQUARES = [32, 40]
SIZES = {"landscape": (500, 375), "portrait": (333, 500), "square": (224, 224), "tiny": (100, 75), "wide": (2000, 200), "tall": (150, 1500)}


def noise(width, height, seed):
    """Blurred noise, so that a shift by one pixel shows everywhere."""
    coarse = numpy.random.default_rng(seed).integers(0, 256, (height // 3 + 2, width // 3 + 2, 3), dtype=numpy.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.BICUBIC)


def square_boxes(width, height):
    """The left, center and right squares of a landscape, or the top, center and bottom ones of a portrait."""
    side = min(width, height)
    return [(x, y, side, side) for x, y in [(0, 0), (round((width - side) / 2), round((height - side) / 2)), (width - side, height - side)]]


def pictures():
    cases = []
    for name, width, height in [("landscape", 75, 50), ("portrait", 41, 63), ("square", 40, 40), ("tiny", 17, 12), ("wide", 230, 23)]:
        image = noise(width, height, len(cases))
        image.save(OUT / f"{name}.png")
        resized = transforms.Resize(SHORTER_SIDE)(image)
        # The papers mirror the crops. torchvision's ten_crop crops the mirrored image instead, which shifts the central crop by
        # one pixel if the margin around it is odd.
        five = functional.five_crop(resized, CROP)
        center = transforms.CenterCrop(CROP)(resized)
        wholes = []
        for side in SQUARES:
            scaled = transforms.Resize(side)(image)
            for x, y, w, h in square_boxes(*scaled.size):
                wholes.append(scaled.crop((x, y, x + w, y + h)).resize((CROP, CROP), Image.BILINEAR))
        views = {
            "center": ("center", [center]),
            "mirror": ("mirror", [center, functional.hflip(center)]),
            "ten-crop": ("ten-crop", [*five, *map(functional.hflip, five)]),
            "squares": ({"scales": SQUARES, "squares": True, "crops": ["whole"]}, wholes),
        }
        for kind, (protocol, crops) in views.items():
            stacked = numpy.concatenate([numpy.asarray(crop) for crop in crops], axis=0)
            Image.fromarray(stacked).save(OUT / f"{name}.{kind}.png")
            cases.append({"image": f"{name}.png", "views": protocol, "expected": f"{name}.{kind}.png", "count": len(crops)})
    (OUT / "cases.json").write_text(json.dumps({"input": CROP, "crop_fraction": CROP / SHORTER_SIDE, "cases": cases}, indent=1) + "\n")


def resized(size, side):
    return tuple(transforms.Resize(side)(Image.new("L", size)).size)


def corners(w, h):
    return [(0, 0), (w - 224, 0), (0, h - 224), (w - 224, h - 224)]


def center(w, h):
    """The place of torchvision's CenterCrop."""
    return int(round((w - 224) / 2)), int(round((h - 224) / 2))


def mirrored(views):
    return [view[:6] + [mirror, view[7]] for mirror in (False, True) for view in views]


def one(size, side, places):
    w, h = resized(size, side)
    return [[w, h, x, y, 224, 224, False, "crop"] for x, y in places(w, h)]


def grid(w, h):
    spread = lambda room: [int(place) for place in numpy.rint(numpy.linspace(0, room, 5))]
    return [(x, y) for y in spread(h - 224) for x in spread(w - 224)]


def dense(size, sides):
    return [[w, h, 0, 0, w, h, False, "dense"] for w, h in (resized(size, side) for side in sides)]


def googlenet(size):
    views = []
    for side in (256, 288, 320, 352):
        w, h = resized(size, side)
        for x, y, sw, sh in square_boxes(w, h):
            views += [[w, h, x + cx, y + cy, 224, 224, False, "crop"] for cx, cy in corners(sw, sh) + [center(sw, sh)]]
            views.append([w, h, x, y, sw, sh, False, "whole"])
    return mirrored(views)


def geometry():
    """The views of a network with an input of 224 pixels and a crop fraction of 224/256, trained at scales from 256 to 512
    pixels as VGG was."""
    cases = {}
    for name, size in SIZES.items():
        three = [256, 384, 512]
        multi = mirrored([view for side in three for view in one(size, side, grid)])
        cases[name] = {"size": size, "views": {
            "center": one(size, 256, lambda w, h: [center(w, h)]),
            "mirror": mirrored(one(size, 256, lambda w, h: [center(w, h)])),
            "ten-crop": mirrored(one(size, 256, lambda w, h: corners(w, h) + [center(w, h)])),
            "ten-crop:300": mirrored(one(size, 300, lambda w, h: corners(w, h) + [center(w, h)])),
            "googlenet-144": googlenet(size),
            "dense": mirrored(dense(size, [384])),
            "dense:256": mirrored(dense(size, [256])),
            "dense-multiscale": mirrored(dense(size, three)),
            "multi-crop-50": mirrored(one(size, 384, grid)),
            "multi-crop-150": multi,
            "dense+multi-crop": mirrored(dense(size, three)) + multi,
            "resnet-multiscale": dense(size, [224, 256, 384, 480, 640]),
            "resnet-multiscale-mirror": mirrored(dense(size, [224, 256, 384, 480, 640])),
        }}
    (OUT / "geometry.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    pictures()
    geometry()
