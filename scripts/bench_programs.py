"""Whole programs on files: topfive against the loop around torchvision that its references and most users write.

    python scripts/bench_programs.py TOPFIVE PHOTOGRAPHS [ROW...]

TOPFIVE is the built program; scripts/bench builds it. PHOTOGRAPHS is any folder of photographs; they are linked as often as
a row needs images. Each row runs the programs in turns, three times (TOPFIVE_BENCH_ROUNDS), from a warm disk; the table has
the medians of the images per second from start to end, and the greatest memory of a program and its workers. The loop in
Python uses ImageFolder, a DataLoader with the number of workers that is fastest, channels-last maps, and random weights
that both programs read from one file.
"""

import datetime
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

THREADS = int(os.environ.get("TOPFIVE_BENCH_THREADS", "2"))
ROUNDS = int(os.environ.get("TOPFIVE_BENCH_ROUNDS", "3"))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What, network, images, for topfive and for torchvision.
ROWS = {
    "eval-resnet34": ("eval", "resnet34", "resnet34", 500),
    "eval-googlenet": ("eval", "googlenet-bn", "googlenet", 500),
    "ten-crop-resnet34": ("ten-crop", "resnet34", "resnet34", 60),
    "ten-crop-googlenet": ("ten-crop", "googlenet-bn", "googlenet", 60),
    "predict-resnet34": ("predict", "resnet34", "resnet34", 1),
    "train-alexnet": ("train", "alexnet-owt", "alexnet", 500),
    "train-resnet34": ("train", "resnet34", "resnet34", 200),
}
WORKERS = [0, 1, 2]
BATCH = 16


def model_of(network):
    import torch
    import torchvision

    torch.manual_seed(0)
    settings = {"aux_logits": False, "init_weights": False} if network == "googlenet" else {}
    return torchvision.models.get_model(network, weights=None, **settings)


