"""The network that is trained with shares: its shape, the weights that it starts from, and its quality in doubles.

Weights start from a normal distribution of the seed. Gradients are summed over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fedsec.errors import ConfigurationError
from fedsec.mpc.gradient_descent import Network
from fedsec.mpc.ring_fixed_point import Fixed, Floats
from fedsec.simulations.poster.shared_training import sigmoid_approximations
from fedsec.simulations.poster.shared_training.training_data import Rows

HIDDEN = 4
RATE = 2.0**-10


def widths(layers: int, columns: int = 11, hidden: int = HIDDEN) -> tuple[int, ...]:
    """Of a network of 1, 2 or 3 layers of weights."""
    if not 1 <= layers <= 3:
        raise ConfigurationError(f"layers is {layers}; it must be 1, 2 or 3")
    return (columns, *[hidden] * (layers - 1), 1)


def network(
    layers: int, activation: str, rate: float = RATE, bits: int = 16, hidden: int = HIDDEN, columns: int = 11
) -> Network:
    """The network of so many layers under a named activation."""
    return Network(widths(layers, columns, hidden), sigmoid_approximations.design(activation), rate, Fixed(bits))


def initial(shapes: Sequence[tuple[int, int]], seed: int) -> list[Floats]:
    """Weights before training, from the standard normal distribution."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def predict(weights: Sequence[Floats], features: Floats, value: Callable[[Floats], Floats]) -> Floats:
    """The network's outputs in doubles, as float64[rows, 1]."""
    with np.errstate(over="ignore", invalid="ignore"):
        for matrix in weights:
            features = value(features @ matrix)
    return features


def accuracy(weights: Sequence[Floats], rows: Rows, value: Callable[[Floats], Floats]) -> float:
    """The part of the test rows on the right side of 1/2."""
    return float(((predict(weights, rows.test_features, value) > 0.5) == (rows.test_target > 0.5)).mean())


def loss(weights: Sequence[Floats], rows: Rows, value: Callable[[Floats], Floats]) -> float:
    """The mean squared error over the training rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.square(predict(weights, rows.features, value) - rows.target).mean())


def largest(weights: Sequence[Floats]) -> float:
    """The largest weight's magnitude."""
    return max(float(np.abs(matrix).max()) for matrix in weights)
