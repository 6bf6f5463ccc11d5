"""A range of round numbers for a column, and the few values that are too far off to be in it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FARTHEST = 1e6
"""How many times as wide as the middle 98% of a column's values its range may be.

Statistics are exact to a part of the range: in a wider one, the other values are lost.
"""
FEWEST = 20


def around(name: str, low: float, high: float) -> tuple[float, float]:
    """A range of round numbers around these; raises ValueError, in words, where there is none."""
    if not math.isfinite(high - low):
        raise ValueError(
            f"column {name!r} goes from {low:g} to {high:g}; values and their range must be finite: correct the cells"
        )
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    down, up = math.floor(low / step) * step, math.ceil(high / step) * step
    down, up = (down, up) if down < up else (down - step, up + step)
    short = float(f"{down:.12g}"), float(f"{up:.12g}")
    return short if short[0] <= low and high <= short[1] and short[0] < short[1] else (down, up)


def within_reach(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[rows]: those of these finite values that one range can hold without losing the others in it."""
    if len(values) < FEWEST:
        return values
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99])
    if not high > low:
        return values
    near: NDArray[np.float64] = values[np.abs(values - middle) <= FARTHEST * (high - low)]
    return near
