"""The same descent in doubles with the exact sigmoid, compiled: what training on shares is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsec.mpc.ring_fixed_point import Floats
from fedsec.primitives.mersenne import jit


@jit
def _plain(x: Floats, y: Floats, widths: Any, flat: Floats, rate: float, steps: int) -> None:
    layers, widest = widths.size - 1, widths.max()
    out, delta = np.zeros((layers, widest)), np.zeros((layers, widest))
    for _ in range(steps):
        gradient = np.zeros(flat.size)
        for row in range(y.size):
            start = 0
            for layer in range(layers):
                for j in range(widths[layer + 1]):
                    z = 0.0
                    for k in range(widths[layer]):
                        source = x[row, k] if layer == 0 else out[layer - 1, k]
                        z += source * flat[start + k * widths[layer + 1] + j]
                    out[layer, j] = 1.0 / (1.0 + np.exp(-z))
                start += widths[layer] * widths[layer + 1]
            a = out[layers - 1, 0]
            delta[layers - 1, 0] = (a - y[row]) * a * (1.0 - a)
            for layer in range(layers - 1, -1, -1):
                start -= widths[layer] * widths[layer + 1]
                for k in range(widths[layer]):
                    source, back = x[row, k] if layer == 0 else out[layer - 1, k], 0.0
                    for j in range(widths[layer + 1]):
                        index = start + k * widths[layer + 1] + j
                        gradient[index] += source * delta[layer, j]
                        back += delta[layer, j] * flat[index]
                    if layer > 0:
                        delta[layer - 1, k] = back * source * (1.0 - source)
        flat -= rate * gradient


def descend(weights: Sequence[Floats], features: Floats, target: Floats, rate: float, steps: int) -> list[Floats]:
    """New weights after so many steps of plain descent in doubles with the exact sigmoid."""
    flat = np.concatenate([matrix.reshape(-1) for matrix in weights])
    shape = np.array([weights[0].shape[0], *[matrix.shape[1] for matrix in weights]], np.int64)
    _plain(features, target.reshape(-1), shape, flat, rate, steps)
    parts = np.split(flat, np.cumsum([matrix.size for matrix in weights])[:-1])
    return [part.reshape(matrix.shape) for part, matrix in zip(parts, weights, strict=True)]
