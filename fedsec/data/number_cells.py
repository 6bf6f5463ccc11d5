"""The values of a column of numbers in a group of rows: mean, deviation, and quantiles from rows by bin."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from fedsec.data import table_cells


@dataclass(frozen=True)
class NumberCells:
    """A column of numbers in a group of rows.

    counted: rows whose values mean and deviation are of; mean is None where there are none. bins: rows by bin. wider:
    rows by wider bins, of four, sixteen and so on, where bins have too few at a hospital. suppressed: rows with a value
    that are in none of these. missing: rows without a value.
    """

    counted: int
    mean: float | None
    deviation: float | None
    bins: tuple[int, ...]
    wider: tuple[tuple[int, ...], ...]
    suppressed: int
    missing: int

    def quantile(self, part: float, edges: Sequence[float]) -> tuple[float, float] | None:
        """A quantile, and what it is off by at most; None where no value is in a bin.

        As pandas' and numpy's default: between two values in order, by linear interpolation. Each value is taken to lie
        as if those of its bin, wider bin or, where it is suppressed, all bins were spread evenly over it; it is off by
        what lies between the value of this rank if all are at the lower ends of these, and if all are at the upper.
        """
        cells = list(self._cells(edges))
        values = sum(count for *_, count in cells)
        if values == self.suppressed:
            return None
        place, spread = (values - 1) * part, list(accumulate(self.spread(edges, self.suppressed)))
        ranks = (math.floor(place), math.ceil(place))
        one, other = (_at(rank, spread, edges) for rank in ranks)
        lows, highs = sorted((low, count) for low, _, count in cells), sorted((high, count) for _, high, count in cells)
        off = max(_ranked(rank, highs) - _ranked(rank, lows) for rank in ranks)
        return one + (place - ranks[0]) * (other - one), off

    def spread(self, edges: Sequence[float], suppressed: int = 0) -> list[float]:
        """Rows by bin, those of wider bins spread evenly over theirs, and so many over all."""
        found = list(map(float, self.bins))
        for size, counts in [*self._levels(), (len(found), (suppressed,))]:
            for number, count in enumerate(counts):
                first, last = number * size, min((number + 1) * size, len(found))
                for place in range(first, last):
                    share = (edges[place + 1] - edges[place]) / (edges[last] - edges[first])
                    found[place] += count * share
        return found

    def _levels(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Of each width above that of bins, how many bins it has, and the rows."""
        return ((table_cells.JOINED**level, counts) for level, counts in enumerate(self.wider, start=1))

    def _cells(self, edges: Sequence[float]) -> Iterator[tuple[float, float, int]]:
        """Every cell with rows: where it begins, where it ends, and its rows."""
        for size, counts in [(1, self.bins), *self._levels(), (len(self.bins), (self.suppressed,))]:
            for number, count in enumerate(counts):
                if count:
                    yield edges[number * size], edges[min((number + 1) * size, len(self.bins))], count


def _at(rank: int, ends: Sequence[float], edges: Sequence[float]) -> float:
    """The value of this rank, from 0, where so many are at or below the end of each bin, spread evenly over it."""
    place = min(bisect_right(ends, rank + 0.5), len(ends) - 1)
    before = ends[place - 1] if place else 0.0
    share = (rank + 0.5 - before) / (ends[place] - before) if ends[place] > before else 1.0
    return edges[place] + (edges[place + 1] - edges[place]) * min(share, 1.0)


def _ranked(rank: int, counted: Sequence[tuple[float, int]]) -> float:
    """The value of this rank, from 0, among values in order with how often each is there."""
    for value, count in counted:
        rank -= count
        if rank < 0:
            return value
    return counted[-1][0]
