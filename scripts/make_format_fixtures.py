"""Makes tests/fixtures/formats: a small image in many kinds of every format but JPEG, each with the RGB image that Pillow
sees. scripts/fuzz makes its mutants of them.

    python3 scripts/make_format_fixtures.py

Needs Pillow 13.
"""

import pathlib
import struct
import zlib

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


def save_offset_gif(source, name):
    """The picture of another file on a larger screen."""
    content = bytearray((OUT / source).read_bytes())
    content[6:10] = struct.pack("<HH", WIDTH + 6, HEIGHT + 4)
    at = content.index(b"\x2c" + struct.pack("<HHHH", 0, 0, WIDTH, HEIGHT))
    content[at + 1 : at + 5] = struct.pack("<HH", 2, 3)
    (OUT / name).write_bytes(content)
    with Image.open(OUT / name) as saved:
        saved.convert("RGB").save(OUT / f"{name}.expected.png")


def save_deep_png(channels, kind, name):
    """16 bits per channel, which Pillow reads and does not write. The kind is the PNG format's type of colour."""
    values = numpy.arange(WIDTH * HEIGHT * channels).reshape(HEIGHT, WIDTH * channels) * 7919 % 65536
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in chunks
    ]
    (OUT / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
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
    save_offset_gif("transparent.gif", "offset-transparent.gif")
    save_offset_gif("palette.gif", "offset.gif")
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
    save(rgb, "rgb.pcx")
    save(rgb, "big.tif", big_tiff=True)
    save(black, "reversed-bits.tif", tiffinfo={266: 2})
    for channels, kind in {2: 4, 3: 2, 4: 6}.items():
        save_deep_png(channels, kind, f"deep-{channels}.png")


if __name__ == "__main__":
    main()
