"""Makes tests/fixtures/gan: what PyTorch makes of the layers, losses and updates of a generator and a discriminator.

layers.json has the outputs and gradients of the layers that generators and discriminators brought; losses.json each loss with
its gradients, and a gradient penalty with its own; steps.json what ten steps of both optimisers leave of small networks of
DCGAN's shape under each loss, with classes and with several updates of the discriminator, and of dcgan-mnist itself and a
network with wide convolutions, of whose tensors it holds norms, sums weighted by the formula of make_parity_fixtures.py and some values. That formula also fills
weights, latent vectors and images, so that they are not stored. All is computed in double precision.

Run with torch 2.11: python3 scripts/make_gan_fixtures.py
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from make_parity_fixtures import filled, noise, rounded
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/gan"
STEPS, RATE = 10, 0.002


def values(name, *shape):
    return torch.from_numpy(noise(name, int(torch.tensor(shape).prod()))).float().double().reshape(shape)


def fill(module):
    """Fills all parameters and running statistics by the formula, under their own names."""
    module.double()
    state = {name: value if name.endswith("num_batches_tracked") else filled(name, value.shape).double()
             for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    return module


def flat(tensor):
    return rounded(tensor.detach().flatten().tolist())


class Maxout(nn.Module):
    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces

    def forward(self, x):
        return x.unflatten(1, (-1, self.pieces)).max(2).values


# Name, input, our layers, PyTorch's.
LAYERS = [
    ("conv_transpose", (3, 4, 5), [{"conv_transpose": {"channels": 4, "kernel": [4, 3], "stride": 2, "padding": 1}}],
     [nn.ConvTranspose2d(3, 4, (4, 3), stride=2, padding=1)]),
    ("conv_transpose of a vector", (6, 1, 1), [{"conv_transpose": {"channels": 2, "kernel": 3, "bias": False}}],
     [nn.ConvTranspose2d(6, 2, 3, bias=False)]),
    ("leaky_relu", (2, 3, 3), [{"leaky_relu": 0.2}], [nn.LeakyReLU(0.2)]),
    ("tanh", (2, 3, 3), ["tanh"], [nn.Tanh()]),
    ("sigmoid", (2, 3, 3), ["sigmoid"], [nn.Sigmoid()]),
    ("maxout of channels", (6, 2, 3), [{"maxout": 3}], [Maxout(3)]),
    ("maxout of features", (4, 1, 1), ["flatten", {"linear": {"features": 6}}, {"maxout": 2}, {"linear": {"features": 2}}],
     [nn.Flatten(), nn.Linear(4, 6), Maxout(2), nn.Linear(3, 2)]),
    ("reshape", (12, 1, 1), ["flatten", {"reshape": [3, 2, 2]}, {"conv_transpose": {"channels": 1, "kernel": 2, "stride": 2}}],
     [nn.Flatten(), nn.Unflatten(1, (3, 2, 2)), nn.ConvTranspose2d(3, 1, 2, stride=2)]),
]


def layer(name, size, ours, modules):
    module = fill(nn.Sequential(*modules))
    x = values(name, 3, *size).requires_grad_()
    y = module(x)
    (y * values("weights of " + name, *y.shape)).sum().backward()
    return {"name": name, "input": list(size), "layers": ours, "shape": list(y.shape), "output": flat(y), "gradient": flat(x.grad),
            "gradients": {name: flat(parameter.grad) for name, parameter in module.named_parameters()}}


def of_discriminator(loss, real, made, smoothing):
    if loss in ("minimax", "non_saturating"):
        return (F.binary_cross_entropy(real.sigmoid(), torch.full_like(real, 1 - smoothing))
                + F.binary_cross_entropy(made.sigmoid(), torch.zeros_like(made)))
    if loss == "least_squares":
        return ((real - (1 - smoothing)) ** 2).mean() / 2 + (made ** 2).mean() / 2
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + made).mean()
    return made.mean() - real.mean()


def of_generator(loss, made):
    if loss == "minimax":
        return torch.log(1 - made.sigmoid()).mean()
    if loss == "non_saturating":
        return -torch.log(made.sigmoid()).mean()
    if loss == "least_squares":
        return ((made - 1) ** 2).mean() / 2
    return -made.mean()


def penalty(judge, real, made, shares):
    between = (shares * real + (1 - shares) * made.detach()).requires_grad_()
    gradient, = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def loss(name, smoothing):
    real, made = [(3 * values(f"{name} {which}", 7, 1)).requires_grad_() for which in ("real", "made")]
    discriminator = of_discriminator(name, real, made, smoothing)
    gradients = torch.autograd.grad(discriminator, (real, made))
    generator = of_generator(name, made)
    of_made, = torch.autograd.grad(generator, made)
    return {"loss": name, "smoothing": smoothing, "discriminator": discriminator.item(), "real": flat(gradients[0]),
            "made": flat(gradients[1]), "generator": generator.item(), "generator_made": flat(of_made)}


def discriminator(widths, kernel, channels=1, norms=True):
    layers, before = [], channels
    for place, width in enumerate(widths):
        layers.append(nn.Conv2d(before, width, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(width)] if place and norms else []
        layers.append(nn.LeakyReLU(0.2))
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, 1, kernel, bias=False), nn.Flatten())


def generator(latent, widths, kernel, channels=1):
    layers = [nn.ConvTranspose2d(latent, widths[0], kernel, bias=False)]
    for before, width in zip(widths, list(widths[1:]) + [channels]):
        layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, width, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh())


def our_discriminator(widths, kernel, norms=True):
    layers = []
    for place, width in enumerate(widths):
        layers.append({"conv": {"channels": width, "kernel": 4, "stride": 2, "padding": 1, "bias": False}})
        layers += [{"batch_norm": {}}] if place and norms else []
        layers.append({"leaky_relu": 0.2})
    return layers + [{"conv": {"channels": 1, "kernel": kernel, "bias": False}}, "flatten"]


def our_generator(widths, kernel):
    layers = [{"conv_transpose": {"channels": widths[0], "kernel": kernel, "bias": False}}]
    for width in list(widths[1:]) + [1]:
        layers += [{"batch_norm": {}}, "relu",
                   {"conv_transpose": {"channels": width, "kernel": 4, "stride": 2, "padding": 1, "bias": False}}]
    return layers + ["tanh"]


def with_classes(x, labels, classes):
    if not classes:
        return x
    planes = F.one_hot(labels, classes).double()[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, planes], 1)


def play(make, judge, side, latent, images, training, classes, rate, epsilon=1e-8):
    """Ten steps; returns the losses and what the discriminator outputs on average."""
    (name, options), = training.get("loss", {"non_saturating": {}}).items()
    smoothing, every = training.get("label_smoothing", 0.0), training.get("discriminator_steps", 1)
    optimizers = [torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.999), eps=epsilon) for module in (make, judge)]
    rows = []
    for step in range(STEPS):
        real = values(f"real {step}", images, 1, side, side)
        labels = torch.arange(images) * 7 % classes if classes else torch.zeros(images, dtype=torch.int64)
        made = make(with_classes(values(f"latent {step}", images, latent, 1, 1), labels, classes))
        judged = lambda x: judge(with_classes(x, labels, classes))
        of_real, of_made = judged(real), judged(made.detach())
        of_both = of_discriminator(name, of_real, of_made, smoothing)
        if name == "wasserstein":
            shares = (values(f"shares {step}", images).reshape(-1, 1, 1, 1) + 1) / 2
            of_both = of_both + options.get("gradient_penalty", 10.0) * penalty(judged, real, made, shares)
        gradients = torch.autograd.grad(of_both, list(judge.parameters()))
        for parameter, gradient in zip(judge.parameters(), gradients):
            parameter.grad = gradient
        optimizers[1].step()
        own = None
        if (step + 1) % every == 0:
            of_one = of_generator(name, judged(made))
            for parameter, gradient in zip(make.parameters(), torch.autograd.grad(of_one, list(make.parameters()))):
                parameter.grad = gradient
            optimizers[0].step()
            own = of_one.item()
        opinions = [x.sigmoid() if name in ("minimax", "non_saturating") else x for x in (of_real, of_made)]
        rows.append([of_both.item(), own] + [x.mean().item() for x in opinions])
    return rows


def tensors(make, judge):
    for part, module in (("generator", make), ("discriminator", judge)):
        for name, value in module.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                yield f"{part}.{name}", value


LATENT, IMAGES = 6, 5
# Large enough that the updates of weights with hardly any gradient do not depend on its rounding.
EPSILON = 1e-4
# With it, PyTorch's losses of dcgan-mnist in 32 and 64 bits agree to 1e-6 for ten steps; with 1e-4 they part at the third.
DIGITS_EPSILON = 1e-3
# Name, fields of training, classes, whether the discriminator has batch norms.
CASES = [
    ("non_saturating", {}, 0, True),
    ("non_saturating with smoothed labels", {"label_smoothing": 0.1}, 0, True),
    ("minimax", {"loss": {"minimax": {}}}, 0, True),
    ("least_squares", {"loss": {"least_squares": {}}}, 0, True),
    ("hinge", {"loss": {"hinge": {}}}, 0, True),
    ("wasserstein", {"loss": {"wasserstein": {"gradient_penalty": 4.0}}, "discriminator_steps": 3}, 0, False),
    ("wasserstein with batch norms", {"loss": {"wasserstein": {}}}, 0, True),
    ("conditional", {}, 3, True),
]


def experiment(training, classes, judge):
    return {"name": "fixture", "latent": {"size": LATENT}, "conditional": classes > 0, "classes": max(classes, 1),
            "generator": {"layers": our_generator((8, 4), 2)}, "discriminator": {"layers": judge},
            "training": {"learning_rate": RATE, "batch_size": IMAGES,
                         "optimizer": {"adamw": {"betas": [0.5, 0.999], "epsilon": EPSILON}}} | training}


def case(name, training, classes, norms):
    make, judge = fill(generator(LATENT + classes, (8, 4), 2)), fill(discriminator((4, 8), 2, 1 + classes, norms))
    rows = play(make, judge, 8, LATENT, IMAGES, training, classes, RATE, EPSILON)
    return {"name": name, "experiment": experiment(training, classes, our_discriminator((4, 8), 2, norms)), "losses": rows,
            "final": {name: flat(value) for name, value in tensors(make, judge)}}


def gradient_penalty():
    judge, real, made = fill(discriminator((4, 8), 2, 1, False)), values("real", 5, 1, 8, 8), values("made", 5, 1, 8, 8)
    shares = (values("shares", 5).reshape(-1, 1, 1, 1) + 1) / 2
    value = penalty(judge, real, made, shares)
    value.backward()
    return {"layers": our_discriminator((4, 8), 2, False), "value": value.item(),
            "gradients": {name: flat(parameter.grad) for name, parameter in judge.named_parameters()}}


def summed(make, judge):
    """Of tensors too large to be stored."""
    sums = {}
    for name, value in tensors(make, judge):
        weighted = (value.flatten() * torch.from_numpy(noise(name, value.numel()))).sum().item()
        stride = max(value.numel() // 40, 1)
        sums[name] = {"norm": value.norm().item(), "sum": weighted, "stride": stride, "values": flat(value.flatten()[::stride])}
    return sums


def wide():
    """A discriminator whose convolution of 3x3 is wide enough for other algorithms, which have no gradients of gradients."""
    make = fill(generator(LATENT, (8, 4), 2))
    judge = fill(nn.Sequential(nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.LeakyReLU(0.2),
                               nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.LeakyReLU(0.2),
                               nn.Conv2d(64, 1, 8, bias=False), nn.Flatten()))
    training = {"loss": {"wasserstein": {}}}
    rows = play(make, judge, 8, LATENT, IMAGES, training, 0, RATE, EPSILON)
    conv = {"channels": 64, "kernel": 3, "padding": 1, "bias": False}
    layers = [{"conv": conv}, {"leaky_relu": 0.2}, {"conv": conv}, {"leaky_relu": 0.2},
              {"conv": {"channels": 1, "kernel": 8, "bias": False}}, "flatten"]
    return {"experiment": experiment(training, 0, layers), "images": IMAGES, "losses": rows, "final": summed(make, judge)}


def digits():
    """dcgan-mnist, whose maps of 4x4 and 7x7 take a kernel of their own between them."""
    make, judge = generator(100, (256, 128, 64), 4), discriminator((64, 128, 256), 4)
    make[3] = nn.ConvTranspose2d(256, 128, 3, 2, 1, bias=False)
    judge[5] = nn.Conv2d(128, 256, 3, 2, 1, bias=False)
    return fill(make), fill(judge)


def dcgan_mnist():
    make, judge = digits()
    with FlopCounterMode(display=False) as counter:
        judge(make(values("latent", 1, 100, 1, 1)))
    # It counts an addition and a multiplication each.
    flops = counter.get_total_flops() // 2
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())
    make, judge = digits()
    rows = play(make, judge, 28, 100, 16, {}, 0, 0.0002, DIGITS_EPSILON)
    return {"parameters": [count(make), count(judge)], "multiply_adds": flops, "images": 16, "losses": rows,
            "epsilon": DIGITS_EPSILON, "final": summed(make, judge)}


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    losses = [loss(name, smoothing) for name in ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein")
              for smoothing in ((0.0, 0.1) if name not in ("hinge", "wasserstein") else (0.0,))]
    files = {"layers": [layer(*arguments) for arguments in LAYERS],
             "losses": {"losses": losses, "gradient_penalty": gradient_penalty()},
             "steps": {"cases": [case(*arguments) for arguments in CASES], "dcgan-mnist": dcgan_mnist(), "wide": wide()}}
    for name, content in files.items():
        (OUT / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
