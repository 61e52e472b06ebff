#!/usr/bin/env python3
"""Writes tests/fixtures/lighting: images of different sizes, and the mean, deviation and principal components of their
colours as numpy computes them. Every image counts the same, whatever its size.

Needs numpy and Pillow."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent.parent / "tests/fixtures/lighting"

FOLDER.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(0)
mean, second = np.zeros(3), np.zeros((3, 3))
sizes = [(40, 30), (16, 16), (7, 51), (64, 9)]
for index, (width, height) in enumerate(sizes):
    # Colours that depend on each other, as those of photographs do.
    brightness = random.normal(120 + 20 * index, 50, (height, width, 1))
    tint = random.normal(0, 15, (height, width, 3)) + [12 * index, -5, 3]
    image = np.clip(brightness * [1.0, 0.9, 1.1] + tint, 0, 255).astype(np.uint8)
    Image.fromarray(image).save(FOLDER / f"{index}.png")
    pixels = image.reshape(-1, 3) / 255
    mean += pixels.mean(axis=0) / len(sizes)
    second += pixels.T @ pixels / len(pixels) / len(sizes)
covariance = second - np.outer(mean, mean)
values, vectors = np.linalg.eigh(covariance)
values, vectors = values[::-1], vectors[:, ::-1]
largest = np.abs(vectors).argmax(axis=0)
vectors = vectors * np.sign(vectors[largest, np.arange(3)])
found = {
    "mean": mean.tolist(),
    "std": np.sqrt(np.diag(covariance)).tolist(),
    "eigenvalues": values.tolist(),
    "eigenvectors": vectors.tolist(),
}
(FOLDER / "expected.json").write_text(json.dumps(found, indent=1) + "\n")
