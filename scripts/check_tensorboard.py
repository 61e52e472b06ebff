"""Reads the event files of a run with TensorBoard's own reader, and compares them with the rest of the run folder.

    python3 scripts/check_tensorboard.py RUN

RUN was trained with `--set 'training.log=["tensorboard"]'` from its beginning. Every scalar is the number of log.jsonl, in
32 bits, and there is no other one; each epoch has a histogram of each trained tensor that counts all its values, and an
image of the confusion matrix that Pillow reads; the last histograms are numpy's of the weights in last.safetensors. Prints
what there is and what is wrong, and fails if anything is.

Run with tensorboard 2.21, safetensors, numpy and Pillow.
"""

import io
import json
import pathlib
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SCALARS = {
    "step": {"training/loss": "loss", "training/learning_rate": "rate"},
    "epoch": {"training/epoch_loss": "training_loss", "validation/loss": "loss", "validation/top1_error": "top1_error",
              "validation/top5_error": "top5_error"},
}
AVERAGED = {f"averaged/{name}": name for name in ["loss", "top1_error", "top5_error"]}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def expected(lines):
    """By tag: the steps and the numbers of the log."""
    found = {}
    for line in lines:
        of_line = {tag: line.get(name) for tag, name in SCALARS.get(line["kind"], {}).items()}
        of_line |= {tag: line.get("averaged", {}).get(name) for tag, name in AVERAGED.items()}
        for tag, number in of_line.items():
            if number is not None:
                found.setdefault(tag, []).append((line["step"], np.float32(number)))
    return found


def check_histograms(events, weights, epochs, wrong):
    parameters = 0
    for name, values in weights.items():
        values = values.astype(np.float64).ravel()
        histograms = events.Histograms(f"weights/{name}")
        if [it.step for it in histograms] != epochs:
            wrong.append(f"{name}: histograms at steps {[it.step for it in histograms]}")
        for it in histograms:
            found = it.histogram_value
            if found.num != values.size or sum(found.bucket) != values.size:
                wrong.append(f"{name}, step {it.step}: {found.num} values, {sum(found.bucket)} in buckets of {values.size}")
        last = histograms[-1].histogram_value
        parameters += int(last.num)
        if [last.min, last.max] != [values.min(), values.max()]:
            wrong.append(f"{name}: from {last.min} to {last.max} instead of {values.min()} to {values.max()}")
        if not np.allclose([last.sum, last.sum_squares], [values.sum(), values @ values], rtol=1e-9, atol=1e-9):
            wrong.append(f"{name}: sums {last.sum}, {last.sum_squares} instead of {values.sum()}, {values @ values}")
        if values.min() < values.max():
            counts, limits = np.histogram(values, bins=64)
            if not np.allclose(last.bucket_limit, limits) or last.bucket != [0, *counts]:
                wrong.append(f"{name}: buckets {last.bucket} instead of {counts}")
    print(f"histograms of {len(weights)} tensors with {parameters} parameters at {len(epochs)} epochs")


def check_images(events, epochs, wrong):
    images = events.Images("validation/confusion")
    if [it.step for it in images] != epochs:
        wrong.append(f"images at steps {[it.step for it in images]}")
    for it in images:
        with Image.open(io.BytesIO(it.encoded_image_string)) as image:
            image.load()
            if image.size != (it.width, it.height) or image.mode != "RGB" or max(image.size) > 512:
                wrong.append(f"image of step {it.step}: {image.mode}, {image.size}, said to be {it.width}x{it.height}")
    print(f"{len(images)} images of the confusion matrix, {images[-1].width}x{images[-1].height}")


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    events.Reload()
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    epochs = [line["step"] for line in lines if line["kind"] == "epoch"]
    frozen = json.loads((run / "experiment.json").read_text())["training"]["freeze"]
    is_frozen = lambda name: any(name.startswith(f"{layer}.") for layer in frozen)
    weights = {name: values for name, values in load_file(run / "last.safetensors").items()
               if not name.endswith(STATISTICS) and not is_frozen(name)}
    wrong = []

    log, tags = expected(lines), events.Tags()
    for tag in sorted(set(log) | set(tags["scalars"])):
        found = [(it.step, np.float32(it.value)) for it in events.Scalars(tag)] if tag in tags["scalars"] else []
        print(f"{tag}: {len(found)} numbers")
        if found != log.get(tag, []):
            wrong.append(f"{tag}: {found} instead of {log.get(tag, [])}")
    if set(tags["histograms"]) != {f"weights/{name}" for name in weights}:
        wrong.append(f"histograms of {tags['histograms']} instead of {list(weights)}")
    else:
        check_histograms(events, weights, epochs, wrong)
    check_images(events, epochs, wrong)

    print("\n".join(wrong) if wrong else "all agree with the run")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
