#!/usr/bin/env python3
"""Reads the shards that `topfive pack FOLDERS PACKED` wrote with webdataset, and compares every image with its file.

    python3 scripts/check_shards.py FOLDERS PACKED

Needs webdataset 1.0: pip install webdataset
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import webdataset as wds


def of_folders(part):
    """How often each pair of a class and an image's digest occurs in class folders."""
    files = (file for file in part.glob("*/**/*") if file.is_file())
    return Counter((file.relative_to(part).parts[0], hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)


def of_shards(part):
    """The same of shards, as webdataset reads them."""
    classes = json.loads((part / "classes.json").read_text())["classes"]
    found = Counter()
    for sample in wds.WebDataset([str(file) for file in sorted(part.glob("*.tar"))], shardshuffle=False):
        image = next(value for ending, value in sample.items() if ending != "cls" and not ending.startswith("__"))
        found[classes[int(sample["cls"])], hashlib.sha256(image).hexdigest()] += 1
    return found


folders, packed = map(Path, sys.argv[1:])
for part in sorted(folder.name for folder in packed.iterdir()):
    expected, found = of_folders(folders / part), of_shards(packed / part)
    assert found == expected, f"{part}: {len(found - expected)} images too many, {len(expected - found)} too few"
    print(f"{part}: {found.total()} images, each as in its folder")
