"""Two classes: the score is the log-odds of class 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.learning import auc
from fedsec.learning.outcomes.outcome import Outcome, logistic, share


@dataclass(frozen=True)
class Binary(Outcome):
    """Log-loss in nats; accuracy, and tp, fp, tn, fn: shares of all rows, 0 to 1, that sum to 1."""

    task: ClassVar[Task] = "classification"
    rate: ClassVar[float] = 0.1
    measure: ClassVar[str] = "auc"
    counts: ClassVar[tuple[str, ...]] = ("tp", "fp", "tn", "fn")
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = auc.RANGES

    def loss(self, score: Floats, target: Floats) -> Floats:
        # -log(sigmoid(s)) for y = 1 and -log(1 - sigmoid(s)) for y = 0, with no overflow for a large |s|.
        return np.logaddexp(0.0, score) - target * score

    def slope(self, score: Floats, target: Floats) -> Floats:
        return logistic(score) - target

    def predict(self, score: Floats) -> Floats:
        return logistic(score)

    def compared(self, score: Floats, target: Floats, counts: Floats | None = None) -> Any:
        return auc.auc(score, target, counts)

    def per_row(self, score: Floats, target: Floats, cut: float = 0.0) -> dict[str, NDArray[Any]]:
        positive, true = score >= cut, target == 1.0
        cells = (positive & true, positive & ~true, ~positive & ~true, ~positive & true)
        return {"accuracy": positive == true, **dict(zip(self.counts, cells, strict=True))}

    def sums(self, score: Floats, target: Floats, shares: bool = True) -> dict[str, list[float]]:
        return auc.histogram(score, target, shares)

    def quality(self, means: Mapping[str, Any], target_scale: float = 1.0) -> dict[str, float]:
        """loss, accuracy, sensitivity (share of class 1 found), specificity (share of class 0 left alone)."""
        return {
            "loss": means["loss"],
            "accuracy": means["accuracy"],
            "sensitivity": share(means["tp"], means["tp"] + means["fn"]),
            "specificity": share(means["tn"], means["tn"] + means["fp"]),
        }
