"""Makes tests/fixtures/explain: maps of evidence as torch's hooks give them, for weights and images that a formula fills.

For ResNet-34 and GoogLeNet with batch norm the class activation map (Zhou et al., arXiv:1512.04150) and Grad-CAM (Selvaraju et
al., arXiv:1610.02391), for VGG-16 Grad-CAM alone, of the class of the largest logit and of class 7.

Run with torch 2.11 and torchvision 0.26: python3 scripts/make_explain_fixtures.py
"""

import json
import pathlib

import torch
from make_parity_fixtures import network, picture, rounded

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/explain"
# Our config: torchvision's module whose output is looked at, and our name for that layer.
LAYERS = {
    "resnet34": [("layer4", None), ("layer3", "layer3")],
    "googlenet-bn": [("inception5b", None)],
    "vgg16": [("features.29", None), ("features.22", "features.22")],
}
CLASS = 7


def evidence(model, module, image, label):
    """Grad-CAM and, if the last layer is linear on the averaged map, the class activation map."""
    kept = {}
    handle = dict(model.named_modules())[module].register_forward_hook(lambda _, __, output: kept.update(map=output))
    logits = model(image)
    handle.remove()
    label = int(logits[0].argmax()) if label is None else label
    (gradient,) = torch.autograd.grad(logits[0, label], kept["map"])
    grad_cam = (gradient.mean(dim=(2, 3), keepdim=True) * kept["map"]).sum(dim=1).relu()[0]
    activation = None
    if hasattr(model, "fc") and kept["map"].shape[1] == model.fc.in_features:
        activation = torch.einsum("c,chw->hw", model.fc.weight[label], kept["map"][0])
    return label, grad_cam, activation


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, layers in LAYERS.items():
        model = network(name).double()
        for module in model.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        image = picture("input", 224, 224)
        maps = []
        for module, ours in layers:
            for label in [None, CLASS]:
                label, grad_cam, activation = evidence(model, module, image, label)
                entry = {"layer": ours, "class": label, "rows": grad_cam.shape[0], "grad_cam": rounded(grad_cam.flatten().tolist())}
                if activation is not None and ours is None:
                    entry["class_activation"] = rounded(activation.flatten().tolist())
                maps.append(entry)
        (OUT / f"{name}.json").write_text(json.dumps(maps) + "\n")


if __name__ == "__main__":
    main()
