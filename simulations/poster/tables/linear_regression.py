"""The data of tables 1.0 and 2.0, and how hospitals train on them: full-batch linear regression by summed gradients.

The poster states neither; this definition, found by experiment, gives every value that it prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError

Floats = NDArray[np.float64]
Add = Callable[[Floats], Floats]
"""float64[hospitals, values] -> float64[values], the sum over hospitals: in the clear or under a protocol."""
Follow = Callable[[str, int, int], None]
"""Called with what is being done, and how far it is: (text, done, total)."""

TEST_ROWS = 50
LARGEST_WEIGHT = 1e9
"""A run whose weights pass it has diverged: the data's own scale is some hundreds."""


@dataclass(frozen=True, eq=False)
class Part:
    """One hospital's rows: features float64[rows, columns], target float64[rows]."""

    features: Floats
    target: Floats

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.target.ndim != 1 or len(self.features) != len(self.target):
            raise ConfigurationError(
                f"a hospital's features have shape {self.features.shape} and its target {self.target.shape}; both "
                "need as many rows"
            )

    def gradient(self, weights: Floats) -> Floats:
        """The gradient of half the squared error, summed over the rows: float64[columns]."""
        return np.asarray((self.features @ weights - self.target) @ self.features)

    def error(self, weights: Floats) -> float:
        """The mean squared error."""
        return float(np.mean((self.features @ weights - self.target) ** 2))


@dataclass(frozen=True, eq=False)
class Task:
    """Hospitals with as many rows each, and the rows on which all are tested."""

    parts: tuple[Part, ...]
    test: Part
    seed: int

    def __post_init__(self) -> None:
        counts, columns = ({part.features.shape[axis] for part in self.parts} for axis in (0, 1))
        if len(counts) > 1:
            raise ConfigurationError(f"hospitals have {sorted(counts)} rows; each must have as many as the others")
        if columns != {self.test.features.shape[1]}:
            raise ConfigurationError(
                f"hospitals have rows of {sorted(columns)} columns, and test rows {self.test.features.shape[1]}; both "
                "need as many columns"
            )

    @property
    def columns(self) -> int:
        """Weights of a model."""
        return int(self.test.features.shape[1])


@dataclass(frozen=True)
class Definition:
    """What a cell is: the error of hospitals that trained alone less that of hospitals that trained together.

    twice       hospital 1 is added twice to the sum, which is divided by the number of hospitals
    warm        the common training starts from each hospital's own weights, not from zero
    budget      a hospital alone trains so many times the iterations of the common training
    row_mean    a gradient is the mean over a hospital's rows, not their sum
    """

    name: str
    words: str
    twice: bool = False
    warm: bool = False
    budget: int = 1
    row_mean: bool = False


PUBLISHED = Definition("published", "hospital 1 counted twice, started from the local weights", twice=True, warm=True)
CORRECTED = Definition("corrected", "each hospital once, from zero, the same iterations alone and together")
LADDER = (
    PUBLISHED,
    Definition("once", "as published, each hospital counted once", warm=True),
    Definition("equal", "as published, twice the iterations for a hospital alone", twice=True, warm=True, budget=2),
    CORRECTED,
    Definition("row-mean", "corrected, gradients averaged over the rows", row_mean=True),
)
"""From the poster's definition to one that a gain of federating can be read from."""


@dataclass(frozen=True)
class Lane:
    """One training run of all hospitals; eta is the rate."""

    definition: Definition
    eta: float
    iterations: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.eta) and self.eta > 0):
            raise ConfigurationError(f"eta is {self.eta}; it must be a number above 0")
        if self.iterations < 1:
            raise ConfigurationError(f"iterations is {self.iterations}; it must be at least 1")


