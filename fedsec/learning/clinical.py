"""How good probabilities are, from counts of both classes by score: all of it follows from two histograms.

Rows by score are what hospitals sum already for the AUC (auc.py), so nothing more leaves a hospital. Whatever depends
on where rows lie within a bin is an estimate, and comes with how far it may be off; counts on both sides of an edge
between bins are exact. Rows in one place go through the same functions, as bins of no width, and nothing is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fedsec.data.bundled import Floats
from fedsec.learning.auc import BINS, EDGES, NEGATIVE, POSITIVE, WIDEST

LEAST = 10
"""Rows of each class, and of each group that is shown, at the least."""
THRESHOLD = 0.5
"""The probability from which on a row counts as positive, where no other is chosen."""

_ROUNDING = 0.05
"""What may be missing to a whole row, and is no row."""


class Bounded(NamedTuple):
    """A figure, and by how much it is off at most; NaN where it is not defined, infinity where nothing bounds it."""

    value: float
    off: float


UNDEFINED = Bounded(math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Bins:
    """Rows of both classes by their log-odds, from low to high; each a float64[bins].

    low, high: where scores of a bin lie, -inf and inf in the open ones; equal where rows have exactly that score.
    middle: the score that stands for the bin. positive, negative: rows of class 1 and of class 0, from 0.
    """

    low: Floats
    high: Floats
    middle: Floats
    positive: Floats
    negative: Floats

    @property
    def rows(self) -> Floats:
        """Rows of both classes, by bin."""
        return self.positive + self.negative

    @property
    def prevalence(self) -> float:
        """The share of class 1; NaN without a row."""
        total = float(self.rows.sum())
        return float(self.positive.sum()) / total if total > 0 else math.nan

    @property
    def lacking(self) -> bool:
        """Whether one class has fewer than LEAST rows, so that no curve is worth its ink, nor safe to show."""
        return bool(min(self.positive.sum(), self.negative.sum()) < LEAST)


def of_histogram(positive: ArrayLike, negative: ArrayLike) -> Bins:
    """Bins of two histograms of rows by log-odds, as `auc.histogram` has them: 64 bins, the outer ones open."""
    ends = np.linspace(-WIDEST, WIDEST, BINS + 1)
    low, high = ends[:-1].copy(), ends[1:].copy()
    middle = (low + high) / 2
    low[0], high[-1] = -math.inf, math.inf
    counts = (np.clip(np.asarray(values, np.float64), 0.0, None) for values in (positive, negative))
    return Bins(low, high, middle, *counts)


def of_means(means: Mapping[str, Any], weight: float) -> Bins:
    """Bins of the mean of several hospitals' histograms, whose total weight this is.

    Shares of rows weighted by rows, and totals weighted alike, both come to whole rows; a sum's rounding is undone. By
    other weights, such as powers of two, a row counts as its hospital's weight says.
    """
    counts = weight * np.array([means[POSITIVE], means[NEGATIVE]], np.float64)
    whole = np.rint(counts)
    if np.abs(counts - whole).max() < _ROUNDING:
        return of_histogram(*whole)
    return of_histogram(*np.where(counts < _ROUNDING, 0.0, counts))


def of_rows(score: Floats, target: Floats) -> Bins:
    """Bins of rows in one place: one for each score that occurs, without width."""
    scores, index = np.unique(score, return_inverse=True)
    counts = (np.bincount(index[target == value], minlength=len(scores)).astype(np.float64) for value in (1.0, 0.0))
    return Bins(scores, scores, scores, *counts)


def probability(score: ArrayLike) -> Floats:
    """The probabilities of these log-odds, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(score, np.float64))))


def log_odds(threshold: float) -> float:
    """The log-odds of a probability between 0 and 1; of an edge's probability, exactly the edge."""
    score = math.log(threshold) - math.log1p(-threshold)
    nearest = float(EDGES[np.abs(EDGES - score).argmin()])
    return nearest if abs(nearest - score) < 1e-9 else score


# Discrimination


