"""Shares of rows in a sum under equal weights: exact ones tell all row counts, rounded ones less, and totals none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.app.config import RunConfig
from fedsec.encoding import wide
from fedsec.learning.auc import NEGATIVE, POSITIVE, RANGES, auc_of_histogram, histogram
from tests.disclosure.attacked import Server, Train, deployed
from tests.disclosure.lattice import common_denominator

pytestmark = pytest.mark.slow  # whole federations are attacked

COUNTS = (61, 77, 90, 104, 123)
ROWS = sum(COUNTS)
RNG = np.random.default_rng(8)
TARGET = RNG.integers(0, 2, ROWS).astype(np.float64)
SCORE = RNG.normal(0.0, 2.0, ROWS) + 2 * TARGET
FINEST = 2.0**-60
EQUAL: dict[str, Any] = {"weights": "equal", "clip": 4.0, "metric_ranges": RunConfig().spec().ranges}
MODEL = np.zeros(1)


def evaluated(counts: Sequence[int], shares: bool) -> Train:
    """Each hospital's histograms of the scores of its rows, whose number these are."""
    parts = np.split(np.arange(ROWS), np.cumsum(counts)[:-1])
    return lambda place, model, config: (model, histogram(SCORE[parts[place]], TARGET[parts[place]], shares))


def own_counts() -> list[dict[str, list[float]]]:
    """Each hospital's rows by bin, in the order of the sum."""
    parts = np.split(np.arange(ROWS), np.cumsum(COUNTS)[:-1])
    each = (histogram(SCORE[part], TARGET[part], shares=False) for part in parts)
    return [{key: one[key] for key in sorted(one)} for one in each]


def sums_of(server: Server, grid: float) -> list[Fraction]:
    """What the server opened of the bins, with all digits that the sum has."""
    secure = server.founds()
    server.asks(secure, MODEL, "evaluate")
    vector, bits = server.opened[-1].sum.vector, secure.protocol.value_bits
    sums = wide.decode(vector[-wide.limbs(bits) * 128 :], len(COUNTS), bits)
    return [number * Fraction(grid) for number in sums if number]


def denominator(sums: Sequence[Fraction], precision: int) -> int:
    """What the fullest bins have for a common denominator, as far as their digits tell."""
    return common_denominator(sorted(sums)[-4:], precision)


def explained(whole: int, parts: Sequence[int], most: Sequence[int]) -> list[tuple[int, ...]]:
    """All ways to write a number as a sum of multiples of the parts, with multipliers up to `most`."""
    if len(parts) == 1:
        times, rest = divmod(whole, parts[0])
        return [(times,)] if not rest and times <= most[0] else []
    first = range(min(most[0], whole // parts[0]) + 1)
    return [(k, *more) for k in first for more in explained(whole - k * parts[0], parts[1:], most[1:])]


def test_exact_sums_of_shares_tell_a_common_denominator_of_all_row_counts(tmp_path: Path) -> None:
    """One sum is enough. On the grid that is agreed on unless another is, its digits do not tell it."""
    told = {}
    for grid, options in ((FINEST, {"metric_grids": dict.fromkeys(RANGES, FINEST)}), (2.0**-10, {})):
        server = deployed(tmp_path / f"{grid}", evaluated(COUNTS, True), 5, {"evaluate": 1}, MODEL, **EQUAL, **options)
        assert server.agreement is not None and server.agreement.encoding.spec.grid_of(POSITIVE) == grid
        sums = sums_of(server, grid)
        told[grid] = denominator(sums, 46 if grid == FINEST else 10)
        if grid == FINEST:
            assert all(abs(told[grid] * each - round(told[grid] * each)) < 1e-6 for each in sums)
            fine = sums
    whole = math.lcm(*COUNTS)
    assert told[FINEST] == whole
    own = np.array([np.concatenate(list(one.values())) for one in own_counts()]).T.astype(int)
    found = [explained(round(whole * each), [whole // count for count in COUNTS], COUNTS) for each in fine]
    right = [each == [tuple(row)] for each, row in zip(found, (row for row in own if row.any()), strict=True)]
    assert (sum(right), len(right)) == (76, 76)  # given the row counts, each hospital's own count in each bin
    assert not any(told[2.0**-10] % count == 0 for count in COUNTS)


@pytest.mark.parametrize("others", [(91, 91, 91, 91, 91), (3, 400, 12, 20, 20), COUNTS[::-1]])
def test_totals_tell_the_rows_of_all_hospitals_together_and_not_whose_they_are(
    tmp_path: Path, others: tuple[int, ...]
) -> None:
    """However the rows lie at the hospitals, the sum is the same to the last bit."""
    spec = RunConfig(equal_weights=True).spec()
    options: dict[str, Any] = {**EQUAL, "metric_ranges": spec.ranges, "totals": spec.totals}
    views = []
    for counts in (COUNTS, others):
        server = deployed(tmp_path / str(counts), evaluated(counts, False), 5, {"evaluate": 1}, MODEL, **options)
        secure = server.founds()
        found = server.asks(secure, MODEL, "evaluate")[1]
        views.append(server.opened[-1].sum.vector.tolist())
        assert sum(map(sum, (found[POSITIVE], found[NEGATIVE]))) == pytest.approx(ROWS / 5)
    assert views[0] == views[1]
    assert auc_of_histogram(found) == pytest.approx(auc_of_histogram(histogram(SCORE, TARGET)))
