"""What a task makes of a model's scores: the loss, its slope, the prediction, and what hospitals add up."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.data.label import Task

STEEPEST = 20.0
"""The logarithm of a count over the mean count, or of a hazard, counts as this large at most."""


@dataclass(frozen=True)
class Outcome(ABC):
    """One task. A score is float64[rows], or float64[rows, outputs] where a row has several.

    outputs: scores of a row. rate: the default step size of SGD, for batches of 16. measure: the figure that models
    are compared by. counts: the means of `per_row` that count rows. ranges: of each list that `sums` has.
    """

    outputs: int = 1
    task: ClassVar[Task]
    rate: ClassVar[float]
    measure: ClassVar[str]
    counts: ClassVar[tuple[str, ...]] = ()
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}

    @abstractmethod
    def loss(self, score: Floats, target: Floats) -> Floats:
        """float64[rows]."""

    @abstractmethod
    def slope(self, score: Floats, target: Floats) -> Floats:
        """The derivative of each row's loss by its scores, in the shape of the scores."""

    @abstractmethod
    def predict(self, score: Floats) -> Floats:
        """What the scores stand for, in the shape of the scores."""

    @abstractmethod
    def compared(self, score: Floats, target: Floats, counts: Floats | None = None) -> Any:
        """`measure` on these rows, each counted `counts` times: float64[rows], or [draws, rows] for one of each draw.

        NaN where it is not defined.
        """

    @abstractmethod
    def quality(self, means: Mapping[str, Any], target_scale: float = 1.0) -> dict[str, float]:
        """Figures to read, from the means of `per_row` and from `sums`; a share of nothing is NaN.

        target_scale: of a number that is predicted, in the units of the source.
        """

    def per_row(self, score: Floats, target: Floats, cut: float = 0.0) -> dict[str, NDArray[Any]]:
        """What is averaged over rows, beside the loss, by name; class 1 is predicted from log-odds of `cut` on."""
        return {}

    def sums(self, score: Floats, target: Floats, shares: bool = True) -> dict[str, list[float]]:
        """Counts of rows in lists; as shares of all rows, or as they are."""
        return {}


def share(part: float, whole: float) -> float:
    """NaN of nothing."""
    return part / whole if whole > 0.0 else math.nan


def log_sum(score: Floats) -> Floats:
    """float64[rows]: the logarithm of the sum of e to the power of each row's scores, which does not overflow."""
    most = score.max(axis=1)
    return np.asarray(most + np.log(np.exp(score - most[:, None]).sum(axis=1)))


def logistic(score: Floats) -> Floats:
    """The logistic function, by way of tanh, which does not overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * score))
