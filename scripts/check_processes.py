#!/usr/bin/env python3
"""Starts topfive under the real torchrun and Open MPI, and compares what several processes do with one, and with PyTorch.

    python3 scripts/check_processes.py TOPFIVE [PART...]

Parts, by default all: learn, evaluate, kill, restart, unreadable, mpi. Needs torch 2.11, torchvision, safetensors and Pillow,
and for `mpi` Open MPI's mpirun (Debian: openmpi-bin). Fails if weights differ by more than 1e-5, or anything else is wrong.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as exchange
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.transforms.functional import pil_to_tensor

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--no-python"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
IMAGES, CLASSES, STEPS = 16, 4, 20
# Of a batch norm's sums, two processes round the last bit otherwise than one; now and then a ReLU changes sides, and from step
# to step the networks part, PyTorch's like ours. At this rate that stays below 1e-5, while the weights move by much more.
RATES = {"plain": 0.005, "resnet18": 5e-6}
SMALL = ["tiny", "--device", "cpu", "--threads", "1", "--workers", "1", "--batch-size", "8", "--save-every", "5", "--quiet"]

SHAPES = ["--data", "shapes", "--epochs", "8"]


class Place:
    """A folder to work in, and the program."""

    def __init__(self, program, folder):
        self.program, self.folder = pathlib.Path(program).resolve(), pathlib.Path(folder)

    def command(self, launcher, *arguments):
        return [*map(str, launcher), str(self.program), *map(str, arguments)]

    def start(self, launcher, *arguments, **options):
        return subprocess.Popen(self.command(launcher, *arguments), cwd=self.folder, env=ONE_THREAD, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, launcher, *arguments, status=0):
        process = self.start(launcher, *arguments)
        output, errors = process.communicate()
        assert process.returncode == status, f"{launcher} {arguments}: status {process.returncode}\n{output}{errors}"
        return output + errors

    def weights(self, run):
        return load_file(self.folder / run / "last.safetensors")


def torchrun(count, *more):
    return [*TORCHRUN, "--standalone", "--nproc-per-node", count, *more]


def difference(found, expected):
    """The largest difference of a trained parameter's value."""
    names = [name for name in expected if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    return max((found[name].double() - expected[name].double()).abs().max().item() for name in names)


def show(what, value, most=1e-5):
    print(f"{what}: {value:.1e}")
    assert value <= most, f"{what}: more than {most}"


class SyncNorm(nn.BatchNorm2d):
    """A batch norm over all processes; PyTorch's own needs a GPU."""

    def forward(self, x):
        count = torch.tensor(float(x.numel() // x.shape[1]))
        dist.all_reduce(count)
        mean = exchange.all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = exchange.all_reduce(centred.square().sum((0, 2, 3))) / count
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def synchronised(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = SyncNorm(child.num_features, child.eps)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            synchronised(child)
    return module


def plain():
    """A network without batch norm."""
    parts = {"conv1": nn.Conv2d(3, 32, 3, 2, 1), "relu1": nn.ReLU(), "conv2": nn.Conv2d(32, 64, 3, 2, 1), "relu2": nn.ReLU(),
             "conv3": nn.Conv2d(64, 128, 3, 2, 1), "relu3": nn.ReLU(), "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(),
             "fc": nn.Linear(128, CLASSES)}
    model = nn.Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


def plain_experiment():
    convs = [{"conv": {"name": f"conv{number}", "channels": 16 << number, "kernel": 3, "stride": 2, "padding": 1}} for number in (1, 2, 3)]
    layers = [layer for conv in convs for layer in (conv, "relu")]
    layers += ["global_average_pool", {"linear": {"name": "fc", "features": "classes"}}]
    return {"name": "plain", "network": {"input": [3, 64, 64], "classes": CLASSES, "layers": layers}}


def distributed(rank, count, folder, name, result):
    """Trains with DistributedDataParallel, as torchvision and PyTorch do it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{29544 + count}", rank=rank, world_size=count)
    model = plain() if name == "plain" else torchvision.models.resnet18(num_classes=CLASSES)
    model.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=False)
    model = DistributedDataParallel(synchronised(model))
    files = sorted((folder / "set/train").glob("*/*.png"))[rank::count]
    x = torch.stack([(pil_to_tensor(Image.open(file)).float() - 128) / 64 for file in files])
    labels = torch.tensor([int(file.parent.name) for file in files])
    sgd = torch.optim.SGD(model.parameters(), RATES[name], momentum=0.9, weight_decay=1e-4)
    for _ in range(STEPS):
        loss = F.cross_entropy(model(x), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    if rank == 0:
        save_file(dict(model.module.state_dict()), result)
    dist.destroy_process_group()


def learn(place):
    """Twenty steps from the same start on the same images."""
    torch.manual_seed(0)
    for number in range(IMAGES):
        for part in ("train", "val"):
            file = place.folder / f"set/{part}/{number % CLASSES}/{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture = torch.Generator().manual_seed(number)
            Image.fromarray(torch.randint(256, (64, 64, 3), generator=picture, dtype=torch.uint8).numpy()).save(file)
    (place.folder / "classes.txt").write_text("".join(f"{number}\n" for number in range(CLASSES)))
    (place.folder / "plain.json").write_text(json.dumps(plain_experiment()))
    for name, experiment, model in (("plain", "plain.json", plain()), ("resnet18", "resnet18", torchvision.models.resnet18(num_classes=CLASSES))):
        save_file({key: value for key, value in model.state_dict().items() if "num_batches" not in key}, place.folder / f"{name}.safetensors")
        sets = ["network.input=[3,64,64]", 'preprocess={"scale":"byte","mean":[128,128,128],"std":[64,64,64]}', "training.schedule=constant",
                'training.optimizer={"sgd":{"momentum":0.9}}', "training.weight_decay=1e-4", "training.mirror=false", "training.augment=[]",
                'training.crop={"padded":{"pixels":0}}', "training.warmup_epochs=0", "training.label_smoothing=0",
                f"training.sync_batch_norm={str(name != 'plain').lower()}"]
        fixed = ["train", experiment, "--data", "set", "--weights", f"{name}.safetensors", "--classes", "classes.txt", "--device", "cpu",
                 "--epochs", STEPS, "--lr", RATES[name], "--quiet", *[word for change in sets for word in ("--set", change)]]
        one, two = f"{name}-1", f"{name}-2"
        place.run([], *fixed, "--out", one, "--batch-size", IMAGES)
        place.run(torchrun(2), *fixed, "--out", two, "--batch-size", IMAGES // 2)
        theirs = [place.folder / f"{name}-ddp-{count}.safetensors" for count in (1, 2)]
        for count, result in enumerate(theirs, 1):
            torch.multiprocessing.spawn(distributed, (count, place.folder, name, result), nprocs=count)
        of_one, of_two = map(load_file, theirs)
        start = load_file(place.folder / f"{name}.safetensors")
        print(f"{name}, {STEPS} steps: weights move by up to {difference(place.weights(two), start):.1e}")
        print(f"{name}, 2 x {IMAGES // 2} against 1 x {IMAGES}, both PyTorch's: {difference(of_two, of_one):.1e}")
        show(f"{name}, 2 x {IMAGES // 2} against 1 x {IMAGES}", difference(place.weights(two), place.weights(one)))
        show(f"{name}, 2 x {IMAGES // 2} against DistributedDataParallel", difference(place.weights(two), of_two))


def draw(place):
    if not (place.folder / "shapes").exists():
        place.run([], "shapes", "shapes", "--train", 17, "--val", 84, "--size", 40)
        for number in range(1, 8):
            (place.folder / f"shapes/val/ring/ring-{number:04}.jpg").unlink()


def evaluate(place):
    """1,001 images by one, two and three processes."""
    draw(place)
    place.run([], "train", *SMALL, "--data", "shapes", "--out", "evaluated", "--epochs", 1)
    counts = []
    for count in (1, 2, 3):
        place.run(torchrun(count), "eval", "evaluated", "--data", "shapes", "--json", "eval.json", "--device", "cpu", "--quiet")
        result = json.loads((place.folder / "eval.json").read_text())
        counts.append([round(result[key] * result["images"] / 100) for key in ("top1_error", "top5_error")])
        assert result["images"] == 1001
    print(f"wrong in top-1 and top-5 of 1001 images, by 1, 2 and 3 processes: {counts}")
    assert counts[0] == counts[1] == counts[2]


def variables(rank, port):
    return ONE_THREAD | {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_LOCALID": str(rank), "SLURM_JOB_NODELIST": "localhost",
                         "MASTER_PORT": str(port)}


def same_weights(place, run, other):
    return all((place.folder / run / file).read_bytes() == (place.folder / other / file).read_bytes()
               for file in ("last.safetensors", "best.safetensors"))


def pair(place, out, port):
    """Starts two processes under SLURM's variables."""
    arguments = place.command([], "train", *SMALL, *SHAPES, "--out", out, "--timeout", "30s")
    return [subprocess.Popen(arguments, cwd=place.folder, env=variables(rank, port), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for rank in range(2)]


def kill(place):
    """Ten times one of two processes is killed at a random moment."""
    draw(place)
    begun = time.monotonic()
    errors = [process.communicate()[1] for process in pair(place, "whole", 29549)]
    longest = time.monotonic() - begun
    assert (place.folder / "whole/last.safetensors").exists(), errors
    kills = 0
    for number in range(100):
        out, killed = f"killed-{number}", number % 2
        both = pair(place, out, 29550 + number)
        moment = random.uniform(0.1, 0.9) * longest
        time.sleep(moment)
        has_ended = both[killed].poll() is not None
        both[killed].kill()
        begun = time.monotonic()
        errors = [process.communicate()[1] for process in both]
        waited = time.monotonic() - begun
        if has_ended:
            continue
        kills += 1
        resumed = (place.folder / out / "last.safetensors").exists()
        # The second has no more to do while the first saves the end of the run.
        if both[1 - killed].returncode != 0:
            error = errors[1 - killed]
            assert both[1 - killed].returncode == 2 and (f"rank {killed} of 2 has ended" in error or "have not met" in error), error
        place.run(torchrun(2), "train", *SMALL, *SHAPES, "--out", out, *["--resume"] * resumed)
        assert same_weights(place, out, "whole"), out
        print(f"kill {kills}: rank {killed} after {moment:.1f} s, the other ended after {waited:.1f} s, {'resumed' if resumed else 'started again'}")
        if kills == 10:
            return
    raise AssertionError(f"only {kills} of 100 runs were killed before they ended")


def restart(place):
    """torchrun starts all again after one was killed, and they resume by themselves."""
    draw(place)
    place.run(torchrun(2), "train", *SMALL, *SHAPES, "--out", "undisturbed")
    process = place.start(torchrun(2, "--max-restarts", 2), "train", *SMALL, *SHAPES, "--out", "restarted")
    while not (place.folder / "restarted/last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0 and same_weights(place, "restarted", "undisturbed"), errors
    place.run(torchrun(2, "--max-restarts", 2), "train", *SMALL, *SHAPES, "--out", "restarted", status=1)
    assert same_weights(place, "restarted", "undisturbed")
    print("torchrun restarts a killed process, and the run resumes to the same weights; a run of before is left alone")


def unreadable(place):
    """An image that cannot be read is no failure to torchrun."""
    draw(place)
    shutil.copytree(place.folder / "shapes", place.folder / "damaged")
    (place.folder / "damaged/train/ring/ring-0003.jpg").write_text("no image")
    said = place.run(torchrun(2), "train", *SMALL, "--data", "damaged", "--out", "damaged-run", "--epochs", 1)
    assert said.count("ring-0003.jpg") == 1, said
    print("torchrun succeeds although an image cannot be read, which is named once")


def mpi(place):
    """Two processes under Open MPI."""
    if shutil.which("mpirun") is None:
        print("mpi: left out, as there is no mpirun")
        return
    draw(place)
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", 2]
    place.run(torchrun(2), "train", *SMALL, *SHAPES, "--out", "by-torchrun")
    place.run(mpirun, "train", *SMALL, *SHAPES, "--out", "by-mpirun")
    assert same_weights(place, "by-mpirun", "by-torchrun")
    print("mpirun -np 2: the weights of two processes under torchrun, to the bit")


PARTS = {part.__name__: part for part in (learn, evaluate, kill, restart, unreadable, mpi)}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for part in sys.argv[2:] or PARTS:
            PARTS[part](Place(sys.argv[1], folder))
