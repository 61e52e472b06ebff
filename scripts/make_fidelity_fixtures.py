"""Makes tests/fixtures/fidelity.json: Fréchet distances by scipy, and precision and recall by numpy from the paper's equations.

Features are computed by a formula, which stands in tests/common/formula.rs too, so the fixture holds none.

Run with numpy 2.3 and scipy 1.17: python3 scripts/make_fidelity_fixtures.py
"""

import json
import pathlib

import numpy
from make_parity_fixtures import noise
from scipy.linalg import sqrtm

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/fidelity.json"
# How many images are real and made, how many features they have, and how many of these can differ from 0 (all, if none is
# named). Made features are those of other images times `scale`, moved by `shift`.
CASES = [
    {"name": "more images than features", "real": 90, "made": 70, "features": 6, "scale": 1.0, "shift": 0.0},
    {"name": "less variety", "real": 90, "made": 70, "features": 6, "scale": 0.3, "shift": 0.1},
    {"name": "far away", "real": 40, "made": 40, "features": 12, "scale": 1.0, "shift": 5.0},
    {"name": "fewer images than features", "real": 20, "made": 30, "features": 48, "scale": 0.8, "shift": 0.2},
    {"name": "fewer made images than features", "real": 120, "made": 10, "features": 32, "scale": 1.0, "shift": 0.0},
    {"name": "dead features", "real": 60, "made": 60, "features": 16, "alive": 5, "scale": 0.7, "shift": 0.1},
    {"name": "several blocks", "real": 1300, "made": 1100, "features": 8, "scale": 0.9, "shift": 0.2},
]
NEIGHBOURS = 3


def features(case, kind):
    """(images, features); the one half of the features is mixed with the other, so that they covary."""
    shape = case[kind], case["features"]
    values = noise(f"{case['name']}, {kind}", shape[0] * shape[1]).reshape(shape)
    values = values + 0.5 * numpy.roll(values, 1, axis=1)
    values[:, case.get("alive", shape[1]):] = 0
    return values if kind == "real" else case["scale"] * values + case["shift"] * (values != 0)


def frechet(real, made):
    """Heusel et al., arXiv:1706.08500, equation 6."""
    covariances = [numpy.cov(features, rowvar=False) for features in (real, made)]
    root = sqrtm(covariances[0] @ covariances[1])
    difference = real.mean(0) - made.mean(0)
    return difference @ difference + numpy.trace(covariances[0] + covariances[1] - 2 * numpy.real(root))


def share_within(images, others):
    """Kynkäänniemi et al., arXiv:1904.06991, equations 1 and 2."""
    norm = numpy.linalg.norm
    radii = [numpy.sort(norm(others - other, axis=1))[NEIGHBOURS] for other in others]
    return float(numpy.mean([(norm(others - image, axis=1) <= radii).any() for image in images]))


def main():
    cases = []
    for case in CASES:
        real, made = features(case, "real"), features(case, "made")
        cases.append({**case, "frechet": frechet(real, made), "precision": share_within(made, real),
                      "recall": share_within(real, made)})
    OUT.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
