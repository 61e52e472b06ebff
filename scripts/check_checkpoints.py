"""Loads topfive's checkpoints into torchvision with strict=True and compares the class probabilities of images.

    python3 scripts/check_checkpoints.py TOPFIVE

Draws shapes and briefly trains three networks on them in a temporary folder. Needs torchvision 0.26, Pillow 13 and
safetensors. Fails if a checkpoint does not load or a probability differs by more than 1e-4.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

ROOT = pathlib.Path(__file__).parent.parent
NORMALIZE = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTER = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMALIZE])
MODELS = {
    "alexnet-owt": lambda: torchvision.models.alexnet(num_classes=12),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=12),
    "googlenet-bn": lambda: torchvision.models.googlenet(
        num_classes=12, aux_logits=True, transform_input=True, init_weights=False),
}


def main(program):
    program = pathlib.Path(program).resolve()
    with tempfile.TemporaryDirectory() as folder:
        def run(*arguments):
            return subprocess.run([program, *arguments, "--quiet"], cwd=folder, check=True, capture_output=True, text=True).stdout

        run("shapes", "shapes", "--train", "3", "--val", "1")
        classes = sorted(path.name for path in pathlib.Path(folder, "shapes/val").iterdir())
        for name, build in MODELS.items():
            config = ROOT / f"configs/{name}.json"
            run("train", config, "--data", "shapes", "--out", name, "--batch-size", "12", "--set", "training.epochs=1")
            model = build()
            model.load_state_dict(load_file(pathlib.Path(folder, name, "best.safetensors")), strict=True)
            model.eval()
            largest = 0.0
            lines = run("predict", name, "shapes/val", "--views", "center", "--top", "12", "--format", "jsonl").splitlines()
            for line in map(json.loads, lines):
                with torch.no_grad():
                    expected = model(CENTER(Image.open(pathlib.Path(folder, line["path"])).convert("RGB"))[None])[0].softmax(0)
                found = {guess["class"]: guess["probability"] for guess in line["predictions"]}
                largest = max(largest, max(abs(found[label] - expected[place].item()) for place, label in enumerate(classes)))
            assert len(lines) == 12 and largest <= 1e-4, (name, largest)
            print(f"{name}: loads with strict=True; the probabilities of 12 images differ by at most {largest:.1e}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
