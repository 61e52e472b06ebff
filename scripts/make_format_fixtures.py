"""Makes tests/fixtures/formats: a small image in many kinds of every format but JPEG, each with the RGB image that Pillow
sees. scripts/fuzz makes its mutants of them.

    python3 scripts/make_format_fixtures.py

Needs Pillow 13.
"""

import pathlib

import numpy
from PIL import Image

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/formats"
WIDTH, HEIGHT = 19, 11


def picture():
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x * 31 + y * 17) % 256]
    return Image.fromarray(numpy.stack(channels, axis=-1).astype(numpy.uint8))


def save(image, name, **options):
    image.save(OUT / name, **options)
    with Image.open(OUT / name) as saved:
        saved.convert("RGB").save(OUT / f"{name}.expected.png")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rgb = picture()
    grey, palette, black = rgb.convert("L"), rgb.quantize(16), rgb.convert("1")
    other = Image.fromarray(255 - numpy.asarray(rgb))
    alpha = rgb.copy()
    alpha.putalpha(grey)
    for name, image in dict(rgb=rgb, grey=grey, palette=palette, black=black, alpha=alpha).items():
        save(image, f"{name}.png")
        save(image, f"{name}.tif")
        save(image, f"{name}.bmp")
    save(grey.convert("LA"), "grey-alpha.png")
    save(rgb.quantize(4), "palette-4.png", bits=2)
    save(rgb, "transparent-colour.png", transparency=(0, 0, 0))
    save(palette, "transparent-palette.png", transparency=bytes(range(0, 256, 16)))
    save(rgb, "animated.png", save_all=True, append_images=[other])
    save(palette, "palette.gif")
    save(palette, "interlaced.gif", interlace=1)
    save(palette, "transparent.gif", transparency=3)
    save(palette, "animated.gif", save_all=True, append_images=[other.quantize(16)])
    save(rgb, "lossless.webp", lossless=True)
    save(rgb, "lossy.webp", quality=80)
    save(alpha, "alpha.webp", lossless=True, exact=True)
    save(alpha, "lossy-alpha.webp", quality=80)
    save(rgb, "animated.webp", lossless=True, save_all=True, append_images=[other])
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        save(rgb, f"{compression}.tif", compression=compression)
    save(black, "group4.tif", compression="group4")
    save(rgb, "jpeg.tif", compression="jpeg")
    save(rgb.convert("CMYK"), "cmyk.tif")
    save(Image.fromarray(numpy.asarray(grey).astype(numpy.float32)), "float.tif")
    save(rgb, "pages.tif", save_all=True, append_images=[other])
    for name, image in dict(rgb=rgb, grey=grey, palette=palette, alpha=alpha).items():
        save(image, f"{name}.tga")
        save(image, f"{name}-rle.tga", compression="tga_rle")
        save(image, f"{name}.ico", sizes=[(WIDTH, HEIGHT)])
        save(image, f"{name}-bmp.ico", sizes=[(WIDTH, HEIGHT)], bitmap_format="bmp")
    save(rgb, "two-sizes.ico", sizes=[(8, 8), (WIDTH, HEIGHT)])
    save(rgb, "rgb.ppm")
    save(grey, "grey.pgm")
    save(black, "black.pbm")
    save(alpha, "rgb.dds")


if __name__ == "__main__":
    main()