def auc(bins: Bins) -> Bounded:
    """The chance that a row of class 1 scores above one of class 0, ties counted half (Hanley and McNeil, 1982).

    Of pairs in one bin the order is unknown: half of them is the most that it may be off.
    """
    pairs = float(bins.positive.sum() * bins.negative.sum())
    if not pairs > 0.0:
        return UNDEFINED
    below = np.cumsum(bins.negative) - bins.negative
    tied = bins.positive * bins.negative
    unknown = float(tied[bins.high > bins.low].sum()) / pairs
    return Bounded(float(bins.positive @ below + tied.sum() / 2) / pairs, unknown / 2)


def average_precision(bins: Bins) -> Bounded:
    """The area under the precision-recall curve as a sum of steps: precision times what recall gains, from the top.

    That is scikit-learn's average precision; a line between points would be too good (Davis and Goadrich, ICML 2006).
    Within a bin rows of both classes are taken as spread alike; all of class 1 before all of class 0 would be the most,
    and the reverse the least.
    """
    total = float(bins.positive.sum())
    if not (total > 0.0 and bins.negative.sum() > 0.0):
        return UNDEFINED
    positive, negative = bins.positive[::-1], bins.negative[::-1]
    true, false = np.cumsum(positive) - positive, np.cumsum(negative) - negative
    wide = (bins.high > bins.low)[::-1]
    counts = np.ceil(positive).astype(np.int64)
    place = np.repeat(np.arange(len(counts)), counts)  # one entry for each row of class 1
    size = positive[place] / counts[place]
    turn = (np.arange(len(place)) - (np.cumsum(counts) - counts)[place] + 1.0) * size
    turn = np.where(wide[place], turn, positive[place])
    found, wrong, here = true[place] + turn, false[place], negative[place]
    value = float(size @ (found / (found + wrong + here * turn / positive[place]))) / total
    most, least = (true + positive)[place], float(size @ (found / (found + wrong + here))) / total
    best = np.where(wide[place], most / (most + wrong), most / (most + wrong + here))
    return Bounded(value, max(float(size @ best) / total - value, value - least, 0.0))


def brier(bins: Bins) -> Bounded:
    """The mean squared difference of probability and class (Brier, Monthly Weather Review 78, 1950)."""
    total = float(bins.rows.sum())
    if not total > 0.0:
        return UNDEFINED

    def of(one: Floats, other: Floats) -> float:
        return float(bins.positive @ (1.0 - probability(one)) ** 2 + bins.negative @ probability(other) ** 2) / total

    value = of(bins.middle, bins.middle)
    return Bounded(value, max(of(bins.low, bins.high) - value, value - of(bins.high, bins.low)))


# Decisions


class Point(NamedTuple):
    """What a threshold comes to; shares are NaN where nothing is counted.

    threshold: class 1 is predicted from this probability on. predicted_positive: the share of all rows for which it is.
    precision: of these, the share of class 1. net_benefit: share of all rows that are found less the share falsely
    called positive, at the exchange rate of the threshold's odds (Vickers and Elkin, Medical Decision Making 26, 2006).
    """

    threshold: float
    sensitivity: Bounded
    specificity: Bounded
    predicted_positive: float
    precision: float
    net_benefit: float


def at(bins: Bins, threshold: float) -> Point:
    """What this probability as a threshold comes to; exact on an edge, and off by no more than a bin's rows within."""
    score = log_odds(threshold)
    within = (bins.low < score) & (score < bins.high)
    finite = within & np.isfinite(bins.low) & np.isfinite(bins.high)
    above = np.where(bins.low >= score, 1.0, 0.0)
    above[within] = 0.5
    above[finite] = (bins.high[finite] - score) / (bins.high[finite] - bins.low[finite])
    unsure = np.where(within, np.maximum(above, 1.0 - above), 0.0)
    true, false = float(bins.positive @ above), float(bins.negative @ above)
    ones, zeros = float(bins.positive.sum()), float(bins.negative.sum())
    whole = ones + zeros
    return Point(
        threshold,
        Bounded(_share(true, ones), _share(float(bins.positive @ unsure), ones)),
        Bounded(_share(zeros - false, zeros), _share(float(bins.negative @ unsure), zeros)),
        _share(true + false, whole),
        _share(true, true + false),
        _share(true - false * threshold / (1.0 - threshold), whole),
    )


def curve(bins: Bins) -> list[Point]:
    """What each edge between bins comes to as a threshold, from low to high: exact, whatever is within the bins."""
    return [at(bins, float(threshold)) for threshold in probability(EDGES)]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else math.nan
