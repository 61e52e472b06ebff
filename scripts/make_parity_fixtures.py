"""Makes tests/fixtures/parity: what PyTorch's networks give for weights and images that a formula fills.

The networks are torchvision's, and the papers' AlexNet and GoogLeNet of paper_networks.py. The formula stands in
tests/common/formula.rs too, so the fixtures hold no weights. Each has the number of parameters, the multiply-adds and the
logits of an image. Those of the main networks also have every tensor's shape, each parameter's gradient as its norm and its
sum weighted by the same formula, and the logits of a larger image, over which the network slides; and GoogLeNet's has the loss
and the gradients of a training step with its auxiliary classifiers. All is computed in double precision, so that made again
the files are the same but for the last digits.

Run with torch 2.11 and torchvision 0.26: python3 scripts/make_parity_fixtures.py

    python3 scripts/make_parity_fixtures.py --files DIR [PHOTOGRAPHS]

instead saves every network's weights as .pth, zip and legacy, and as safetensors, and for some of the photographs below the
folder PHOTOGRAPHS what torchvision's preprocessing and each network make of them; scripts/parity checks those.
"""

import json
import pathlib
import sys

import numpy
import safetensors.torch
import torch
import torchvision
from paper_networks import AlexNet, GoogLeNet
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/parity"

# Our config, torchvision's name or the class.
NETWORKS = {
    "alexnet": AlexNet, "alexnet-owt": "alexnet",
    "vgg11": "vgg11", "vgg13": "vgg13", "vgg16": "vgg16", "vgg19": "vgg19",
    "vgg11-bn": "vgg11_bn", "vgg13-bn": "vgg13_bn", "vgg16-bn": "vgg16_bn", "vgg19-bn": "vgg19_bn",
    "googlenet": GoogLeNet, "googlenet-bn": "googlenet",
    "resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50", "resnet101": "resnet101", "resnet152": "resnet152",
}
# The papers' two networks take bytes less their mean. On smaller values local response normalisation does next to nothing.
SCALES = {"alexnet": 128, "googlenet": 128}
BYTE_MEAN = (123.68, 116.779, 103.939)
AUXILIARY, SMOOTHING = 0.3, 0.1
# The main networks, and by what share 32-bit gradients may differ from these. A ReLU or a max pool that decides otherwise
# changes the gradients of all layers before it: PyTorch's own 32-bit ones differ by 4e-3 in ResNet-34, 2e-3 in GoogLeNet,
# 9e-5 in VGG-16 and 1e-6 in both AlexNets.
TOLERANCES = {"alexnet": 1e-4, "alexnet-owt": 1e-4, "vgg16": 5e-4, "googlenet": 1e-2, "googlenet-bn": 1e-2, "resnet34": 2e-2}
LABEL = 7
PHOTOGRAPHS = 40


def noise(name, count):
    """`count` values in -1..1 that depend on the name and the place alone: SplitMix64 on FNV-1a's hash of the name."""
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
    """A parameter's values: weights as large as He's rule has them, the rest near where it starts."""
    values = noise(name, int(numpy.prod(shape)))
    if len(shape) > 1:
        values *= numpy.sqrt(6 / numpy.prod(shape[1:]))
    elif name.endswith("running_var") or name.endswith("weight"):
        values = 1 + 0.25 * values
    else:
        values *= 0.1
    return torch.from_numpy(values.astype(numpy.float32).reshape(tuple(shape)))


def picture(name, height, width, scale=1):
    """An image in double precision, of values that are 32-bit floats."""
    values = noise(name, 3 * height * width).astype(numpy.float32).reshape(1, 3, height, width)
    return torch.from_numpy(values).double() * scale


def network(ours):
    theirs = NETWORKS[ours]
    if isinstance(theirs, str):
        options = {"init_weights": False, "aux_logits": False, "transform_input": False} if theirs == "googlenet" else {}
        model = getattr(torchvision.models, theirs)(weights=None, **options)
    else:
        model = theirs()
    model.load_state_dict({name: value if name.endswith("num_batches_tracked") else filled(name, value.shape)
                           for name, value in model.state_dict().items()})
    return model.eval()


def rounded(values):
    """Numbers of eight digits: 32-bit floats have seven."""
    return [float(f"{value:.8g}") for value in values]


