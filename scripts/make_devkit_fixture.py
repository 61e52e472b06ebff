#!/usr/bin/env python3
"""Writes tests/fixtures/devkit.tar.gz: a development kit of ILSVRC's for two classes and four images.

`meta.mat` has the fields of the real one, and synsets after those of the classes, as the real one has.
Needs scipy: pip install scipy
"""

import io
import tarfile
from pathlib import Path

import numpy
from scipy.io import savemat

OUT = Path(__file__).resolve().parent.parent / "tests/fixtures/devkit.tar.gz"
# By ILSVRC's numbers, whose order is not that of the ids.
SYNSETS = [("n02102040", "English springer"), ("n01440764", "tench, Tinca tinca"), ("n00001740", "entity")]
TRUTH = "1\n2\n1\n2\n"


def meta():
    """The list of synsets as MATLAB's struct array."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O"), ("children", "O")]
    rows = [((number + 1.0, wnid, words, 0.0, numpy.zeros((1, 0))),) for number, (wnid, words) in enumerate(SYNSETS)]
    synsets = numpy.array([row[0] for row in rows], dtype=fields).reshape(-1, 1)
    file = io.BytesIO()
    savemat(file, {"synsets": synsets}, do_compression=True)
    return file.getvalue()


with tarfile.open(OUT, "w:gz") as archive:
    for name, content in [("data/meta.mat", meta()), ("data/ILSVRC2012_validation_ground_truth.txt", TRUTH.encode())]:
        member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/{name}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
