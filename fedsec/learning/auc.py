"""AUC: exact on rows in one place, from summed histograms over hospitals, and with a bootstrap interval.

The AUC is the chance that a row of class 1 has a higher score than one of class 0, ties counted half (Hanley and
McNeil, Radiology 143, 1982). It is no mean over hospitals; it follows from counts of both classes by score, which are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats

BINS = 64
WIDEST = 8.0
EDGES = np.linspace(-WIDEST, WIDEST, BINS + 1)[1:-1]
"""float64[63]: the log-odds between two bins; a score that equals one belongs to the bin above it."""
POSITIVE, NEGATIVE = "scores.positive", "scores.negative"
RANGES: Mapping[str, tuple[float, float]] = {POSITIVE: (0.0, 1.0), NEGATIVE: (0.0, 1.0)}
BLOCK = 1 << 20
"""Counts of resampled rows that are held at once."""
RESAMPLES = 500


def histogram(score: Floats, target: Floats, shares: bool = True) -> dict[str, list[float]]:
    """Rows by class and by score, log-odds in 64 bins between -8 and 8, the outer ones open; as shares of all rows."""
    index = np.searchsorted(EDGES, score, side="right")  # as a class is predicted, from the threshold on
    whole = len(target) if shares else 1
    return {
        name: [float(each) for each in np.bincount(index[target == value], minlength=BINS) / whole]
        for name, value in ((POSITIVE, 1.0), (NEGATIVE, 0.0))
    }


def auc_of_histogram(means: Mapping[str, Any]) -> tuple[float, float]:
    """The AUC that means of `histogram` stand for, and by how much it may be off: half the pairs in one bin.

    (nan, nan) where a class has no row.
    """
    positive, negative = (
        np.clip(np.asarray(means[name], dtype=np.float64), 0.0, None) for name in (POSITIVE, NEGATIVE)
    )
    pairs = positive.sum() * negative.sum()
    if not pairs > 0.0:
        return math.nan, math.nan
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    same = float(positive @ negative) / pairs
    return float(positive @ below) / pairs + same / 2, same / 2


def auc(score: Floats, target: Floats, counts: Floats | None = None) -> Any:
    """The exact AUC of these rows, each counted `counts` times; nan where a class has no row.

    counts: float64[rows], or float64[draws, rows] for one AUC of each draw.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(score[order]) > 0]))
    weight = np.ones(len(score)) if counts is None else counts
    return _auc(starts, (weight * target)[..., order], (weight * (1.0 - target))[..., order])


def _auc(starts: NDArray[np.int64], positive: Floats, negative: Floats) -> Any:
    """From weights in order of score; `starts` are where a new score begins."""
    here, there = (np.add.reduceat(counts, starts, axis=-1) for counts in (positive, negative))
    pairs = here.sum(axis=-1) * there.sum(axis=-1)
    won = (here * (np.cumsum(there, axis=-1) - there / 2)).sum(axis=-1)
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), math.nan)[()]


def r_squared(predicted: Floats, target: Floats, counts: Floats | None = None) -> Any:
    """1 - (squared error) / (spread of the target), of these rows, counted as `auc` takes it."""
    weight = np.ones(len(target)) if counts is None else counts
    mean = (weight * target).sum(axis=-1, keepdims=True) / weight.sum(axis=-1, keepdims=True)
    spread = (weight * (target - mean) ** 2).sum(axis=-1)
    error = (weight * (predicted - target) ** 2).sum(axis=-1)
    return np.where(spread > 0, 1.0 - error / np.where(spread > 0, spread, 1.0), math.nan)[()]


Measure = Callable[[Floats, Floats, "Floats | None"], Any]
"""auc or r_squared."""


def interval(
    measure: Measure, scores: Sequence[Floats], target: Floats, person: NDArray[np.int64] | None, seed: int
) -> list[tuple[float, float]]:
    """The percentile interval of 95% of a measure, for each of several models on the same resamples of the test rows.

    Whole persons are drawn, with replacement, 500 times (Efron, Annals of Statistics 7, 1979): rows of one person are
    alike, and drawing them one by one would make the interval too narrow.
    """
    draws, found = resamples(target, person, seed), []
    while block := list(itertools.islice(draws, max(1, BLOCK // len(target)))):
        counts = np.stack(block)
        found.append(np.stack([measure(score, target, counts) for score in scores], axis=1))
    return [percentiles(values) for values in np.concatenate(found).T]


def resamples(target: Floats, person: NDArray[np.int64] | None, seed: int) -> Iterator[Floats]:
    """How often each row is drawn, float64[rows], 500 times: whole persons, with replacement."""
    rng = np.random.default_rng(seed)
    people = np.arange(len(target)) if person is None else np.unique(person, return_inverse=True)[1]
    number = int(people.max()) + 1
    for _ in range(RESAMPLES):
        yield np.bincount(rng.integers(number, size=number), minlength=number)[people].astype(np.float64)


def percentiles(values: Sequence[float] | Floats) -> tuple[float, float]:
    """The middle 95% of these values, those that are NaN left out."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
