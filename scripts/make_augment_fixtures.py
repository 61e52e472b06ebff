"""Makes tests/fixtures/augment: what Pillow and torchvision make of small images, and what torchvision's policies draw.

For each source image NAME.png, NAME.expected.png holds the results of all edits of edits.json, one below the other.
choices.json holds every outcome of RandAugment, TrivialAugment and AutoAugment with its probability, found by running
torchvision's own code with each possible sequence of random numbers, and how its RandomErasing spreads its rectangles.

Run with torchvision 0.26 and Pillow 13: python3 scripts/make_augment_fixtures.py
"""

import collections
import json
import math
import os
import pathlib

# With vector instructions, torch.linspace(0, 32, 31) gives 15.999999 in place of 16: one pixel less of a translation.
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import numpy
import PIL
import torch
from make_random_crop_fixture import shares
from make_resize_fixtures import make_source
from PIL import Image
from torchvision import transforms
from torchvision.transforms import autoaugment
from torchvision.transforms import functional as F
from torchvision.transforms.functional import InterpolationMode

FOLDER = pathlib.Path(__file__).parent.parent / "tests/fixtures/augment"
SIZES = {"photo": (29, 23), "tall": (8, 21), "tiny": (6, 5)}
ERASED = [2, 1, 3, 4]  # x, y, width, height

EDITS = [
    *[("brightness", value) for value in (0.0, 0.35, 1.0, 1.7)],
    *[("contrast", value) for value in (0.0, 0.2, 0.93, 2.3)],
    *[("saturation", value) for value in (0.0, 0.4, 1.6)],
    *[("hue", value) for value in (-0.5, -0.13, 0.001, 0.07, 0.5)],
    *[("sharpness", value) for value in (0.0, 0.3, 1.0, 1.9)],
    ("grayscale", None),
    ("shift", [12.3, -7.6, 0.6]), ("shift", [-300.0, 4.49, 90.0]),
    *[("posterize", value) for value in (1, 2, 4, 7, 8)],
    *[("solarize", value) for value in (0.0, 85.0, 127.5, 255.0)],
    ("auto_contrast", None), ("equalize", None), ("invert", None),
    *[(name, value) for name in ("shear_x", "shear_y") for value in (0.3, -0.12, 0.99, 0.0)],
    *[("translate", value) for value in ([5, 0], [-3, 0], [0, 4], [0, -2], [100, 0])],
    *[("rotate", [value, "nearest"]) for value in (15.0, -30.5, 90.0, 180.0, 135.0, 0.0)],
    *[("rotate", [value, "bilinear"]) for value in (15.0, -7.25, 90.0, 180.0, 45.0, 0.0)],
    *[("blur", value) for value in ([1, 1.0], [3, 0.5], [5, 1.1], [9, 2.0], [9, 0.1])],
    ("erase", [124, 116, 104]),
]


def edited(image, name, value):
    match name:
        case "brightness" | "contrast" | "saturation" | "hue" | "sharpness":
            return getattr(F, f"adjust_{name}")(image, value)
        case "grayscale":
            return F.to_grayscale(image, 3)
        case "shift":
            # torch's Lighting adds to values from 0 to 1; bytes are rounded to the nearest.
            values = numpy.asarray(image) / 255 + numpy.array(value) / 255
            return Image.fromarray(numpy.floor(values.clip(0, 1) * 255 + 0.5).astype(numpy.uint8))
        case "posterize" | "solarize":
            return getattr(F, name)(image, value)
        case "auto_contrast":
            return F.autocontrast(image)
        case "equalize" | "invert":
            return getattr(F, name)(image)
        case "shear_x" | "shear_y":
            operation = {"shear_x": "ShearX", "shear_y": "ShearY"}[name]
            return autoaugment._apply_op(image, operation, value, InterpolationMode.NEAREST, None)
        case "translate":
            return F.affine(image, 0.0, value, 1.0, [0.0, 0.0])
        case "rotate":
            return F.rotate(image, value[0], InterpolationMode(value[1]))
        case "blur":
            return F.gaussian_blur(image, value[0], value[1])
        case "erase":
            x, y, width, height = ERASED
            colour = torch.tensor(value, dtype=torch.uint8)[:, None, None]
            return F.to_pil_image(F.erase(F.pil_to_tensor(image), y, x, height, width, colour))


def make_images():
    random = numpy.random.default_rng(0)
    images = {name: make_source(*size, random) for name, size in SIZES.items()}
    # Few values, a channel with a single one, and pixels of grey.
    tiny = numpy.asarray(images["tiny"]) // 90 * 60 + 20
    tiny[..., 2] = 77
    tiny[1] = tiny[1, :, :1]
    images["tiny"] = Image.fromarray(tiny.astype(numpy.uint8))
    for name, image in images.items():
        image.save(FOLDER / f"{name}.png", optimize=True)
        results = [numpy.asarray(edited(image, *edit)) for edit in EDITS]
        Image.fromarray(numpy.concatenate(results)).save(FOLDER / f"{name}.expected.png", optimize=True)
    edits = [[name, ERASED + value if name == "erase" else value] for name, value in EDITS]
    (FOLDER / "edits.json").write_text("[\n" + ",\n".join("  " + json.dumps(edit) for edit in edits) + "\n]\n")


