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
from numpy.typing import ArrayLike, NDArray

from fedsec.data.bundled import Floats
from fedsec.learning.auc import BINS, EDGES, NEGATIVE, POSITIVE, WIDEST

LEAST = 10
"""Rows of each class, and of each group that is shown, at the least."""
THRESHOLD = 0.5
"""The probability from which on a row counts as positive, where no other is chosen."""
GROUPS = 10
"""Groups of the calibration curve, at most."""
NORMAL_95 = 1.959963984540054
"""The 97.5% point of the standard normal distribution."""
_STEPS, _SMALL = 100, 1e-10


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

    Shares of rows weighted by rows, and totals weighted alike, both come to whole rows; a sum's rounding is undone.
    """
    return of_histogram(*(np.rint(weight * np.asarray(means[name], np.float64)) for name in (POSITIVE, NEGATIVE)))


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
    counts = np.rint(positive).astype(np.int64)
    place = np.repeat(np.arange(len(counts)), counts)  # one entry for each row of class 1
    turn = np.arange(len(place)) - (np.cumsum(counts) - counts)[place] + 1.0
    turn = np.where(wide[place], turn, positive[place])
    found, wrong, here = true[place] + turn, false[place], negative[place]
    value = float((found / (found + wrong + here * turn / positive[place])).mean())
    most, least = (true + positive)[place], float((found / (found + wrong + here)).mean())
    best = np.where(wide[place], most / (most + wrong), most / (most + wrong + here))
    return Bounded(value, max(float(best.mean()) - value, value - least, 0.0))


# Calibration


def brier(bins: Bins) -> Bounded:
    """The mean squared difference of probability and class (Brier, Monthly Weather Review 78, 1950)."""
    total = float(bins.rows.sum())
    if not total > 0.0:
        return UNDEFINED

    def of(one: Floats, other: Floats) -> float:
        return float(bins.positive @ (1.0 - probability(one)) ** 2 + bins.negative @ probability(other) ** 2) / total

    value = of(bins.middle, bins.middle)
    return Bounded(value, max(of(bins.low, bins.high) - value, value - of(bins.high, bins.low)))


def calibration_in_the_large(bins: Bins) -> Bounded:
    """The log-odds that are to be added to every prediction so that their mean is the share of class 1; ideally 0.

    Cox, Biometrika 45, 1958; Van Calster et al., Journal of Clinical Epidemiology 74, 2016. Above 0, predictions are
    too low. It moves against the scores: the ends of bins bound it.
    """
    if not 0.0 < bins.prevalence < 1.0:
        return UNDEFINED
    value = _shift(bins, bins.middle)
    return Bounded(value, max(_shift(bins, bins.low) - value, value - _shift(bins, bins.high)))


def _shift(bins: Bins, scores: Floats) -> float:
    """The root of a monotone equation, by bisection; infinite where scores at infinity leave none."""
    wanted, rows = float(bins.positive.sum()), bins.rows
    fixed = np.isinf(scores)
    least, most = float(rows[fixed & (scores > 0)].sum()), float(rows.sum() - rows[fixed & (scores < 0)].sum())
    if wanted <= least or wanted >= most:
        return -math.inf if wanted <= least else math.inf
    low, high = -50.0, 50.0
    for _ in range(_STEPS):
        guess = (low + high) / 2
        if float(rows @ probability(scores + guess)) < wanted:
            low = guess
        else:
            high = guess
    return (low + high) / 2


class Recalibration(NamedTuple):
    """log-odds of class 1 = intercept + slope x predicted log-odds; ideally 0 and 1."""

    intercept: float
    slope: float
    off: float
    """By how much the slope may be off, to first order in the width of a bin."""


def recalibration(bins: Bins) -> Recalibration:
    """Intercept and slope of the logistic regression of the class on the predicted log-odds (Cox, Biometrika 45, 1958).

    A slope below 1 means predictions that are too extreme. Without both classes, with all scores equal, and where a
    score separates the classes there is none: NaN. Maximum likelihood by Newton's method with halved steps.
    """
    undefined = Recalibration(math.nan, math.nan, math.nan)
    one, other = (bins.middle[counts > 0] for counts in (bins.positive, bins.negative))
    if not (one.size and other.size) or one.min() >= other.max() or one.max() <= other.min():
        return undefined
    centre = float(bins.rows @ bins.middle / bins.rows.sum())
    scores = bins.middle - centre
    design = np.stack([np.ones_like(scores), scores])
    found = np.array([math.log(bins.prevalence / (1.0 - bins.prevalence)), 0.0])
    current = _likelihood(bins, found @ design)
    for _ in range(_STEPS):
        chance = probability(found @ design)
        slope = design @ (bins.positive - bins.rows * chance)
        try:
            step = np.linalg.solve((design * (bins.rows * chance * (1.0 - chance))) @ design.T, slope)
        except np.linalg.LinAlgError:  # scores so far apart that nothing is left between 0 and 1
            return undefined
        while (after := _likelihood(bins, (found + step) @ design)) < current and np.abs(step).max() > _SMALL:
            step = step / 2
        found, current = found + step, max(after, current)
        if np.abs(step).max() < _SMALL:
            return Recalibration(float(found[0] - found[1] * centre), float(found[1]), _slope_off(bins, found, scores))
    return undefined


def _likelihood(bins: Bins, scores: Floats) -> float:
    return float(bins.positive @ scores - bins.rows @ np.logaddexp(0.0, scores))


def _slope_off(bins: Bins, found: Floats, scores: Floats) -> float:
    """Half a bin times how much the slope moves with the score of each row: its derivative by the implicit function."""
    reach = np.where(np.isinf(bins.high) | np.isinf(bins.low), math.inf, (bins.high - bins.low) / 2)
    if np.isinf(reach[bins.rows > 0]).any():
        return math.inf
    chance = probability(found[0] + found[1] * scores)
    weights = chance * (1.0 - chance)
    total = float(bins.rows @ weights)
    away = scores - float(bins.rows @ (weights * scores)) / total
    spread = float(bins.rows @ (weights * away**2))
    moved = sum(
        float(counts[counts > 0] @ (reach * np.abs(target - chance - found[1] * weights * away))[counts > 0])
        for counts, target in ((bins.positive, 1.0), (bins.negative, 0.0))
    )
    return moved / spread


class Group(NamedTuple):
    """Rows with neighbouring predictions: from which probability to which, the mean predicted, and the share observed.

    low, high, predicted: probabilities. observed: the share of class 1, with its 95% interval.
    """

    low: float
    high: float
    rows: int
    positive: int
    predicted: float
    observed: float
    interval: tuple[float, float]


def calibration_groups(bins: Bins) -> list[Group]:
    """The calibration curve: up to 10 groups of about equal size, each of at least LEAST rows; none for fewer rows.

    Neighbouring bins are joined, so groups of a coarse histogram differ in size.
    """
    least = max(float(bins.rows.sum()) / GROUPS, float(LEAST))
    places: list[list[int]] = [[]]
    held = 0.0
    for place in np.flatnonzero(bins.rows > 0):
        if held >= least:
            places.append([])
            held = 0.0
        places[-1].append(int(place))
        held += float(bins.rows[place])
    if held < LEAST and len(places) > 1:
        last = places.pop()
        places[-1] += last
    if float(bins.rows.sum()) < LEAST:
        return []
    return [_group(bins, np.array(here)) for here in places]


def _group(bins: Bins, here: NDArray[np.int64]) -> Group:
    rows, positive = bins.rows[here], float(bins.positive[here].sum())
    total = float(rows.sum())
    low, high = probability(bins.low[here[0]]), probability(bins.high[here[-1]])
    predicted = float(rows @ probability(bins.middle[here])) / total
    return Group(
        float(low), float(high), round(total), round(positive), predicted, positive / total, wilson(positive, total)
    )


def wilson(part: float, whole: float) -> tuple[float, float]:
    """The 95% interval of a share (Wilson, JASA 22, 1927), for independent rows; whole > 0."""
    share, spread = part / whole, NORMAL_95**2 / whole
    middle = (share + spread / 2) / (1.0 + spread)
    half = NORMAL_95 * math.sqrt(share * (1.0 - share) / whole + spread / (4.0 * whole)) / (1.0 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


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
