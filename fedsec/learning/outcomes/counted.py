"""A count: Poisson regression, whose score is the logarithm of the expected count over the mean count of all rows.

A count over its mean has the same gradients in every unit, and the same optimum, as the likelihood of counts is the
same but for a factor (McCullagh and Nelder, Generalized Linear Models, 1989, chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.learning.outcomes.outcome import STEEPEST, Outcome, share


def _expected(score: Floats) -> Floats:
    return np.exp(np.minimum(score, STEEPEST))


def _xlogx(target: Floats) -> Floats:
    return target * np.log(np.where(target > 0.0, target, 1.0))


def _deviance(score: Floats, target: Floats) -> Floats:
    """2 (y log(y / mu) - (y - mu)), which is 0 where a row is predicted exactly."""
    return 2.0 * (_xlogx(target) - target * score - target + _expected(score))


@dataclass(frozen=True)
class Count(Outcome):
    """Half the deviance per row; the means of the count, of y log y, of what is expected, and of the squared error."""

    task: ClassVar[Task] = "count"
    rate: ClassVar[float] = 0.01
    measure: ClassVar[str] = "d2"

    def loss(self, score: Floats, target: Floats) -> Floats:
        return _deviance(score, target) / 2.0

    def slope(self, score: Floats, target: Floats) -> Floats:
        return np.where(score < STEEPEST, _expected(score) - target, np.exp(STEEPEST))

    def predict(self, score: Floats) -> Floats:
        return _expected(score)

    def compared(self, score: Floats, target: Floats, counts: Floats | None = None) -> Any:
        """d2: the share of the deviance from the mean count that the model explains (its R2)."""
        weight = np.ones(len(target)) if counts is None else counts
        rows = weight.sum(axis=-1)
        return _explained(
            (weight * _deviance(score, target)).sum(axis=-1) / rows,
            (weight * target).sum(axis=-1) / rows,
            (weight * _xlogx(target)).sum(axis=-1) / rows,
        )

    def per_row(self, score: Floats, target: Floats, cut: float = 0.0) -> dict[str, NDArray[Any]]:
        expected = _expected(score)
        return {
            "target_mean": target,
            "target_log": _xlogx(target),
            "expected_mean": expected,
            "squared_error": np.square(expected - target),
        }

    def quality(self, means: Mapping[str, Any], target_scale: float = 1.0) -> dict[str, float]:
        """rmse in counts, d2 as `compared` has it, and how many are observed for each that is expected."""
        return {
            "rmse": float(math.sqrt(max(means["squared_error"], 0.0)) * target_scale),
            "d2": float(_explained(2.0 * means["loss"], means["target_mean"], means["target_log"])),
            "observed_to_expected": share(means["target_mean"], means["expected_mean"]),
        }


def _explained(deviance: Any, mean: Any, logs: Any) -> Any:
    """1 - deviance / (deviance from the mean); NaN where all counts are alike."""
    mean = np.asarray(mean, np.float64)
    whole = 2.0 * (logs - mean * np.log(np.where(mean > 0.0, mean, 1.0)))
    known = whole > 1e-12
    return np.where(known, 1.0 - deviance / np.where(known, whole, 1.0), math.nan)[()]
