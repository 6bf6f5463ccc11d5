"""AUC: exact, from summed histograms within their bound, and with an interval; against scikit-learn."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.app.config import RunConfig
from fedsec.flower.verdict import Round
from fedsec.learning.auc import auc, auc_of_histogram, histogram, interval, r_squared
from fedsec.server.differencing import determined
from fedsec.simulations.run.results import disclosed, warnings

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.slow
@given(SEEDS, st.integers(2, 200), st.booleans())
def test_the_exact_auc_is_scikit_learn_s(seed: int, rows: int, ties: bool) -> None:
    from sklearn.metrics import r2_score, roc_auc_score

    rng = np.random.default_rng(seed)
    score = rng.integers(0, 5, rows).astype(np.float64) if ties else rng.normal(size=rows)
    target = np.concatenate([[0.0, 1.0], rng.integers(0, 2, rows - 2)])
    counts = rng.integers(0, 4, rows).astype(np.float64)
    counts[:2] = 1.0
    assert auc(score, target) == pytest.approx(roc_auc_score(target, score), abs=1e-12)
    expected = roc_auc_score(target, score, sample_weight=counts)
    assert auc(score, target, counts) == pytest.approx(expected, abs=1e-12)
    assert r_squared(score, target, counts) == pytest.approx(r2_score(target, score, sample_weight=counts), abs=1e-9)


@pytest.mark.slow
@given(SEEDS, st.integers(1, 5))
def test_the_auc_of_summed_histograms_is_within_its_bound(seed: int, hospitals: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    parts = [rng.integers(5, 60) for _ in range(hospitals)]
    target = rng.integers(0, 2, sum(parts)).astype(np.float64)
    target[:2] = 0.0, 1.0
    score = rng.normal(scale=4.0, size=sum(parts)) + target
    cuts = np.split(np.arange(sum(parts)), np.cumsum(parts)[:-1])
    told = [histogram(score[cut], target[cut]) for cut in cuts]
    means = {
        key: np.sum([len(cut) * np.array(one[key]) for cut, one in zip(cuts, told, strict=True)], axis=0) / sum(parts)
        for key in told[0]
    }
    found, bound = auc_of_histogram(means)
    assert abs(found - roc_auc_score(target, score)) <= bound + 1e-12


def test_one_class_has_no_auc() -> None:
    score, target = np.arange(4.0), np.ones(4)
    assert math.isnan(auc(score, target)) and math.isnan(auc_of_histogram(histogram(score, target))[0])


def test_an_interval_holds_the_truth_and_persons_make_it_wider() -> None:
    rng = np.random.default_rng(0)
    score = np.repeat(rng.normal(size=120), 10)
    target = np.repeat(rng.integers(0, 2, 120), 10).astype(np.float64)
    person = np.repeat(np.arange(120), 10)
    (low, high), same = interval(auc, [score, score], target, person, 3)
    assert same == (low, high) and low < auc(score, target) < high
    [(near, far)] = interval(auc, [score], target, None, 3)
    assert far - near < 0.5 * (high - low)


@given(st.lists(st.integers(1, 500), min_size=3, max_size=7), st.data())
def test_what_sums_determine_is_found_and_nothing_else(rows: list[int], data: st.DataObject) -> None:
    parties = st.sets(st.integers(1, len(rows)), min_size=1)
    cohorts = data.draw(st.lists(parties, min_size=1, max_size=6))
    found = determined([(cohort, sum(rows[party - 1] for party in cohort)) for cohort in cohorts])
    assert all(value == pytest.approx(rows[party - 1], abs=1e-5) for party, value in found.items())
    matrix = np.array([[party + 1 in cohort for party in range(len(rows))] for cohort in cohorts], dtype=float)
    rank = np.linalg.matrix_rank(matrix)
    for party, unit in enumerate(np.eye(len(rows)), start=1):
        assert (party in found) == (np.linalg.matrix_rank(np.vstack([matrix, unit])) == rank)


def test_a_dropout_tells_rows_and_loss() -> None:
    rows, loss = {1: 100, 2: 50, 3: 80, 4: 30}, {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9}

    def outcome(number: int, parties: tuple[int, ...]) -> Round:
        total = sum(rows[party] for party in parties)
        mean = sum(rows[party] * loss[party] for party in parties) / total
        return Round(number, "evaluate", 4, len(parties), parties, total, metrics={"loss": mean})

    here = SimpleNamespace(names=("a", "b", "c", "d"), parts=[range(80), range(50), range(30), range(100)])
    both: list[Round] = [outcome(1, (1, 2, 3, 4)), outcome(2, (1, 2, 3))]
    [told] = disclosed(both, RunConfig(), here)  # type: ignore[arg-type]
    assert (told.party, told.hospital, told.rows) == (4, "c", 30) and told.train_loss is None
    assert told.loss == pytest.approx(0.9, abs=1e-6)
    assert disclosed([both[0], both[0]], RunConfig(), here) == []  # type: ignore[arg-type]


def test_with_equal_weights_metrics_alone_are_told() -> None:
    loss = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9}

    def outcome(number: int, parties: tuple[int, ...]) -> Round:
        mean = sum(loss[party] for party in parties) / len(parties)
        return Round(number, "train", 4, len(parties), parties, len(parties), metrics={"train_loss": mean})

    here = SimpleNamespace(names=("a", "b", "c", "d"), parts=[range(80)] * 4)
    cohorts = [(1, 2, 3), (1, 2, 4), (1, 3, 4), (2, 3, 4)]
    rounds = [outcome(number, cohort) for number, cohort in enumerate(cohorts)]
    told = disclosed(rounds, RunConfig(equal_weights=True), here)  # type: ignore[arg-type]
    assert [one.rows for one in told] == [None] * 4
    assert [one.train_loss for one in told] == pytest.approx(list(loss.values()), abs=1e-5)


def test_with_equal_weights_rows_by_class_tell_the_row_count_of_who_dropped_out() -> None:
    rows = {1: 80, 2: 70, 3: 60, 4: 50}

    def outcome(number: int, parties: tuple[int, ...]) -> Round:
        found = {"tp": 0.25, "fp": 0.25, "tn": 0.125, "fn": 0.375}
        mean = sum(rows[party] for party in parties) / len(parties)
        metrics = {key: share * mean for key, share in found.items()}
        return Round(number, "evaluate", 4, len(parties), parties, len(parties), metrics=metrics)

    here = SimpleNamespace(names=("a", "b", "c", "d"), parts=[range(count) for count in rows.values()])
    told = disclosed([outcome(1, (1, 2, 3, 4)), outcome(2, (1, 2, 3))], RunConfig(equal_weights=True), here)  # type: ignore[arg-type]
    assert [(one.party, one.hospital, one.rows) for one in told] == [(4, "d", 50)]


def test_warnings_have_the_numbers_and_go_where_nothing_is_told() -> None:
    [told] = warnings(RunConfig(), [100, 40, 70], 1)
    assert "between 40 and 100" in told
    sampled, _ = warnings(RunConfig(fraction=0.5), [100, 40, 70, 60, 50, 30], 1)
    assert "samples 3 of 6" in sampled and "between 30 and 100" in sampled
    assert warnings(RunConfig(), [100, 40, 70], 0) == []
    assert warnings(RunConfig(cohort="fixed"), [100, 40, 70], 1) == []
    [equal] = warnings(RunConfig(equal_weights=True), [100, 40, 70], 1)
    assert "its row count (between 40 and 100)" in equal and "metrics" in equal