def task(hospitals: int, seed: int) -> Task:
    """scikit-learn's scaled diabetes data with a column of ones, permuted by `seed`: 50 test rows, the rest in order.

    Raises ConfigurationError where the 392 training rows do not give each hospital one, or for a seed out of range.
    """
    if not 0 <= seed < 2**32:
        raise ConfigurationError(f"seed is {seed}; it must lie between 0 and {2**32 - 1}")
    features, target = _diabetes()
    draws = np.random.RandomState(seed)
    order = draws.permutation(len(target))
    features, target = features[order], target[order]
    chosen = draws.choice(len(target), TEST_ROWS, replace=False)
    rest = np.setdiff1d(np.arange(len(target)), chosen)
    if not 1 <= hospitals <= len(rest):
        raise ConfigurationError(f"hospitals is {hospitals}; it must lie between 1 and {len(rest)}, the training rows")
    rows = len(rest) // hospitals
    indices = [rest[start * rows : (start + 1) * rows] for start in range(hospitals)]
    return Task(
        tuple(Part(features[index], target[index]) for index in indices), Part(features[chosen], target[chosen]), seed
    )


def _diabetes() -> tuple[Floats, Floats]:
    from sklearn.datasets import load_diabetes

    features, target = load_diabetes(return_X_y=True)
    return np.column_stack([features, np.ones(len(target))]), np.asarray(target, dtype=np.float64)


def alone(data: Task, lane: Lane) -> Floats:
    """Each hospital's weights after it trained alone from zero: float64[hospitals, columns]."""
    return _alone(data, lane, lane.iterations * lane.definition.budget)


def _alone(data: Task, lane: Lane, iterations: int) -> Floats:
    weights = np.zeros((len(data.parts), data.columns))
    for _ in range(iterations):
        weights = weights - lane.eta * _gradients(data, lane, weights)
        _check(weights, lane)
    return weights


def together(data: Task, lanes: Sequence[Lane], add: Add, follow: Follow) -> list[Floats]:
    """Each lane's weights after the common training, float64[hospitals, columns], each hospital's own.

    All lanes advance side by side: one call of `add` sums the gradients of every lane that has iterations left.
    Raises ConfigurationError for a lane that diverges.
    """
    hospitals = len(data.parts)
    weights = [
        _alone(data, lane, lane.iterations) if lane.definition.warm else np.zeros((hospitals, data.columns))
        for lane in lanes
    ]
    steps = max((lane.iterations for lane in lanes), default=0)
    for step in range(steps):
        follow("gradients summed", step, steps)
        live = [k for k, lane in enumerate(lanes) if step < lane.iterations]
        shares = [_gradients(data, lanes[k], weights[k]) * _times(lanes[k], hospitals) for k in live]
        sums = add(np.concatenate(shares, axis=1)).reshape(len(live), data.columns)
        for k, total in zip(live, sums, strict=True):
            weights[k] = weights[k] - lanes[k].eta * total / hospitals
            _check(weights[k], lanes[k])
    return weights


def _times(lane: Lane, hospitals: int) -> Floats:
    times = np.ones((hospitals, 1))
    times[0] += lane.definition.twice
    return times


def _gradients(data: Task, lane: Lane, weights: Floats) -> Floats:
    found = np.stack([part.gradient(own) for part, own in zip(data.parts, weights, strict=True)])
    return found / len(data.parts[0].target) if lane.definition.row_mean else found


def _check(weights: Floats, lane: Lane) -> None:
    if not np.all(np.abs(weights) < LARGEST_WEIGHT):
        raise ConfigurationError(
            f"eta is {lane.eta:g}: training diverges (a weight passed {LARGEST_WEIGHT:g}); use an eta below 2 "
            "over the largest eigenvalue of the summed rows' products"
        )


def gains(data: Task, lane: Lane, own: Floats, common: Floats) -> list[float]:
    """The cell of each hospital: error alone less error together, each rounded to two digits first, as the poster."""
    pairs = zip(own, common, strict=True)
    return [round(round(data.test.error(a), 2) - round(data.test.error(b), 2), 2) for a, b in pairs]
