"""Makes tests/fixtures/metrics.json: intervals and tests by scipy, calibration errors by torchmetrics.

Probabilities are computed by a formula in whole numbers, which tests/metrics.rs repeats.

Run with scipy 1.17 and torchmetrics 1.9: python3 scripts/make_metric_fixtures.py
"""

import json
import pathlib

import torch
from scipy.stats import binomtest
from torchmetrics.functional.classification import multiclass_calibration_error

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/metrics.json"
ERRORS = [(0, 1), (1, 1), (0, 10), (10, 10), (1, 10), (3, 7), (57, 3925), (0, 50_000), (50_000, 50_000), (1, 50_000),
          (12_090, 50_000), (3_570, 50_000), (49_999, 50_000)]
# Images that only one model gets right, and that only the other one does.
PAIRS = [(1, 0), (0, 6), (5, 5), (5, 6), (3, 12), (12, 3), (17, 40), (200, 260), (1_000, 1_001), (2_480, 2_710), (0, 900),
         (20_000, 20_500), (24_000, 26_000), (500_000, 501_500)]
BATCHES = [{"images": 1, "classes": 3, "sharpness": 1}, {"images": 400, "classes": 10, "sharpness": 6},
           {"images": 5_000, "classes": 6, "sharpness": 2}, {"images": 1_000, "classes": 4, "sharpness": 60}]


def batch(images, classes, sharpness):
    """Probabilities of shape (images, classes) and labels: weights from a multiplicative generator, the first one raised."""
    state, rows, labels = 8, [], []
    for image in range(images):
        weights = []
        for _ in range(classes):
            state = state * 48271 % 2147483647
            weights.append(1 + state % 10_007)
        weights[image % classes] *= 1 + image % 13 * sharpness
        if image % 10 == 9:
            weights = [int(index == image % classes) for index in range(classes)]
        state = state * 48271 % 2147483647
        labels.append(image % classes if state % 100 < 70 else state % classes)
        rows.append([weight / sum(weights) for weight in weights])
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)


def main():
    intervals = []
    for wrong, images in ERRORS:
        interval = binomtest(wrong, images).proportion_ci(confidence_level=0.95, method="wilson")
        intervals.append({"wrong": wrong, "images": images, "low": interval.low, "high": interval.high})
    tests = [{"only": pair, "probability": binomtest(pair[0], sum(pair), 0.5).pvalue} for pair in PAIRS]
    calibrations = []
    for case in BATCHES:
        probabilities, labels = batch(**case)
        # torchmetrics' own bounds are a rounding error off, which must not decide about any image.
        tops = probabilities.max(1).values
        bounds = (torch.arange(1, 15) / 15)[:, None]
        assert (tops - bounds).abs().min() > 1e-6, "another batch is needed"
        error = multiclass_calibration_error(probabilities, labels, case["classes"], n_bins=15, norm="l1")
        calibrations.append({**case, "error": error.item()})
    fixture = {"intervals": intervals, "tests": tests, "calibrations": calibrations}
    OUT.write_text(json.dumps(fixture, indent=1) + "\n")


if __name__ == "__main__":
    main()
