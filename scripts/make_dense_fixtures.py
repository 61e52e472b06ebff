"""Makes tests/fixtures/dense.json: small networks, and their class scores when they slide over images larger than their input.

Fully connected layers see one window of the map behind the convolutions after another, and the scores of all windows are
averaged (Sermanet et al., arXiv:1312.6229, section 3.5; Simonyan and Zisserman, arXiv:1409.1556, section 3.2). Here the
layers stay as they are in torch and the windows are cut out of the map; topfive instead makes them convolutions. Weights and
images are filled as in make_parity_fixtures.py.

Run with torch 2.11: python3 scripts/make_dense_fixtures.py
"""

import json
import pathlib

import torch
from make_parity_fixtures import filled, picture, rounded, slide
from torch import nn

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/dense.json"
CLASSES = 50


def conv(channels, kernel, **options):
    return [{"conv": {"channels": channels, "kernel": kernel, **options}}, "relu"]


def pool(kernel, stride, **options):
    return [{"max_pool": {"kernel": kernel, "stride": stride, **options}}]


def norm(alpha):
    return [{"local_response_norm": {"size": 5, "alpha": alpha, "beta": 0.75, "k": 2.0}}]


def classifier(*features):
    hidden = [layer for width in features for layer in ({"linear": {"features": width}}, "relu", {"dropout": 0.5})]
    return ["flatten", *hidden, {"linear": {"features": "classes"}}]


def vgg(widths, padding):
    return [layer for convs, channels in widths for layer in conv(channels, 3, padding=padding) * convs + pool(2, 2)]


# Input (height, width), layers, and the images' sizes: the input's own, whole steps more, and sizes that leave a rest.
NETWORKS = {
    "VGG-11 with a quarter of its channels": (
        (224, 224), vgg([(1, 16), (1, 32), (2, 64), (2, 128), (2, 128)], 1) + classifier(64, 64),
        [(224, 224), (256, 320), (300, 231)]),
    "AlexNet with a quarter of its channels": (
        (224, 224),
        conv(24, 11, stride=4, padding=2) + norm(0.5) + pool(3, 2) + conv(64, 5, padding=2, groups=2) + norm(0.5) + pool(3, 2)
        + conv(96, 3, padding=1) + conv(96, 3, padding=1, groups=2) + conv(64, 3, padding=1, groups=2) + pool(3, 2)
        + classifier(64, 64),
        [(224, 224), (256, 320), (231, 300)]),
    # Kernels, strides, padding and the map that is flattened, 3x6, all differ between height and width.
    "oblong, with pools that round up": (
        (42, 56),
        conv(16, [3, 5], stride=[2, 1], padding=[1, 0]) + pool(3, 2, ceil=True) + conv(32, [5, 3], padding=[2, 1])
        + pool([2, 3], [4, 5], ceil=True) + classifier(64),
        [(42, 56), (70, 100), (47, 83)]),
    # Four pools and a stride of 2: crops 32 pixels apart are whole steps of the map.
    "without padding": (
        (224, 224),
        vgg([(1, 16), (1, 32), (2, 64), (2, 128)], 0) + [{"conv": {"channels": 128, "kernel": 2, "stride": 2}}] + classifier(64),
        [(224, 224), (256, 256), (300, 231)]),
}


def module(layer):
    """The torch layer; what comes in is found out when it first runs."""
    if isinstance(layer, str):
        return {"relu": nn.ReLU, "flatten": nn.Flatten}[layer]()
    (kind, options), = layer.items()
    if kind == "conv":
        options = {"kernel_size" if name == "kernel" else name: as_tuple(value) for name, value in options.items()}
        return nn.LazyConv2d(options.pop("channels"), **options)
    if kind == "max_pool":
        return nn.MaxPool2d(as_tuple(options["kernel"]), as_tuple(options["stride"]), ceil_mode=options.get("ceil", False))
    if kind == "local_response_norm":
        return nn.LocalResponseNorm(**options)
    if kind == "dropout":
        return nn.Dropout(options)
    return nn.LazyLinear(CLASSES if options["features"] == "classes" else options["features"])


def as_tuple(pair):
    return tuple(pair) if isinstance(pair, list) else pair


def main():
    fixtures = []
    for name, ((height, width), layers, sizes) in NETWORKS.items():
        model = nn.Sequential(*map(module, layers)).eval()
        features, scores = model[: layers.index("flatten")], model[layers.index("flatten") + 1 :]
        with torch.no_grad():
            model(torch.zeros(1, 3, height, width))
            model.load_state_dict({name: filled(name, value.shape) for name, value in model.state_dict().items()})
            model.double()
            window = features(picture("input", height, width)).shape[2:]
            logits = [rounded(slide(features(picture("input", *size)), scores, *window)[0].tolist()) for size in sizes]
        print(name, "flattens a map of", *window)
        network = {"input": [3, height, width], "classes": CLASSES, "layers": layers}
        fixtures.append({
            "experiment": {"name": name, "network": network},
            "scores": [{"size": size, "logits": logits} for size, logits in zip(sizes, logits, strict=True)],
        })
    OUT.write_text(json.dumps(fixtures, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
