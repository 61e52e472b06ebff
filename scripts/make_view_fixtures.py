"""Makes tests/fixtures/views: where the protocols cut, and images with the crops that torchvision and Pillow cut out.

cases.json has images, each with the crops of a protocol below one another. geometry.json has, for images of several sizes
and each protocol, its views in any order: [width and height of the resized image, x, y, width and height of the cut, whether
it is mirrored, "crop" (as it is), "whole" (resized to the input) or "dense"]. These numbers are torchvision's: its Resize
says how large the image becomes, its FiveCrop, CenterCrop, crop and hflip cut up an image of that size whose pixels are
their own coordinates, and where a view came from is read off its pixels.

Run with torchvision 0.26 and Pillow 13: python3 scripts/make_view_fixtures.py
"""

import json
import pathlib

import numpy
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/views"
CROP, SHORTER_SIDE = 28, 32
SQUARES = [32, 40]
# Half the room beside the center crop is 58.5 pixels in the landscape and 79.5 in the two after the portrait: the first is
# rounded down, the second up.
SIZES = {
    "landscape": (500, 375), "portrait": (333, 500), "landscape of 3:2": (640, 427), "portrait of 2:3": (427, 640),
    "square": (224, 224), "tiny": (100, 75), "wide": (2000, 200), "tall": (150, 1500),
}


def noise(width, height, seed):
    """Blurred noise, so that a shift of one pixel is seen everywhere."""
    coarse = numpy.random.default_rng(seed).integers(0, 256, (height // 3 + 2, width // 3 + 2, 3), dtype=numpy.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.BICUBIC)


def squares(image):
    """GoogLeNet, section 7: "the left, center and right square of these resized images (in the case of portrait images, we
    take the top, center and bottom squares)"."""
    width, height = functional.get_image_size(image)
    top_left, _, _, bottom_right, center = functional.five_crop(image, min(width, height))
    return top_left, center, bottom_right


def pictures():
    cases = []
    for name, width, height in [("landscape", 75, 50), ("portrait", 41, 63), ("square", 40, 40), ("tiny", 17, 12), ("wide", 230, 23), ("odd", 74, 50)]:
        image = noise(width, height, len(cases))
        image.save(OUT / f"{name}.png")
        resized = transforms.Resize(SHORTER_SIDE)(image)
        # torchvision's own ten_crop cuts its second five out of the mirrored image, which moves the central crop by a pixel
        # where the room around it is odd; the paper mirrors the crops.
        five = functional.five_crop(resized, CROP)
        center = transforms.CenterCrop(CROP)(resized)
        wholes = []
        for side in SQUARES:
            wholes += [square.resize((CROP, CROP), Image.BILINEAR) for square in squares(transforms.Resize(side)(image))]
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


def coordinates(size, side):
    """An image of the size that `size` becomes when its shorter side is resized to `side`: each pixel holds its x and y."""
    width, height = transforms.Resize(side)(Image.new("L", size)).size
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y])


def view(image, cut, kind):
    """What geometry.json has of a cut of an image of coordinates, or of its mirror image."""
    (_, h, w), (_, height, width) = cut.shape, image.shape
    x, y, mirrored = cut[0].min().item(), cut[1].min().item(), bool(cut[0, 0, 0] > cut[0, 0, -1])
    whole = image[:, y : y + h, x : x + w]
    assert torch.equal(cut, whole.flip(2) if mirrored else whole), "a view is one rectangle"
    return [width, height, x, y, w, h, mirrored, kind]


def views(image, kind, cuts, mirrors=True):
    return [view(image, cut, kind) for cut in [*cuts, *(map(functional.hflip, cuts) if mirrors else [])]]


def ten_crop(image):
    """AlexNet, section 4.1: "the four corner patches and the center patch as well as their horizontal reflections"."""
    found = views(image, "crop", functional.five_crop(image, 224))
    theirs = sorted(view(image, cut, "crop") for cut in transforms.TenCrop(224)(image))
    # torchvision's center patch of the mirrored image is the mirrored center patch where the room around it is even.
    assert image.shape[2] % 2 or theirs == sorted(found)
    return found


def grid(image):
    """VGG, section 3.2: a "5 x 5 regular grid" of crops; where a fifth is no whole pixel, the nearest one."""
    _, height, width = image.shape
    places = [numpy.rint(numpy.linspace(0, room, 5)).astype(int) for room in (height - 224, width - 224)]
    found = views(image, "crop", [functional.crop(image, int(y), int(x), 224, 224) for y in places[0] for x in places[1]])
    assert all(corner in found for corner in ten_crop(image))
    return found


def googlenet(image):
    """GoogLeNet, section 7: "For each square, we then take the 4 corners and the center 224x224 crop as well as the square
    resized to 224x224, and their mirrored versions"."""
    found = []
    for square in squares(image):
        found += views(image, "crop", functional.five_crop(square, 224)) + views(image, "whole", [square])
    return found


def center(image):
    return [transforms.CenterCrop(224)(image)]


def dense(image):
    """VGG, section 3.2, and ResNet, section 3.4: the whole image."""
    return views(image, "dense", [image])


def at(size, sides, protocol):
    return [found for side in sides for found in protocol(coordinates(size, side))]


def geometry():
    """For a network of 224 pixels with crops of 224 of 256, trained at the sides 256 to 512 as VGG was."""
    cases = {}
    for name, size in SIZES.items():
        # VGG, sections 4.1 and 4.2: tested at 0.5 (S_min + S_max), and at S_min, that and S_max.
        one, three = [384], [256, 384, 512]
        # ResNet, section 3.4.
        five = [224, 256, 384, 480, 640]
        cases[name] = {"size": size, "views": {
            "center": at(size, [256], lambda image: views(image, "crop", center(image), mirrors=False)),
            "mirror": at(size, [256], lambda image: views(image, "crop", center(image))),
            "ten-crop": at(size, [256], ten_crop),
            "ten-crop:300": at(size, [300], ten_crop),
            "googlenet-144": at(size, [256, 288, 320, 352], googlenet),
            "dense": at(size, one, dense),
            "dense:256": at(size, [256], dense),
            "dense-multiscale": at(size, three, dense),
            "multi-crop-50": at(size, one, grid),
            "multi-crop-150": at(size, three, grid),
            "dense+multi-crop": at(size, three, dense) + at(size, three, grid),
            "resnet-multiscale": at(size, five, lambda image: views(image, "dense", [image], mirrors=False)),
            "resnet-multiscale-mirror": at(size, five, dense),
        }}
    (OUT / "geometry.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    pictures()
    geometry()
