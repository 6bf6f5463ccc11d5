"""Whether predicted probabilities are right: calibration in the large, its slope and its curve, from rows by score.

Levels of calibration after B. Van Calster et al., Journal of Clinical Epidemiology 74, 2016.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.learning.clinical import LEAST, UNDEFINED, Bins, Bounded, probability

GROUPS = 10
"""Groups of the calibration curve, at most."""
NORMAL_95 = 1.959963984540054
"""The 97.5% point of the standard normal distribution."""
_STEPS, _SMALL, _FAR = 100, 1e-10, 50.0


def calibration_in_the_large(bins: Bins, bounded: bool = True, start: float = 0.0) -> Bounded:
    """The log-odds that are to be added to every prediction so that their mean is the share of class 1; ideally 0.

    Cox, Biometrika 45, 1958; Van Calster et al., Journal of Clinical Epidemiology 74, 2016. Above 0, predictions are
    too low. It moves against the scores: the ends of bins bound it. bounded: whether that is asked for.
    start: a value that is likely near.
    """
    if not 0.0 < bins.prevalence < 1.0:
        return UNDEFINED
    value = _shift(bins, bins.middle, start)
    if not bounded:
        return Bounded(value, math.inf)
    return Bounded(value, max(_shift(bins, bins.low) - value, value - _shift(bins, bins.high)))


def _shift(bins: Bins, scores: Floats, start: float = 0.0) -> float:
    """The root of a monotone equation, by Newton's method in a bracket; infinite where infinite scores leave none."""
    wanted, rows = float(bins.positive.sum()), bins.rows
    fixed = np.isinf(scores)
    least, most = float(rows[fixed & (scores > 0)].sum()), float(rows.sum() - rows[fixed & (scores < 0)].sum())
    if wanted <= least or wanted >= most:
        return -math.inf if wanted <= least else math.inf
    low, high, guess = -_FAR, _FAR, start if -_FAR < start < _FAR else 0.0
    for _ in range(_STEPS):
        chance = probability(scores + guess)
        excess = float(rows @ chance) - wanted
        low, high = (guess, high) if excess < 0.0 else (low, guess)
        slope = float(rows @ (chance * (1.0 - chance)))
        newton = guess - excess / slope if slope > 0.0 else _FAR
        after = newton if low < newton < high else (low + high) / 2
        if abs(after - guess) < _SMALL:
            return after
        guess = after
    return guess


class Recalibration(NamedTuple):
    """log-odds of class 1 = intercept + slope x predicted log-odds; ideally 0 and 1."""

    intercept: float
    slope: float
    off: float
    """By how much the slope may be off, to first order in the width of a bin."""


def recalibration(bins: Bins, bounded: bool = True, start: Recalibration | None = None) -> Recalibration:
    """Intercept and slope of the logistic regression of the class on the predicted log-odds (Cox, Biometrika 45, 1958).

    A slope below 1 means predictions that are too extreme. Without both classes, with all scores equal, and where a
    score separates the classes there is none: NaN. Maximum likelihood by Newton's method with halved steps.
    bounded: whether `off` is asked for. start: a fit that is likely near.
    """
    undefined = Recalibration(math.nan, math.nan, math.nan)
    one, other = (bins.middle[counts > 0] for counts in (bins.positive, bins.negative))
    if not (one.size and other.size) or one.min() >= other.max() or one.max() <= other.min():
        return undefined
    centre = float(bins.rows @ bins.middle / bins.rows.sum())
    scores = bins.middle - centre
    design = np.stack([np.ones_like(scores), scores])
    found = np.array([math.log(bins.prevalence / (1.0 - bins.prevalence)), 0.0])
    if start is not None and math.isfinite(start.slope):
        found = np.array([start.intercept + start.slope * centre, start.slope])
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
            off = _slope_off(bins, found, scores) if bounded else math.inf
            return Recalibration(float(found[0] - found[1] * centre), float(found[1]), off)
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
