"""Intervals of predictions: right at the stated rate on new rows, and none where nothing is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedsec.learning import calibration_measures, clinical, intervals
from fedsec.learning.intervals import GroupOfRows, Intervals

GROUPS = (GroupOfRows(0.1, 0.2, 40, 4), GroupOfRows(0.3, 0.4, 50, 19), GroupOfRows(0.4, 0.8, 30, 20))


def test_a_probability_has_the_interval_of_its_group() -> None:
    made = Intervals("test rows", 120, GROUPS)
    found = made.of(np.array([0.05, 0.1, 0.2, 0.24, 0.26, 0.35, 0.8, 0.81]))
    expected = [calibration_measures.wilson(one.positive, one.rows) for one in GROUPS]
    places = [None, 0, 0, 0, 1, 1, 2, None]  # between two groups the nearer one counts, beyond them none does
    for interval, place in zip(found.tolist(), places, strict=True):
        assert all(map(math.isnan, interval)) if place is None else interval == pytest.approx(expected[place])
    # 19 of 50 by the formula of Wilson, 1927: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)
    assert found[5].tolist() == pytest.approx([0.25862, 0.51848], abs=1e-4)
    assert "the share with died = yes of rows" in made.words("died", "yes") and "120 test rows" in made.words("a", "b")


def test_nine_of_ten_shares_and_more_lie_within() -> None:
    """Rows of a calibrated score, drawn anew: the true share of each group is within its interval 95 times of 100."""
    rng, hits, cells = np.random.default_rng(1), 0, 0
    for _ in range(60):
        score = rng.normal(-1.0, 1.2, 600)
        died = (rng.random(600) < clinical.probability(score)).astype(float)
        groups = calibration_measures.calibration_groups(clinical.of_rows(score, died))
        made = intervals.of_groups("rows", [GroupOfRows(one.low, one.high, one.rows, one.positive) for one in groups])
        assert made is not None
        for one in groups:
            low, high = made.of(np.array([(one.low + one.high) / 2]))[0]
            hits, cells = hits + (low <= one.predicted <= high), cells + 1
    assert 0.92 <= hits / cells <= 0.98


def test_a_number_lies_within_its_interval_95_times_of_100() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(4000):
        errors = rng.normal(0.0, 3.0, 12)
        made = intervals.of_spread("test rows", 12, float(np.sqrt(np.mean(errors**2))))
        assert made is not None
        low, high = made.of(np.array([10.0]))[0]
        hits += low <= 10.0 + rng.normal(0.0, 3.0) <= high
    assert 0.94 <= hits / 4000 <= 0.96
    assert "95% of stay lie within" in made.words("stay", "")


def test_student_s_points_are_those_of_scipy() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    for rows in (10, 12, 20, 50, 1000):
        assert intervals.student_95(rows) == pytest.approx(stats.t.ppf(0.975, rows), abs=2e-4)


def test_too_few_rows_and_no_rows_have_none() -> None:
    assert intervals.of_groups("rows", []) is None
    assert intervals.of_spread("rows", 9, 1.0) is None and intervals.of_spread("rows", 10, 1.0) is not None
    assert intervals.of_spread("rows", 10, math.nan) is None and intervals.of_spread("rows", 10, math.inf) is None


@pytest.mark.parametrize("made", [Intervals("rows", 120, GROUPS), Intervals("rows", 12, spread=2.5)])
def test_the_document_is_read_back(made: Intervals) -> None:
    assert Intervals.from_document(made.to_document()) == made


@pytest.mark.parametrize(
    "changed",
    [
        {"groups": [[0.3, 0.4, 5, 1], [0.1, 0.2, 5, 1]]},
        {"groups": [[0.1, 0.2, 5, 6]]},
        {"groups": [[0.1, 0.2, 0, 0]]},
        {"groups": [[0.1, 0.2, 5]]},
        {"groups": []},
        {"groups": [], "spread": math.inf},
        {"rows": 0},
        {"spread": 1.0},
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rows|unpack"):
        Intervals.from_document({**Intervals("rows", 120, GROUPS).to_document(), **changed})