class Recorder:
    """Stands in for torchvision's functions, and notes which of them is called with what."""

    def __init__(self):
        self.edits = []

    get_dimensions = staticmethod(F.get_dimensions)

    def __getattr__(self, name):
        def record(image, value=None, **options):
            if name == "affine":
                x, y = (math.tan(math.radians(angle)) for angle in options["shear"])
                edit = ["shear_x", x] if x else ["shear_y", y] if y else ["translate", options["translate"]]
            elif name == "rotate":
                edit = ["rotate", value]
            else:
                edit = [{"autocontrast": "auto_contrast"}.get(name, name.removeprefix("adjust_")), value]
            self.edits.append(edit)
            return image

        return record


def all_draws(run):
    """Every outcome of `run` over all results of torch.randint, each with its probability."""
    original, open_draws = torch.randint, [[]]
    while open_draws:
        known = open_draws.pop()
        drawn = []

        def randint(bound, size, **_):
            if len(drawn) == len(known):
                # The first time that it is drawn: the other results are for later runs.
                open_draws.extend([*drawn, (value, bound)] for value in range(1, bound))
                known.append((0, bound))
            drawn.append(known[len(drawn)])
            return torch.tensor([drawn[-1][0]])

        torch.randint = randint
        try:
            edits = run()
        finally:
            torch.randint = original
        yield edits, math.prod(1 / bound for _, bound in drawn)


def collected(outcomes):
    sums = collections.Counter()
    for edits, probability in outcomes:
        named = [[name, [round(v, 6) + 0.0 for v in value] if isinstance(value, list) else
                  None if value is None else round(value, 6) + 0.0] for name, value in edits]
        sums[json.dumps(named)] += probability
    return [[json.loads(edits), round(probability, 8)] for edits, probability in sums.items() if probability > 0]


def recorded(transform, image):
    recorder = Recorder()
    autoaugment.F = recorder
    try:
        transform(image)
    finally:
        autoaugment.F = F
    return recorder.edits


def auto_augment(policy, image):
    transform = transforms.AutoAugment(transforms.AutoAugmentPolicy(policy))
    for index, pair in enumerate(transform.policies):
        for first, second, *signs in numpy.ndindex(2, 2, 2, 2):
            # torchvision applies an operation if its random number is not above the probability.
            numbers = torch.tensor([2.0 if first else -1.0, 2.0 if second else -1.0])
            transform.get_params = lambda _, numbers=numbers: (index, numbers, torch.tensor(signs))
            shares = [1 - p if skipped else p for (_, p, _), skipped in zip(pair, (first, second))]
            yield recorded(transform, image), math.prod(shares) / 4 / len(transform.policies)


def make_choices():
    image = Image.new("RGB", (224, 160))
    choices = {"size": image.size, "policies": []}
    for magnitude, bins in [(9, 31), (4, 5)]:
        transform = transforms.RandAugment(num_ops=1, magnitude=magnitude, num_magnitude_bins=bins)
        outcomes = collected(all_draws(lambda: recorded(transform, image)))
        augment = {"rand_augment": {"operations": 1, "magnitude": magnitude, "bins": bins}}
        choices["policies"].append({"augment": augment, "outcomes": outcomes})
    transform = transforms.TrivialAugmentWide()
    outcomes = collected(all_draws(lambda: recorded(transform, image)))
    choices["policies"].append({"augment": "trivial_augment", "outcomes": outcomes})
    for policy in ("imagenet", "cifar10"):
        outcomes = collected(auto_augment(policy, image))
        choices["policies"].append({"augment": {"auto_augment": policy}, "outcomes": outcomes})

    torch.manual_seed(0)
    area, aspect = [0.02, 0.33], [0.3, 3.3]
    blank = torch.empty(3, image.height, image.width)
    rectangles = [transforms.RandomErasing.get_params(blank, area, aspect, [0.0])[:4] for _ in range(100_000)]
    y, x, h, w = numpy.array(rectangles).T
    spread = {"x": shares(x), "y": shares(y), "area": shares(w * h), "ratio": shares(h / w)}
    choices["erasing"] = {"area": area, "aspect": aspect, "shares": spread}
    (FOLDER / "choices.json").write_text(json.dumps(choices, separators=(",", ":")) + "\n")


def main():
    if int(PIL.__version__.split(".")[0]) < 13:
        raise SystemExit(f"expected Pillow 13 or later, found {PIL.__version__}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    make_images()
    make_choices()


if __name__ == "__main__":
    main()