def fixture(ours, model):
    model, scale, label = model.double(), SCALES.get(ours, 1), torch.tensor([LABEL])
    image = picture("input", 224, 224, scale)
    with FlopCounterMode(display=False) as counter:
        logits = model(image)
    heads = sum(parameter.numel() for name, parameter in model.named_parameters() if name.startswith("aux"))
    result = {
        "scale": scale,
        "parameters": sum(parameter.numel() for parameter in model.parameters()) - heads,
        # It counts an addition and a multiplication each.
        "multiply_adds": counter.get_total_flops() // 2,
        "logits": rounded(logits[0].tolist()),
    }
    if ours in TOLERANCES:
        result["shapes"] = {name: list(value.shape) for name, value in model.state_dict().items()
                            if not name.endswith("num_batches_tracked")}
        cross_entropy(logits, label).backward()
        result["tolerance"] = TOLERANCES[ours]
        result["gradients"] = gradients(model)
        with torch.no_grad():
            result["dense"] = rounded(dense(model, picture("large", 256, 320, scale))[0].tolist())
    if ours == "googlenet":
        result["training"] = training_step(model, image, label)
    return result


def gradients(model):
    """Of each parameter that has a gradient: an error anywhere in it changes its norm or its weighted sum."""
    return {
        name: rounded([parameter.grad.norm().item(),
                       (parameter.grad.flatten() * torch.from_numpy(noise(name, parameter.numel()))).sum().item()])
        for name, parameter in model.named_parameters() if parameter.grad is not None}


def training_step(model, image, label):
    """The loss with the auxiliary classifiers' (section 5 of the GoogLeNet paper), and its gradients; nothing is dropped.

    Label smoothing lets every class count: these logits are so far apart that the softmax alone would leave two.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.zero_grad()
    logits, *auxiliary = [cross_entropy(logits, label, label_smoothing=SMOOTHING) for logits in model.train()(image)]
    loss = logits + AUXILIARY * sum(auxiliary)
    loss.backward()
    return {"label_smoothing": SMOOTHING, "loss": rounded([loss.item()])[0], "tolerance": TOLERANCES["googlenet"],
            "gradients": gradients(model)}


def dense(model, image):
    """The mean of the scores over all places where the fully connected layers fit into the map; global pools do that alone."""
    if not hasattr(model, "classifier"):
        return model(image)
    side = 7 if isinstance(model, torchvision.models.VGG) else 6
    return slide(model.features(image), model.classifier, side, side)


def slide(features, classifier, height, width):
    """The mean of what `classifier` makes of each window of a map."""
    places = [features[:, :, y : y + height, x : x + width].flatten(1)
              for y in range(features.shape[2] - height + 1) for x in range(features.shape[3] - width + 1)]
    return torch.stack([classifier(place) for place in places]).mean(0)


def photographs(folder, out):
    """Writes photographs.json and each photograph as Pillow resizes it; gives the central crops, in 0..1."""
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
    cut = transforms.Compose([transforms.CenterCrop(224), transforms.ToTensor()])
    return torch.stack([cut(image) for image in resized])


def normalised(ours, crops):
    if ours in SCALES:
        return transforms.Normalize(BYTE_MEAN, (1.0, 1.0, 1.0))(crops * 255)
    return transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(crops)


def save(ours, model, crops, folder):
    torch.save(model.state_dict(), folder / f"{ours}.zip.pth")
    torch.save(model.state_dict(), folder / f"{ours}.legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(model.state_dict(), folder / f"{ours}.safetensors")
    if crops is not None:
        if ours == "googlenet-bn":
            # As with its published weights: it normalises otherwise than torchvision's other networks.
            model.transform_input = True
        with torch.no_grad():
            logits = torch.cat([model(batch) for batch in normalised(ours, crops).split(10)])
        (folder / f"{ours}.logits.json").write_text(json.dumps(logits.tolist()))


def main(files=None, folder=None):
    OUT.mkdir(parents=True, exist_ok=True)
    crops = photographs(folder, pathlib.Path(files)) if folder else None
    for ours in NETWORKS:
        model = network(ours)
        if files:
            save(ours, model, crops, pathlib.Path(files))
        else:
            (OUT / f"{ours}.json").write_text(json.dumps(fixture(ours, model), separators=(",", ":")) + "\n")
        print(ours, flush=True)


if __name__ == "__main__":
    main(*(sys.argv[2:] if sys.argv[1:2] == ["--files"] else []))
