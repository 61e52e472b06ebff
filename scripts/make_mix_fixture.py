"""Makes tests/fixtures/mix.json: batches mixed by torchvision's v2.MixUp and v2.CutMix, and the losses of mixed labels.

For given shares and rectangles it holds the mixed inputs, the probabilities and the cross entropy of fixed logits, with and
without label smoothing; and for some values of alpha, how the shares that torchvision draws are spread.

Run with torch 2.11 and torchvision 0.26: python3 scripts/make_mix_fixture.py
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from make_random_crop_fixture import shares
from torchvision.transforms import v2

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/mix.json"
CLASSES, IMAGES, HEIGHT, WIDTH = 5, 4, 6, 7
SHARES = [0.0, 0.3, 0.85, 1.0]
RECTANGLES = [[1, 2, 4, 3], [0, 0, 7, 6], [5, 0, 2, 6], [3, 3, 0, 0]]  # x, y, width, height
DRAWS = 50_000


def with_parameters(kind, parameters):
    transform = kind(num_classes=CLASSES)
    transform.make_params = lambda _: parameters
    return transform


def main():
    torch.manual_seed(0)
    inputs = torch.randn(IMAGES, 3, HEIGHT, WIDTH)
    labels = torch.tensor([3, 0, 4, 3])
    logits = torch.randn(IMAGES, CLASSES)
    transforms = [({"share": share}, with_parameters(v2.MixUp, {"lam": share})) for share in SHARES]
    for x, y, width, height in RECTANGLES:
        share = 1 - width * height / (WIDTH * HEIGHT)
        parameters = {"box": (x, y, x + width, y + height), "lam_adjusted": share}
        transforms.append(({"area": [x, y, width, height], "share": share}, with_parameters(v2.CutMix, parameters)))
    cases = []
    for case, transform in transforms:
        mixed, targets = transform(inputs, labels)
        losses = [F.cross_entropy(logits, targets, label_smoothing=smoothing).item() for smoothing in (0.0, 0.1)]
        cases.append({**case, "inputs": mixed.flatten().tolist(), "targets": targets.tolist(), "losses": losses})

    spread = []
    for kind, name, alpha in [(v2.MixUp, "mixup", 0.2), (v2.MixUp, "mixup", 2.0), (v2.CutMix, "cutmix", 0.3),
                              (v2.CutMix, "cutmix", 1.0)]:
        transform, images = kind(alpha=alpha, num_classes=CLASSES), [torch.empty(1, 3, 48, 32)]
        drawn = [transform.make_params(images) for _ in range(DRAWS)]
        found = {"share": shares(torch.tensor([it.get("lam", it.get("lam_adjusted")) for it in drawn]).double().numpy())}
        if name == "cutmix":
            x, y, right, bottom = torch.tensor([it["box"] for it in drawn]).double().numpy().T
            found |= {"x": shares(x), "y": shares(y), "width": shares(right - x), "height": shares(bottom - y)}
        spread.append({"mix": {name: {"alpha": alpha}}, "size": [32, 48], "shares": found})
    fixture = {"classes": CLASSES, "shape": [IMAGES, 3, HEIGHT, WIDTH], "inputs": inputs.flatten().tolist(),
               "labels": labels.tolist(), "logits": logits.flatten().tolist(), "cases": cases, "spread": spread}
    OUT.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
