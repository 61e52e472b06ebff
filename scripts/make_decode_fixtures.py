"""Makes tests/fixtures/decode: small images of many kinds, each with the upright RGB image that Pillow decodes.

    python3 scripts/make_decode_fixtures.py

Needs Pillow 13 and opencv-python-headless, which writes chroma subsamplings that Pillow does not.
"""

import pathlib
import re

import cv2
import numpy
from PIL import Image, ImageOps

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/decode"
WIDTH, HEIGHT = 24, 16


def colours():
    """A smooth image in which no two corners look alike."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x + y) * 255 // (WIDTH + HEIGHT - 2)]
    return Image.fromarray(numpy.stack(channels, axis=-1).astype(numpy.uint8))


def textured(width, height):
    """Edges, gradients and noise, so that every coefficient occurs and some values must be clipped."""
    y, x = numpy.mgrid[0:height, 0:width]
    noise = numpy.random.default_rng(width * height).integers(0, 80, (height, width, 3))
    waves = 128 + 127 * numpy.sin(numpy.stack([x / 3, y / 2, (x + 2 * y) / 5], axis=-1))
    bars = 255 * ((x // 7 + y // 5) % 2)[:, :, None]
    return Image.fromarray(numpy.clip(0.6 * waves + 0.4 * bars + noise - 40, 0, 255).astype(numpy.uint8))


def save(image, name, **options):
    image.save(OUT / name, **options)
    expect(name)


def expect(name):
    upright = ImageOps.exif_transpose(Image.open(OUT / name))
    upright.convert("RGB").save(OUT / f"{name}.expected.png")


def with_scans(name, keep, new_name):
    """A JPEG file with some of another's scans only, as a viewer sees it that is still loading."""
    parts = re.split(rb"(?=\xff\xda)", (OUT / name).read_bytes())
    head, scans = parts[0], parts[1:]
    # What stands behind a scan (its successor's tables) stays, but for the last one's end-of-image marker.
    kept = [scan if index in keep else tables_after(scan) for index, scan in enumerate(scans)]
    (OUT / new_name).write_bytes(head + b"".join(kept).removesuffix(b"\xff\xd9") + b"\xff\xd9")
    expect(new_name)


def tables_after(scan):
    tables = re.search(rb"\xff[\xc4\xdb].*", scan, re.DOTALL)
    return tables.group() if tables else b""


def with_large_values(name, new_name):
    """A JPEG file whose quantization tables are so coarse that values overflow on the way to pixels."""
    jpeg = bytearray((OUT / name).read_bytes())
    for table in re.finditer(rb"\xff\xdb\x00\x43.", jpeg, re.DOTALL):
        jpeg[table.end() : table.end() + 64] = [255] * 64
    (OUT / new_name).write_bytes(jpeg)
    expect(new_name)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rgb = colours()
    save(rgb, "rgb.png")
    save(rgb.convert("L"), "grey.png")
    save(rgb.quantize(16), "palette.png")
    with_alpha = rgb.copy()
    with_alpha.putalpha(rgb.convert("L"))
    save(with_alpha, "alpha.png")
    save(rgb, "rgb.bmp")
    save(rgb.quantize(16), "palette.gif")
    save(rgb, "rgb.tiff")
    save(rgb, "lossless.webp", lossless=True)
    save(rgb, "rgb.jpg", quality=95, subsampling=0)
    save(rgb.convert("L"), "grey.jpg", quality=95)
    save(rgb.convert("CMYK"), "cmyk.jpg", quality=95)
    save(rgb, "progressive.jpg", quality=95, subsampling=0, progressive=True)
    save(rgb, "jpeg-named.png", format="JPEG", quality=95, subsampling=0)
    for width, height in [(61, 45), (64, 48), (1, 1), (2, 3), (3, 2), (5, 17), (17, 5), (33, 16)]:
        save(textured(width, height), f"420-{width}x{height}.jpg", quality=80, subsampling=2)
    picture = textured(61, 45)
    save(picture, "444.jpg", quality=85, subsampling=0)
    save(picture, "422.jpg", quality=85, subsampling=1)
    save(picture, "coarse.jpg", quality=5)
    save(picture, "finest.jpg", quality=100)
    save(picture, "optimized.jpg", quality=75, optimize=True)
    save(picture, "restarts.jpg", quality=75, restart_marker_blocks=2)
    save(picture, "stored-as-rgb.jpg", quality=90, keep_rgb=True)
    save(picture, "progressive-420.jpg", quality=75, progressive=True)
    save(picture, "progressive-restarts.jpg", quality=60, progressive=True, restart_marker_rows=1)
    save(picture.convert("L"), "progressive-grey.jpg", quality=75, progressive=True)
    save(picture.convert("CMYK"), "cmyk-420.jpg", quality=75, subsampling=2)
    for name in ("411", "440"):
        sampling = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
        cv2.imwrite(str(OUT / f"{name}.jpg"), numpy.asarray(picture)[:, :, ::-1], [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
        expect(f"{name}.jpg")
    for kind in ("420", "grey"):
        scans = len(re.findall(rb"\xff\xda", (OUT / f"progressive-{kind}.jpg").read_bytes()))
        with_scans(f"progressive-{kind}.jpg", range(1), f"progressive-{kind}-first-scan.jpg")
        with_scans(f"progressive-{kind}.jpg", range(2), f"progressive-{kind}-two-scans.jpg")
        with_scans(f"progressive-{kind}.jpg", range(scans - 2), f"progressive-{kind}-without-two-scans.jpg")
    save(textured(7, 300), "progressive-thin.jpg", quality=75, progressive=True)
    with_scans("progressive-thin.jpg", range(1), "progressive-thin-first-scan.jpg")
    save(textured(150, 9), "progressive-low.jpg", quality=75, progressive=True)
    with_scans("progressive-low.jpg", range(1), "progressive-low-first-scan.jpg")
    with_scans("progressive-low.jpg", range(4), "progressive-low-four-scans.jpg")
    with_large_values("finest.jpg", "overflowing.jpg")
    with_large_values("progressive-grey-first-scan.jpg", "overflowing-progressive.jpg")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(rgb, f"orientation-{orientation}.png", exif=exif)
    # Pillow's own conversion clips 16-bit values; the expected result is each value divided by 257, as the PNG specification
    # scales them.
    deep = numpy.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(numpy.uint16)
    Image.fromarray(deep).save(OUT / "grey16.png")
    shallow = numpy.round(deep / 257).astype(numpy.uint8)
    Image.fromarray(numpy.stack([shallow] * 3, axis=-1)).save(OUT / "grey16.png.expected.png")


if __name__ == "__main__":
    main()
