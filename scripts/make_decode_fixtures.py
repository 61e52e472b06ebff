"""Makes tests/fixtures/decode: small images of many kinds, and the RGB that Pillow makes of each, upright.

Run with Pillow 13: python3 scripts/make_decode_fixtures.py
"""

import pathlib

import numpy
from PIL import Image, ImageOps

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/decode"
WIDTH, HEIGHT = 24, 16


def colours():
    """A smooth picture in which no two corners look alike."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x + y) * 255 // (WIDTH + HEIGHT - 2)]
    return Image.fromarray(numpy.stack(channels, axis=-1).astype(numpy.uint8))


def save(image, name, **options):
    image.save(OUT / name, **options)
    upright = ImageOps.exif_transpose(Image.open(OUT / name))
    upright.convert("RGB").save(OUT / f"{name}.expected.png")


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
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(rgb, f"orientation-{orientation}.png", exif=exif)
    # Pillow's own conversion clips 16 bits; what is expected is each value over 257, as PNG's specification scales.
    deep = numpy.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(numpy.uint16)
    Image.fromarray(deep).save(OUT / "grey16.png")
    shallow = numpy.round(deep / 257).astype(numpy.uint8)
    Image.fromarray(numpy.stack([shallow] * 3, axis=-1)).save(OUT / "grey16.png.expected.png")


if __name__ == "__main__":
    main()