def python(work, network, weights, data, workers):
    """The loop in Python, as a program of its own."""
    import torch
    from PIL import Image
    from torchvision import datasets, transforms

    torch.set_num_threads(THREADS)
    model = model_of(network)
    model.load_state_dict(torch.load(weights))
    model = model.to(memory_format=torch.channels_last)
    as_tensor = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if work == "predict":
        model.eval()
        preset = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), *as_tensor])
        image = next(path for path in pathlib.Path(data).rglob("*.jpg"))
        with torch.no_grad():
            print(model(preset(Image.open(image).convert("RGB")).unsqueeze(0)).softmax(1).topk(5))
        return
    if work == "train":
        preset = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *as_tensor]
    elif work == "ten-crop":
        stack = transforms.Lambda(lambda crops: torch.stack([transforms.Compose(as_tensor)(crop) for crop in crops]))
        preset = [transforms.Resize(256), transforms.TenCrop(224), stack]
    else:
        preset = [transforms.Resize(256), transforms.CenterCrop(224), *as_tensor]
    images = datasets.ImageFolder(data, transforms.Compose(preset))
    batch = 2 if work == "ten-crop" else BATCH
    loader = torch.utils.data.DataLoader(images, batch, shuffle=work == "train", num_workers=int(workers))
    if work == "train":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
        for inputs, labels in loader:
            loss = torch.nn.functional.cross_entropy(model(inputs.to(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return
    model.eval()
    wrong = 0
    with torch.inference_mode():
        for inputs, labels in loader:
            crops = inputs.flatten(0, -4).to(memory_format=torch.channels_last)
            logits = model(crops).view(len(labels), -1, 1000).softmax(2).mean(1)
            wrong += int((logits.argmax(1) != labels).sum())
    print(wrong)


def family(process):
    """A process and its children, as far as they still run."""
    pids = [process]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                pids += map(int, file.read().split())
        except OSError:
            pass
    return pids


def megabytes(pid):
    """The memory of a process that it shares with no other."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            lines = dict(line.split(":") for line in file if line.startswith("Pss:"))
        return int(lines["Pss"].split()[0]) / 1024
    except (OSError, KeyError):
        return 0


def timed(command, environment):
    """Seconds from start to end, and the greatest memory in megabytes."""
    begun, most, ended = time.perf_counter(), [0.0], threading.Event()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def watch():
        while not ended.wait(0.2):
            most[0] = max(most[0], sum(megabytes(pid) for pid in family(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    seconds = time.perf_counter() - begun
    ended.set()
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{errors}")
    return seconds, most[0]


def link(photographs, folder, count):
    """Links so many photographs, in a folder per class that ImageNet's weights know."""
    for number in range(count):
        path = photographs[number % len(photographs)]
        target = folder / path.name.split("_")[0] / f"{number:05}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())


def commands(topfive, row, folder, weights):
    work, ours, theirs, _ = ROWS[row]
    data = str(folder / "val") if work != "train" else str(folder)
    threads = ["--threads", str(THREADS), "--device", "cpu", "--quiet"]
    if work == "train":
        run = tempfile.mkdtemp(dir=folder.parent)
        own = ["train", ours, "--data", data, "--out", f"{run}/run", "--epochs", "1", "--batch-size", str(BATCH), "--lr", "1e-4"]
    elif work == "predict":
        own = ["predict", ours, "--weights", weights, str(next((folder / "val").rglob("*.jpg")))]
    else:
        views = ["--views", "ten-crop" if work == "ten-crop" else "center"]
        own = ["eval", ours, "--weights", weights, "--data", data, *views]
    workers = [0] if work == "predict" else WORKERS
    loop = [sys.executable, __file__, "loop", work, theirs, weights, str(folder / ("train" if work == "train" else "val"))]
    return [topfive, *own, *threads], {count: [*loop, str(count)] for count in workers}


def main(topfive, photographs, rows):
    import torch

    photographs = sorted(path for path in pathlib.Path(photographs).iterdir() if path.suffix.lower() in (".jpeg", ".jpg"))
    with open("/proc/cpuinfo") as file:
        processor = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    print(f"Images per second of whole programs, and their memory; {THREADS} threads, {processor}, {datetime.date.today()};")
    print(f"medians of {ROUNDS} runs in turns.\n")
    print("| | topfive | torchvision (workers) | ratio | topfive, MB | torchvision, MB |\n|--|--|--|--|--|--|")
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    for row in rows:
        with tempfile.TemporaryDirectory() as place:
            work, _, theirs, count = ROWS[row]
            folder, weights = pathlib.Path(place) / "data", f"{place}/weights.pth"
            link(photographs, folder / ("train" if work == "train" else "val"), count)
            if work == "train":
                link(photographs, folder / "val", len(photographs))
            torch.save(model_of(theirs).state_dict(), weights)
            # One run of each number of workers; the fastest is compared.
            _, loops = commands(topfive, row, folder, weights)
            first = {workers: timed(loop, environment)[0] for workers, loop in loops.items()}
            best = min(first, key=first.get)
            figures = {"topfive": [], "torchvision": []}
            for _ in range(ROUNDS):
                own, _ = commands(topfive, row, folder, weights)
                figures["topfive"].append(timed(own, environment))
                figures["torchvision"].append(timed(loops[best], environment))
            speeds, memories = (
                [statistics.median(run[which] for run in figures[name]) for name in figures] for which in (0, 1)
            )
            ours, other = (count / seconds for seconds in speeds)
            print(f"| {row} | {ours:.1f} | {other:.1f} ({best}) | {ours / other:.2f} | {memories[0]:.0f} | {memories[1]:.0f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "loop":
        python(*sys.argv[2:])
    else:
        unknown = [row for row in sys.argv[3:] if row not in ROWS]
        if unknown:
            sys.exit(f"{', '.join(unknown)}: expected some of {', '.join(ROWS)}")
        main(sys.argv[1], sys.argv[2], sys.argv[3:] or list(ROWS))
