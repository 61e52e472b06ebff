"""Compares the evidence that `topfive explain` finds in photographs with class activation maps and Grad-CAM without topfive.

    python3 scripts/check_explain.py TOPFIVE WEIGHTS.safetensors PHOTOGRAPH...

For Caffe's GoogLeNet, photographs of any size, the center view: reads NAME.npy, and computes the map of the most probable class
with torch's layers (and gradients), enlarged to the crop in the photograph's own pixels. Prints the largest difference over the
greatest value.

Run with torch 2.11, Pillow 13 and safetensors.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import torch.nn.functional as F
from check_googlenet_bvlc import features, prepare
from PIL import Image
from safetensors.torch import load_file


def expected(w, path, method):
    """The map of the most probable class, (7, 7)."""
    with torch.no_grad():
        last = features(w, prepare(path)[None])
    last.requires_grad_()
    logits = F.linear(last.mean((2, 3)), w["fc.weight"], w["fc.bias"])[0]
    if method == "cam":
        return torch.einsum("c,chw->hw", w["fc.weight"][int(logits.argmax())], last[0]).detach()
    gradient = torch.autograd.grad(logits.max(), last)[0][0]
    return torch.einsum("c,chw->hw", gradient.mean((1, 2)), last[0]).relu().detach()


def places(pixels, side, shorter):
    """Where pixels of the photograph lie in torchvision's central crop, -1 to 1: 224 pixels of a shorter side of 256."""
    resized = 256 * side // shorter
    start = round((resized - 224) / 2)
    return (((torch.tensor(pixels) + 0.5) * resized / side - start) / 224 * 2 - 1).float()


def main():
    program, weights, *photographs = sys.argv[1:]
    w = load_file(weights)
    worst = max(compared(program, weights, w, photographs, method) for method in ["cam", "grad-cam"])
    sys.exit(0 if worst < 1e-4 else f"differs by {worst:.2g} of the greatest value, more than 1e-4")


def compared(program, weights, w, photographs, method):
    """The largest difference over all photographs."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        arguments = ["explain", "googlenet-bvlc", "--weights", weights, *photographs, "--out", out, "--method", method]
        subprocess.run([program, *arguments, "--json", out.with_suffix(".jsonl"), "--quiet"], check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
        for path, record in zip(photographs, records):
            found = numpy.load(record["array"])
            height, width = found.shape
            small = expected(w, pathlib.Path(path), method)
            seen = ~numpy.isnan(found)
            rows, columns = numpy.where(seen.any(axis=1))[0], numpy.where(seen.any(axis=0))[0]
            shorter = min(height, width)
            grid = torch.stack(torch.meshgrid(places(columns, width, shorter), places(rows, height, shorter), indexing="xy"), dim=-1)[None]
            large = F.grid_sample(small[None, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0, 0].numpy()
            difference = numpy.abs(found[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1] - large).max() / numpy.abs(large).max()
            print(f"{method} {path}: {difference:.2g}")
            worst = max(worst, float(difference))
    return worst


if __name__ == "__main__":
    main()
