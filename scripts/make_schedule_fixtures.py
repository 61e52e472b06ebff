"""Makes tests/fixtures/schedules.json: the learning rate of every schedule in every step, from torch.optim.lr_scheduler.

Each entry holds an experiment's `training` section, the steps of an epoch and PyTorch's rates; a plateau also holds the
validation errors, one per epoch. A warm-up is a LinearLR before the schedule (SequentialLR).

Run with torch 2.11: python3 scripts/make_schedule_fixtures.py
"""

import json
import pathlib
import warnings

import torch
from torch.optim import lr_scheduler as S

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/schedules.json"
EPOCHS, STEPS, RATE = 6, 11, 0.1
TOTAL = EPOCHS * STEPS
# An error that falls, stands still, wavers and falls again.
ERRORS = [90.0, 80.0, 80.0, 79.999, 81.0, 70.0, 71.0, 72.0, 70.0, 70.5, 69.0, 69.0, 69.0, 69.0, 69.0, 60.0, 61.0, 62.0, 63.0, 64.0]


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], RATE, momentum=0.9)


def rates(make, warmup_epochs=0, total=TOTAL, steps=STEPS):
    """The rate of each step of a schedule that takes a step itself after every step of the optimiser."""
    sgd = optimizer()
    warmup = round(warmup_epochs * steps)
    if warmup:
        rise = S.LinearLR(sgd, 1 / warmup, 1.0, total_iters=warmup - 1)
        schedule = S.SequentialLR(sgd, [rise, make(sgd, total - warmup)], [warmup])
    else:
        schedule = make(sgd, total)
    found = []
    for _ in range(total):
        found.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    return found


def entry(schedule, make, warmup_epochs=0):
    training = {"epochs": EPOCHS, "learning_rate": RATE, "warmup_epochs": warmup_epochs, "schedule": schedule}
    return {"training": training, "steps_per_epoch": STEPS, "rates": rates(make, warmup_epochs)}


def plateau(patience, factor, floor):
    sgd = optimizer()
    schedule = S.ReduceLROnPlateau(sgd, factor=factor, patience=patience, min_lr=floor * RATE)
    found = []
    for error in ERRORS:
        found += [sgd.param_groups[0]["lr"]] * STEPS
        schedule.step(error)
    training = {"epochs": len(ERRORS), "learning_rate": RATE,
                "schedule": {"plateau": {"patience": patience, "factor": factor, "floor": floor}}}
    return {"training": training, "steps_per_epoch": STEPS, "rates": found, "errors": ERRORS}


def main():
    warnings.simplefilter("ignore")
    entries = [
        entry("constant", lambda sgd, total: S.ConstantLR(sgd, 1.0)),
        entry("constant", lambda sgd, total: S.ConstantLR(sgd, 1.0), 2),
        entry("cosine", lambda sgd, total: S.CosineAnnealingLR(sgd, total)),
        entry({"cosine": {"floor": 0.01}}, lambda sgd, total: S.CosineAnnealingLR(sgd, total, 0.01 * RATE), 1),
        entry({"step": {"every": 2, "factor": 0.1}}, lambda sgd, total: S.StepLR(sgd, 2 * STEPS, 0.1)),
        entry({"milestones": {"at": [2, 5], "factor": 0.3}}, lambda sgd, total: S.MultiStepLR(sgd, [2 * STEPS, 5 * STEPS], 0.3)),
        entry({"polynomial": {"power": 0.5}}, lambda sgd, total: S.PolynomialLR(sgd, total, 0.5)),
        entry({"polynomial": {"power": 2}}, lambda sgd, total: S.PolynomialLR(sgd, total, 2), 1),
        entry({"exponential": {"factor": 0.7}}, lambda sgd, total: S.ExponentialLR(sgd, 0.7 ** (1 / STEPS))),
        entry({"exponential": {"factor": 0.7}}, lambda sgd, total: S.ExponentialLR(sgd, 0.7 ** (1 / STEPS)), 2),
        entry("one_cycle", lambda sgd, total: S.OneCycleLR(sgd, RATE, total)),
        entry({"one_cycle": {"peak": 0.45, "start_divisor": 10, "end_divisor": 100}},
              lambda sgd, total: S.OneCycleLR(sgd, RATE, total, pct_start=0.45, div_factor=10, final_div_factor=100)),
        plateau(0, 0.5, 0.0),
        plateau(2, 0.1, 0.005),
        plateau(3, 0.1, 0.0),
    ]
    OUT.write_text(json.dumps(entries, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
