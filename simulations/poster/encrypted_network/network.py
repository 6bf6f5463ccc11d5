"""Design B: a 3-4-1 network whose weights are encrypted, trained on rows that the hospital alone sees.

Full-batch gradient descent on the cross entropy: W -= eta X'(d w' * s'(XW)), w -= eta s(XW)'d, d = s(s(XW) w) - y, with
s a polynomial and s' its slope. Four exchanges with the key holder in an iteration, whatever the degree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError
from fedsec.simulations.poster.encrypted_network.key_holder import BLINDING
from fedsec.simulations.poster.encrypted_network.sigmoids import Sigmoid

Floats = NDArray[np.float64]
RATE_BITS = 16
"""Fractional bits of the rate: 0.5 is exact."""
LARGEST_FEATURE = 16
"""Features stay below 2 to this."""
NEAR = 0.01
"""By which part of itself a rate may be rounded."""
FEATURE_BITS = 16
"""Fractional bits of the features, where they are not whole numbers."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A hospital's rows: features float64[rows, inputs], rounded to 16 bits after the point, and labels 0.0 or 1.0."""

    features: Floats
    labels: Floats

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.labels.ndim != 1 or len(self.features) != len(self.labels):
            raise ConfigurationError(
                f"features have shape {self.features.shape} and labels {self.labels.shape}; both need as many rows"
            )
        largest = float(np.abs(self.features).max(initial=0.0))
        if not largest < 2**LARGEST_FEATURE:
            raise ConfigurationError(
                f"features: a value of magnitude {largest:.3g}; each must be finite and below {2**LARGEST_FEATURE}"
            )
        if not np.isin(self.labels, (0.0, 1.0)).all():
            raise ConfigurationError("labels: every value must be 0 or 1")
        object.__setattr__(self, "features", np.rint(self.features * 2.0**FEATURE_BITS) / 2.0**FEATURE_BITS)

    @property
    def bits(self) -> int:
        """Fractional bits that the features need: none for whole numbers."""
        return 0 if np.all(self.features == np.rint(self.features)) else FEATURE_BITS

    def take(self, indices: Sequence[int]) -> Rows:
        """These rows alone."""
        return Rows(self.features[list(indices)], self.labels[list(indices)])


XOR = Rows(np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float), np.array([0, 1, 1, 0], float))
"""Two bits and a one, and their exclusive or."""


@dataclass(frozen=True, eq=False)
class Weights:
    """float64[inputs, hidden] and float64[hidden]."""

    first: Floats
    second: Floats

    def flat(self) -> Floats:
        """All weights, the first layer's before the second's."""
        return np.concatenate([self.first.ravel(), self.second])


def start(inputs: int, hidden: int, seed: int) -> Weights:
    """Uniform in (-1, 1)."""
    draws = np.random.default_rng(seed)
    return Weights(draws.uniform(-1, 1, (inputs, hidden)), draws.uniform(-1, 1, hidden))


def predict(rows: Rows, weights: Weights, sigmoid: Sigmoid) -> Floats:
    """The network's outputs, in the clear."""
    with np.errstate(all="ignore"):
        return sigmoid(sigmoid(rows.features @ weights.first) @ weights.second)


@dataclass(frozen=True)
class Trained:
    """What training in the clear gave: the weights, and the largest size of a weight or of a sigmoid's argument."""

    weights: Weights
    largest: float


def train_plain(batches: Sequence[Rows], weights: Weights, sigmoid: Sigmoid, rate: float) -> Trained:
    """One step per batch, in floating point: the twin."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for rows in batches:
            z = rows.features @ weights.first
            hidden = sigmoid(z)
            out = hidden @ weights.second
            error = sigmoid(out) - rows.labels
            for values in (z, out, weights.first, weights.second, hidden, sigmoid.derivative(z), error):
                largest = max(largest, float(np.max(np.abs(values))))
            if not math.isfinite(largest):
                return Trained(weights, math.inf)
            inner = error[:, None] * weights.second * sigmoid.derivative(z)
            weights = Weights(weights.first - rate * rows.features.T @ inner, weights.second - rate * hidden.T @ error)
    return Trained(weights, largest)


@dataclass(frozen=True)
class Plan:
    """The fixed point of a run.

    precision   bits after the point of what is exchanged
    whole       bits before it: weights, arguments, activations and slopes stay below 2^whole
    """

    sigmoid: Sigmoid
    rate: float
    precision: int = 40
    whole: int = 5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ConfigurationError(f"eta is {self.rate}; it must be a number above 0")
        if not 1 <= self.precision <= 60 or not 1 <= self.whole <= 30:
            raise ConfigurationError(
                f"precision is {self.precision} and whole is {self.whole} bits; they must lie in 1..60 and in 1..30"
            )
        if abs(self.step - self.rate) > NEAR * self.rate:
            raise ConfigurationError(
                f"eta is {self.rate:g}; at {RATE_BITS} bits after the point it rounds to {self.step:.3g}, more than "
                f"{NEAR:.0%} off: take a larger one, or a multiple of {2.0**-RATE_BITS:.3g}"
            )

    @property
    def eta(self) -> int:
        """The rate, as it is multiplied by."""
        return round(self.rate * 2.0**RATE_BITS)

    @property
    def step(self) -> float:
        """The rate, rounded as that is."""
        return float(self.eta / 2**RATE_BITS)

    @property
    def coefficient_bits(self) -> int:
        """Bits after the point of a coefficient: its rounding is multiplied by the power that it belongs to."""
        return self.precision + self.whole * (self.sigmoid.degree - 1)

    def scale(self, slope: bool = False) -> int:
        """Bits after the point of a polynomial's exact value."""
        return self.precision * (self.sigmoid.degree - slope) + self.coefficient_bits

    def check(self, plaintext_bits: int, largest: float) -> None:
        """Raise ConfigurationError where a value overflows: the plaintext, or the bits before the point."""
        needed = self.scale() + self.whole + BLINDING + 2
        if needed > plaintext_bits:
            raise ConfigurationError(
                f"precision is {self.precision} bits: a sigmoid of degree {self.sigmoid.degree} then needs {needed} "
                f"bits, which overflows the plaintext, of {plaintext_bits}; use less precision, a lower degree or a "
                "larger key"
            )
        if not largest < 2**self.whole:
            raise ConfigurationError(
                f"training passes {largest:.3g}, which overflows the fixed point: it holds values below "
                f"{2**self.whole}; use more bits before the point, a smaller eta, fewer iterations or another "
                "sigmoid"
            )

    def coefficients(self, slope: bool = False) -> list[int]:
        """The polynomial's, each at the scale at which its power of an argument gives `scale`."""
        found = self.sigmoid.slope if slope else self.sigmoid.coefficients
        degree, bits = len(found) - 1, self.precision
        return [round(c * 2.0**self.coefficient_bits) << (bits * (degree - k)) for k, c in enumerate(found)]
