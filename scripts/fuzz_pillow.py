"""Decodes JPEG files for scripts/fuzz: reads each from standard input behind its length, and answers with width, height
and RGB pixels, or with 0, the length of a reason, and the reason. Numbers have four bytes, the lowest first."""

import io
import struct
import sys
import warnings

from PIL import Image

MOST_PIXELS = 1 << 22

warnings.simplefilter("ignore")
while head := sys.stdin.buffer.read(4):
    content = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
    try:
        image = Image.open(io.BytesIO(content), formats=["JPEG"])
        if image.width * image.height > MOST_PIXELS:
            raise ValueError("large")
        pixels = image.convert("RGB").tobytes()
        answer = struct.pack("<II", *image.size) + pixels
    except Exception as error:
        # Without the addresses of objects.
        reason = str(error).split("<")[0].encode()
        answer = struct.pack("<II", 0, len(reason)) + reason
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
