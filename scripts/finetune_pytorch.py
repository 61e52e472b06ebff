"""Fine-tunes Caffe's GoogLeNet in a plain PyTorch loop, for comparison with `topfive train googlenet-bvlc --weights FILE --data DATA`.

    python3 scripts/finetune_pytorch.py WEIGHTS.safetensors DATA [--rate 0.002] [--epochs 8] [--batch 32]

DATA contains train/ and val/ with one folder of images per class, as for topfive. By default this is the loop that many write
first: the classifier starts fresh, SGD with momentum, one rate for all layers, half a cosine without a warm-up, crops of 8 to
100 % of the area, mirrors. Prints the validation error of the center view after each epoch, and the time.

Run with torch 2.11 and torchvision 0.26.
"""

import argparse
import pathlib
import time

import numpy
import torch
import torch.nn.functional as F
from check_googlenet_bvlc import forward, prepare
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

DROPOUT, WEIGHT_DECAY, MOMENTUM = 0.4, 0.0002, 0.9


class Images(torch.utils.data.Dataset):
    def __init__(self, folder, crop=None):
        classes = sorted(path.name for path in folder.iterdir())
        self.items = [(path, label) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]
        self.classes, self.crop = len(classes), crop

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        if self.crop is None:
            return prepare(path), label
        image = self.crop(Image.open(path).convert("RGB"))
        bgr = numpy.asarray(image)[:, :, ::-1].astype(numpy.float32) - numpy.array([104, 117, 123], numpy.float32)
        return torch.from_numpy(bgr.transpose(2, 0, 1).copy()), label


def error(w, loader):
    with torch.no_grad():
        wrong = sum(int((forward(w, images).argmax(1) != labels).sum()) for images, labels in loader)
    return 100 * wrong / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weights")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--rate", type=float, default=0.002)
    parser.add_argument("--classifier", type=float, default=1.0, help="the classifier's rate over that of the rest")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--least-area", type=float, default=0.08)
    parser.add_argument("--warmup", type=float, default=0.0, help="epochs")
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    crop = transforms.Compose([transforms.RandomResizedCrop(224, scale=(args.least_area, 1)), transforms.RandomHorizontalFlip()])
    train, val = Images(args.data / "train", crop), Images(args.data / "val")
    loader = torch.utils.data.DataLoader(train, args.batch, shuffle=True)
    val_loader = torch.utils.data.DataLoader(val, 50)
    w = load_file(args.weights)
    fresh = torch.nn.Linear(1024, train.classes)
    w["fc.weight"], w["fc.bias"] = fresh.weight.data, fresh.bias.data
    for value in w.values():
        value.requires_grad_()
    classifier = [w["fc.weight"], w["fc.bias"]]
    rest = [value for name, value in w.items() if not name.startswith("fc.")]
    sgd = torch.optim.SGD([{"params": rest}, {"params": classifier}], args.rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    begun, step, steps = time.time(), 0, args.epochs * len(loader)
    warmup = args.warmup * len(loader)
    for epoch in range(args.epochs):
        total = 0.0
        for images, labels in loader:
            share = (step - warmup) / max(steps - warmup, 1)
            factor = (step + 1) / warmup if step < warmup else 0.5 * (1 + numpy.cos(numpy.pi * share))
            sgd.param_groups[0]["lr"], sgd.param_groups[1]["lr"] = args.rate * factor, args.rate * args.classifier * factor
            loss = F.cross_entropy(dropped(w, images), labels, label_smoothing=args.smoothing)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            step, total = step + 1, total + loss.item() * len(labels)
        print(f"epoch {epoch + 1}/{args.epochs}  training loss {total / len(train):.3f}  "
              f"top-1 error {error(w, val_loader):.2f} %  {time.time() - begun:.0f} s", flush=True)


def dropped(w, images):
    """The logits with dropout before the classifier, as in training: `forward` has none."""
    headless = forward({**w, "fc.weight": torch.eye(1024), "fc.bias": torch.zeros(1024)}, images)
    return F.linear(F.dropout(headless, DROPOUT), w["fc.weight"], w["fc.bias"])


if __name__ == "__main__":
    main()
