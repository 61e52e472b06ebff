#!/usr/bin/env python3
"""Writes tests/fixtures/shards: shards by webdataset's own writer, and what its own reader finds in them.

Needs webdataset 1.0 and Pillow: pip install webdataset pillow
"""

import hashlib
import io
import json
from pathlib import Path

import webdataset as wds
from PIL import Image

OUT = Path(__file__).resolve().parent.parent / "tests/fixtures/shards"


def image(number, form):
    """A small picture that no other is equal to."""
    picture = Image.new("RGB", (6, 5), (40 * number % 256, 90, 255 - 17 * number))
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


def plain():
    """Two shards of numbered samples with their classes as text, as most data sets are published."""
    with wds.ShardWriter(str(OUT / "plain-%06d.tar"), maxcount=4, verbose=0) as writer:
        for number in range(7):
            writer.write({"__key__": f"{number:06d}", "jpg": image(number, "JPEG"), "cls": number % 3})


def odd():
    """Keys with folders and dots in them, a key too long for a tar file's header, and classes in JSON or as text files."""
    with wds.TarWriter(str(OUT / "odd.tar")) as writer:
        writer.write({"__key__": "n01.2/cat", "png": image(0, "PNG"), "json": {"label": 2, "name": "cat"}})
        writer.write({"__key__": "n01.2/" + "long" * 40, "jpeg": image(1, "JPEG"), "cls": 0})
        writer.write({"__key__": "dog", "webp": image(2, "WEBP"), "mask.png": image(3, "PNG"), "cls.txt": "1"})


def found(shards):
    """What webdataset's reader finds: key, ending and digest of each image, and its class."""
    samples = []
    for sample in wds.WebDataset([str(OUT / shard) for shard in shards], shardshuffle=False):
        ending = next(ending for ending in ("jpg", "jpeg", "png", "webp") if ending in sample)
        if "json" in sample:
            label = json.loads(sample["json"])["label"]
        else:
            label = int(sample.get("cls", sample.get("cls.txt")))
        digest = hashlib.sha256(sample[ending]).hexdigest()
        samples.append({"key": sample["__key__"], "ending": ending, "label": label, "sha256": digest})
    return samples


OUT.mkdir(parents=True, exist_ok=True)
plain()
odd()
expected = {"plain": found(["plain-000000.tar", "plain-000001.tar"]), "odd": found(["odd.tar"])}
(OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
