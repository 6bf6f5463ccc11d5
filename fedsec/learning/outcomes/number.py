"""A number: the score is the standardised target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.learning import auc
from fedsec.learning.outcomes.outcome import Outcome, share


@dataclass(frozen=True)
class Numeric(Outcome):
    """Squared error, and the means of the target and of its square, all in standardised units."""

    task: ClassVar[Task] = "regression"
    rate: ClassVar[float] = 0.005  # at 0.05 the noise of SGD costs pooled diabetes over a third of its R2
    measure: ClassVar[str] = "r2"

    def loss(self, score: Floats, target: Floats) -> Floats:
        return np.square(score - target)

    def slope(self, score: Floats, target: Floats) -> Floats:
        return 2.0 * (score - target)

    def predict(self, score: Floats) -> Floats:
        return score

    def compared(self, score: Floats, target: Floats, counts: Floats | None = None) -> Any:
        return auc.r_squared(score, target, counts)

    def per_row(self, score: Floats, target: Floats, cut: float = 0.0) -> dict[str, NDArray[Any]]:
        return {"target_mean": target, "target_square": np.square(target)}

    def quality(self, means: Mapping[str, Any], target_scale: float = 1.0) -> dict[str, float]:
        """rmse in the target's original units, and r2 against the mean of the same rows."""
        variance = means["target_square"] - means["target_mean"] ** 2
        loss = max(means["loss"], 0.0)  # a decoded mean may be a rounding step below zero
        return {"rmse": math.sqrt(loss) * target_scale, "r2": 1.0 - share(loss, variance)}
