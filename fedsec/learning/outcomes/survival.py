"""Time to an event, with censoring: proportional hazards, the baseline hazard constant within each interval.

The log of a row's hazard in an interval is its score there (Friedman, Annals of Statistics 10, 1982). Unlike Cox's
partial likelihood this one is a sum over rows, so hospitals train on their own rows alone, and nobody's risk set leaves
a hospital; with many intervals its coefficients, log hazard ratios, come near to Cox's.

A target counts in intervals: 2.25 is a quarter into the third one. It is negative, -0.0 too, where the row is censored.
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
from fedsec.learning.outcomes.outcome import STEEPEST, Outcome, log_sum, share

EVENTS, CENSORED = "risks.event", "risks.censored"
"""Rows that have the event, and that do not, by interval and by predicted risk, the interval the slower index."""
BINS = 96
EDGES = np.linspace(-9.0, 3.0, BINS + 1)[1:-1]
"""float64[95]: the log of the mean hazard of an interval, between two bins."""
BLOCK = 1 << 22
"""Pairs of rows that are compared at once."""


@dataclass(frozen=True)
class Survival(Outcome):
    """The negative log-likelihood per row, time counted in intervals; the mean of the events that are expected."""

    task: ClassVar[Task] = "survival"
    rate: ClassVar[float] = 0.05
    measure: ClassVar[str] = "c_index"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = dict.fromkeys((EVENTS, CENSORED), (0.0, 1.0))

    def loss(self, score: Floats, target: Floats) -> Floats:
        hazard = np.exp(np.minimum(score, STEEPEST))
        return np.asarray((self._exposed(target) * hazard - self._ended(target) * score).sum(axis=1))

    def slope(self, score: Floats, target: Floats) -> Floats:
        return np.asarray(self._exposed(target) * np.exp(np.minimum(score, STEEPEST)) - self._ended(target))

    def predict(self, score: Floats) -> Floats:
        """The probability of no event by the end of each interval."""
        return np.asarray(np.exp(-np.cumsum(np.exp(np.minimum(score, STEEPEST)), axis=1)))

    def compared(self, score: Floats, target: Floats, counts: Floats | None = None) -> Any:
        """Harrell's C: of two rows of which one is known to have the event first, the chance that its risk is higher.

        Ties of risk count half (Harrell et al., JAMA 247, 1982). A row that is censored when another has the event has
        outlived it.
        """
        weight = np.ones((1, len(target))) if counts is None else np.atleast_2d(counts)
        risks, time, event = risk(score), np.abs(target), ~np.signbit(target)
        won, pairs = np.zeros(len(weight)), np.zeros(len(weight))
        first = np.flatnonzero(event)
        for rows in np.array_split(first, max(1, len(first) * len(time) // BLOCK)):
            later = (time > time[rows, None]) | ((time == time[rows, None]) & ~event)
            better = (risks < risks[rows, None]) + 0.5 * (risks == risks[rows, None])
            won += (weight[:, rows] * (weight @ (later * better).T)).sum(axis=1)
            pairs += (weight[:, rows] * (weight @ later.astype(np.float64).T)).sum(axis=1)
        found = np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), math.nan)
        return found[0] if counts is None or counts.ndim == 1 else found

    def per_row(self, score: Floats, target: Floats, cut: float = 0.0) -> dict[str, NDArray[Any]]:
        expected = (self._exposed(target) * np.exp(np.minimum(score, STEEPEST))).sum(axis=1)
        return {"expected_mean": expected}

    def sums(self, score: Floats, target: Floats, shares: bool = True) -> dict[str, list[float]]:
        cell = self._interval(target) * BINS + np.searchsorted(EDGES, risk(score), side="right")
        whole, censored = len(target) if shares else 1, np.signbit(target)
        return {
            name: (np.bincount(cell[rows], minlength=self.outputs * BINS) / whole).tolist()
            for name, rows in ((EVENTS, ~censored), (CENSORED, censored))
        }

    def quality(self, means: Mapping[str, Any], target_scale: float = 1.0) -> dict[str, float]:
        """loss, c_index by intervals and bins, and how many events are observed for each that is expected.

        Pairs that end in one interval tell nothing, and ties of a bin count half. Observed by expected is 1 where risks
        are right on average.
        """
        events, others = (
            np.reshape(np.clip(np.asarray(means[key], np.float64), 0.0, None), (self.outputs, BINS))
            for key in (EVENTS, CENSORED)
        )
        ended = events + others
        later = np.cumsum(ended[::-1], axis=0)[::-1] - ended  # rows that end in a later interval, by bin
        below = np.cumsum(later, axis=1) - later
        pairs = float((events * later.sum(axis=1, keepdims=True)).sum())
        won = float((events * (below + later / 2.0)).sum())
        shares = float(events.sum() / ended.sum()) if ended.any() else 0.0
        return {
            "loss": means["loss"],
            "c_index": won / pairs if pairs > 0.0 else math.nan,
            "observed_to_expected": share(shares, means["expected_mean"]),
        }

    def _interval(self, target: Floats) -> NDArray[np.int64]:
        """The interval that each row ends in: a time at an edge belongs to the interval before it."""
        return np.clip(np.ceil(np.abs(target)).astype(np.int64) - 1, 0, self.outputs - 1)

    def _exposed(self, target: Floats) -> Floats:
        """float64[rows, intervals]: the part of each interval that a row is at risk in."""
        return np.asarray(np.clip(np.abs(target)[:, None] - np.arange(self.outputs), 0.0, 1.0))

    def _ended(self, target: Floats) -> Floats:
        """float64[rows, intervals]: 1 in the interval of the event."""
        here = self._interval(target)[:, None] == np.arange(self.outputs)
        return np.where(np.signbit(target)[:, None], 0.0, here)


def risk(score: Floats) -> Floats:
    """float64[rows]: the log of the mean hazard of an interval."""
    return log_sum(score) - math.log(score.shape[1])
