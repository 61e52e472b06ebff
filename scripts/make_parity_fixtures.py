"""Makes tests/fixtures/parity: the outputs of torchvision's networks for weights and an input filled by a formula.

    python3 scripts/make_parity_fixtures.py

The fixtures contain no weights, because tests/parity.rs uses the same formula. They contain the logits and, for the four main
networks, the gradient of each parameter (as its norm and as its sum weighted by the formula) and the logits of a larger image,
over which the network runs as a convolution. Needs torch 2.11 and torchvision 0.26.

    python3 scripts/make_parity_fixtures.py --files DIR [PHOTOGRAPHS]

Saves to DIR every network's weights as .pth (zip and legacy) and as safetensors, and for some of the photographs below the
folder PHOTOGRAPHS the pixels after torchvision's resizing and every network's logits; scripts/parity checks them.
"""

import json
import pathlib
import sys

import numpy
import safetensors.torch
import torch
import torchvision
from PIL import Image
from torchvision import transforms

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/parity"

# The names of our configs and of torchvision's networks.
NETWORKS = {
    "alexnet-owt": "alexnet",
    "vgg11": "vgg11", "vgg13": "vgg13", "vgg16": "vgg16", "vgg19": "vgg19",
    "vgg11-bn": "vgg11_bn", "vgg13-bn": "vgg13_bn", "vgg16-bn": "vgg16_bn", "vgg19-bn": "vgg19_bn",
    "googlenet-bn": "googlenet",
    "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50", "resnet101": "resnet101", "resnet152": "resnet152",
}
MAIN = ["alexnet-owt", "vgg16", "googlenet-bn", "resnet34"]
LABEL = 7
PHOTOGRAPHS = 40


def noise(name, count):
    """`count` values in -1..1 that depend only on the name and the index: SplitMix64 seeded with the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        mixed = numpy.uint64(seed) + (numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> numpy.uint64(31))
    return (mixed >> numpy.uint64(40)).astype(numpy.float64) / 2**23 - 1


def filled(name, shape):
    """A parameter's values: weights on the scale of He's initialisation, all others near their initial values."""
    values = noise(name, int(numpy.prod(shape)))
    if len(shape) > 1:
        values *= numpy.sqrt(6 / numpy.prod(shape[1:]))
    elif name.endswith("running_var") or name.endswith("weight"):
        values = 1 + 0.25 * values
    else:
        values *= 0.1
    return torch.from_numpy(values.astype(numpy.float32).reshape(tuple(shape)))


def network(theirs):
    options = {"init_weights": False, "aux_logits": False, "transform_input": False} if theirs == "googlenet" else {}
    model = getattr(torchvision.models, theirs)(weights=None, **options)
    state = {name: value if name.endswith("num_batches_tracked") else filled(name, value.shape)
             for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def fixture(ours, model):
    image = torch.from_numpy(noise("input", 3 * 224 * 224).astype(numpy.float32).reshape(1, 3, 224, 224))
    logits = model(image)
    result = {"logits": logits[0].tolist()}
    if ours in MAIN:
        torch.nn.functional.cross_entropy(logits, torch.tensor([LABEL])).backward()
        result["gradients"] = {
            name: [parameter.grad.double().norm().item(),
                   (parameter.grad.double().flatten() * torch.from_numpy(noise(name, parameter.numel()))).sum().item()]
            for name, parameter in model.named_parameters()}
        with torch.no_grad():
            result["dense"] = dense(model, torch.from_numpy(
                noise("large", 3 * 256 * 320).astype(numpy.float32).reshape(1, 3, 256, 320)))[0].tolist()
    return result


def dense(model, image):
    """Runs fully connected layers after a map as convolutions and averages the scores over all positions. Networks with a
    global pool need no change."""
    if not hasattr(model, "classifier"):
        return model(image)
    x, side = model.features(image), 7 if isinstance(model, torchvision.models.VGG) else 6
    for layer in model.classifier:
        if isinstance(layer, torch.nn.Linear):
            x = torch.nn.functional.conv2d(x, layer.weight.view(len(layer.weight), -1, side, side), layer.bias)
            side = 1
        else:
            x = layer(x)
    return x.mean((2, 3))


def photographs(folder, out):
    """Writes photographs.json and each photograph as resized by Pillow; returns torchvision's inputs."""
    paths = sorted(path for path in pathlib.Path(folder).resolve().rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    paths = [paths[number * len(paths) // PHOTOGRAPHS] for number in range(PHOTOGRAPHS)]
    for number, path in enumerate(paths[::4]):
        # Photographs of other shapes, decoded from JPEG like the rest.
        box, copy = [(0, 40, 224, 190), (37, 0, 150, 224)][number % 2], out / f"cut-{number}.jpg"
        Image.open(path).convert("RGB").crop(box).save(copy, quality=90)
        paths.append(copy)
    (out / "photographs.json").write_text(json.dumps([str(path) for path in paths]))
    resized = [transforms.Resize(256)(Image.open(path).convert("RGB")) for path in paths]
    for number, image in enumerate(resized):
        image.save(out / f"resized-{number}.png")
    prepare = transforms.Compose([
        transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    return torch.stack([prepare(image) for image in resized])


def save(ours, model, inputs, folder):
    torch.save(model.state_dict(), folder / f"{ours}.zip.pth")
    torch.save(model.state_dict(), folder / f"{ours}.legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(model.state_dict(), folder / f"{ours}.safetensors")
    if inputs is not None:
        if ours == "googlenet-bn":
            # As for its published weights, whose normalisation differs from that of torchvision's other networks.
            model.transform_input = True
        with torch.no_grad():
            logits = torch.cat([model(batch) for batch in inputs.split(10)])
        (folder / f"{ours}.logits.json").write_text(json.dumps(logits.tolist()))


def main(files=None, folder=None):
    OUT.mkdir(parents=True, exist_ok=True)
    inputs = photographs(folder, pathlib.Path(files)) if folder else None
    for ours, theirs in NETWORKS.items():
        model = network(theirs)
        if files:
            save(ours, model, inputs, pathlib.Path(files))
        else:
            (OUT / f"{ours}.json").write_text(json.dumps(fixture(ours, model)) + "\n")
        print(ours, flush=True)


if __name__ == "__main__":
    main(*(sys.argv[2:] if sys.argv[1:2] == ["--files"] else []))
