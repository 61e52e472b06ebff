"""Makes tests/fixtures/resize: images, and crops of them as resized by Pillow.

    python3 scripts/make_resize_fixtures.py

Needs Pillow 13 or later. Earlier versions always resized rows before columns, which changes some bytes by one.
"""

import json
import pathlib

import numpy
import PIL
from PIL import Image

FOLDER = pathlib.Path(__file__).parent.parent / "tests/fixtures/resize"
SOURCES = {"photo": (61, 47), "tall": (40, 90), "tiny": (7, 5)}
# Source, crop (x, y, width, height), size (width, height).
CASES = [
    ("photo", (0, 0, 61, 47), (32, 32)),  # smaller
    ("photo", (0, 0, 61, 47), (97, 83)),  # larger
    ("photo", (13, 9, 31, 22), (56, 56)),  # a crop away from every edge
    ("photo", (30, 20, 31, 27), (24, 21)),  # a crop up to the last byte
    ("photo", (5, 0, 40, 47), (40, 20)),  # only columns
    ("photo", (0, 7, 61, 32), (23, 32)),  # only rows
    ("photo", (4, 6, 33, 21), (33, 21)),  # only a crop
    ("photo", (0, 0, 61, 47), (1, 1)),
    ("photo", (60, 46, 1, 1), (9, 6)),  # one pixel spread out
    ("tall", (0, 0, 40, 90), (64, 48)),  # columns first: the height shrinks, the width grows
    ("tall", (3, 2, 29, 85), (11, 40)),  # columns first: the height shrinks by 45, more than twice 18
    ("tall", (3, 2, 37, 64), (13, 16)),  # rows first: the height shrinks by 48, exactly twice 24
    ("tall", (11, 0, 2, 90), (50, 3)),  # extreme aspects
    ("tiny", (0, 0, 7, 5), (64, 2)),
    ("tiny", (1, 1, 5, 3), (40, 40)),
]


def make_source(width, height, random):
    """Gradients overlaid with hard edges and noise, so that no two neighbours are alike."""
    y, x = numpy.mgrid[:height, :width]
    planes = [255 * x / width, 255 * y / height, 127 + 127 * numpy.sin((x * y) / 40)]
    image = numpy.stack(planes, axis=-1) + 90 * ((x // 6 + y // 4) % 2)[..., None] - 45
    image += random.normal(0, 20, image.shape)
    return Image.fromarray(image.clip(0, 255).astype(numpy.uint8))


def main():
    if int(PIL.__version__.split(".")[0]) < 13:
        raise SystemExit(f"expected Pillow 13 or later, found {PIL.__version__}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(0)
    sources = {name: make_source(*size, random) for name, size in SOURCES.items()}
    for name, image in sources.items():
        image.save(FOLDER / f"{name}.png", optimize=True)
    cases = []
    for number, (name, (x, y, width, height), size) in enumerate(CASES):
        expected = f"expected_{number:02}.png"
        crop = sources[name].crop((x, y, x + width, y + height))
        crop.resize(size, Image.Resampling.BILINEAR).save(FOLDER / expected, optimize=True)
        cases.append({"source": f"{name}.png", "crop": [x, y, width, height], "size": size, "expected": expected})
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    (FOLDER / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
