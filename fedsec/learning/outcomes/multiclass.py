"""Three classes or more: multinomial logistic regression, with a score for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedsec.data.bundled import Floats
from fedsec.data.label import Task
from fedsec.learning import auc
from fedsec.learning.outcomes.outcome import Outcome, log_sum, share

CONFUSION = "rows.confusion"
"""Rows by true and by predicted class, the true class the slower index."""
OF_CLASS, OF_OTHERS = "scores.class", "scores.rest"
"""Rows of each class, and of all others, by the log-odds of that class, class by class."""


@dataclass(frozen=True)
class Multiclass(Outcome):
    """Log-loss in nats, and accuracy."""

    task: ClassVar[Task] = "multiclass"
    rate: ClassVar[float] = 0.1
    measure: ClassVar[str] = "macro_auc"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = dict.fromkeys((CONFUSION, OF_CLASS, OF_OTHERS), (0.0, 1.0))

    def loss(self, score: Floats, target: Floats) -> Floats:
        return log_sum(score) - _own(score, target)

    def slope(self, score: Floats, target: Floats) -> Floats:
        found = self.predict(score)
        found[np.arange(len(target)), target.astype(np.int64)] -= 1.0
        return found

    def predict(self, score: Floats) -> Floats:
        found: Floats = np.exp(score - log_sum(score)[:, None])
        return found

    def compared(self, score: Floats, target: Floats, counts: Floats | None = None) -> Any:
        """The mean over classes of the AUC of each against all others (Fawcett, Pattern Recognition Letters 27, 2006);
        a class without a row is left out."""
        odds = _log_odds(score)
        found = [auc.auc(odds[:, place], (target == place).astype(np.float64), counts) for place in range(self.outputs)]
        return _mean(np.stack([np.asarray(one, np.float64) for one in found]))

    def sums(self, score: Floats, target: Floats, shares: bool = True) -> dict[str, list[float]]:
        whole = len(target) if shares else 1
        pairs = target.astype(np.int64) * self.outputs + score.argmax(axis=1)
        odds, found = _log_odds(score), {CONFUSION: np.bincount(pairs, minlength=self.outputs**2) / whole}
        lists: dict[str, list[float]] = {key: values.tolist() for key, values in found.items()} | {
            OF_CLASS: [],
            OF_OTHERS: [],
        }
        for place in range(self.outputs):
            counted = auc.histogram(odds[:, place], (target == place).astype(np.float64), shares)
            lists[OF_CLASS] += counted[auc.POSITIVE]
            lists[OF_OTHERS] += counted[auc.NEGATIVE]
        return lists

    def quality(self, means: Mapping[str, Any], target_scale: float = 1.0) -> dict[str, float]:
        """loss, accuracy, balanced_accuracy (the mean share of a class that is found), macro_f1 and macro_auc.

        macro_auc is that of the summed histograms, off by half the pairs of one bin at most.
        """
        cells = self.confusion(means)
        right, true, told = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
        found = [share(*pair) for pair in zip(right, true, strict=True)]
        f1 = [share(2.0 * one, here + there) for one, here, there in zip(right, true, told, strict=True)]
        parts = [np.split(np.asarray(means[key]), self.outputs) for key in (OF_CLASS, OF_OTHERS)]
        curves = [
            auc.auc_of_histogram({auc.POSITIVE: here, auc.NEGATIVE: there})[0]
            for here, there in zip(*parts, strict=True)
        ]
        return {
            "loss": means["loss"],
            "accuracy": share(float(right.sum()), float(cells.sum())),
            "balanced_accuracy": float(_mean(np.array(found))),
            "macro_f1": float(_mean(np.array(f1))),
            "macro_auc": float(_mean(np.array(curves))),
        }

    def confusion(self, means: Mapping[str, Any]) -> Floats:
        """float64[classes, classes]: rows by true and by predicted class, as shares or totals, as they were summed."""
        return np.reshape(np.clip(np.asarray(means[CONFUSION], np.float64), 0.0, None), (self.outputs, self.outputs))


def _own(score: Floats, target: Floats) -> Floats:
    return score[np.arange(len(target)), target.astype(np.int64)]


def _log_odds(score: Floats) -> Floats:
    """float64[rows, classes]: the log-odds of each class against all others."""
    columns = [score[:, place] - log_sum(np.delete(score, place, axis=1)) for place in range(score.shape[1])]
    return np.column_stack(columns)


def _mean(values: Floats) -> Any:
    """The mean over the first axis of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    return np.where(number > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(number, 1), math.nan)[()]
