"""Clinical measures from two histograms, against scikit-learn on the rows themselves, within what bins may be off."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.data.bundled import Floats
from fedsec.errors import ConfigurationError
from fedsec.learning import auc as exact
from fedsec.learning import calibration_measures, clinical, decision_threshold
from fedsec.learning.clinical import Bins
from fedsec.learning.local_training import Training, client_evaluate
from fedsec.learning.models import build
from tests.tiers import examples

SEEDS = st.integers(0, 2**32 - 1)
ROUNDING = 1e-9


def rows(seed: int, number: int, scale: float = 1.5) -> tuple[Floats, Floats]:
    """Scores and classes of both kinds, which the scores tell apart more or less."""
    rng = np.random.default_rng(seed)
    target = np.concatenate([[0.0, 1.0], rng.integers(0, 2, number - 2)])
    score = rng.normal(rng.uniform(-2, 2), scale, number) + rng.uniform(-0.5, 2.0) * target
    if seed % 3 == 0:  # ties, on edges too
        score = np.round(score * 4) / 4
    return score, target


def binned(score: Floats, target: Floats) -> Bins:
    found = exact.histogram(score, target, shares=False)
    return clinical.of_histogram(found[exact.POSITIVE], found[exact.NEGATIVE])


def within(found: clinical.Bounded, expected: float, slack: float = ROUNDING) -> None:
    assert abs(found.value - expected) <= found.off + slack


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(SEEDS, st.integers(2, 300), st.sampled_from([0.5, 1.5, 4.0]))
def test_measures_are_scikit_learn_s_within_what_bins_may_be_off(seed: int, number: int, scale: float) -> None:
    from sklearn import metrics

    score, target = rows(seed, number, scale)
    chance = clinical.probability(score)
    for bins, widest in ((binned(score, target), math.inf), (clinical.of_rows(score, target), 0.0)):
        for measure, expected in (
            (clinical.auc, metrics.roc_auc_score(target, score)),
            (clinical.average_precision, metrics.average_precision_score(target, score)),
            (clinical.brier, metrics.brier_score_loss(target, chance)),
        ):
            found = measure(bins)
            within(found, expected)
            assert 0.0 <= found.off <= widest + ROUNDING


@given(SEEDS, st.integers(20, 300))
def test_calibration_in_the_large_is_a_regression_s_intercept_within_half_a_bin(seed: int, number: int) -> None:
    score, target = rows(seed, number)
    found, plain = calibration_measures.calibration_in_the_large(binned(score, target)), clinical.of_rows(score, target)
    truth = calibration_measures.calibration_in_the_large(plain)
    assert clinical.probability(score + truth.value).mean() == pytest.approx(target.mean(), abs=1e-9)
    assert truth.off < ROUNDING
    within(found, truth.value)
    if np.abs(score).max() < 7.5:
        assert found.off <= 0.125 + ROUNDING


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(SEEDS, st.integers(60, 300))
def test_slope_and_intercept_are_scikit_learn_s_logistic_regression(seed: int, number: int) -> None:
    from sklearn.linear_model import LogisticRegression

    score, target = rows(seed, number)
    found = calibration_measures.recalibration(clinical.of_rows(score, target))
    fitted = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(score[:, None], target)
    assert found.slope == pytest.approx(fitted.coef_[0, 0], abs=1e-3, rel=1e-3)
    assert found.intercept == pytest.approx(fitted.intercept_[0], abs=1e-3, rel=1e-3)
    assert found.off == 0.0
    summed = calibration_measures.recalibration(binned(score, target))
    # first order in a bin's width: a tenth more is for what comes after it
    assert abs(summed.slope - found.slope) <= 1.1 * summed.off + 0.02


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(SEEDS, st.integers(10, 300), st.floats(0.01, 0.99))
def test_a_threshold_comes_to_what_the_confusion_matrix_says(seed: int, number: int, any_threshold: float) -> None:
    from sklearn import metrics

    score, target = rows(seed, number)
    bins = binned(score, target)
    for point in (*clinical.curve(bins)[seed % 5 :: 5], clinical.at(bins, any_threshold)):
        called = clinical.log_odds(point.threshold) <= score
        (tn, fp), (fn, tp) = metrics.confusion_matrix(target, called, labels=[0, 1])
        within(point.sensitivity, tp / (tp + fn))
        within(point.specificity, tn / (tn + fp))
        if point.threshold == any_threshold:
            continue
        assert point.sensitivity.off == 0.0 and point.specificity.off == 0.0
        odds = point.threshold / (1 - point.threshold)
        assert point.net_benefit == pytest.approx(tp / number - fp / number * odds, abs=1e-9)
        assert point.predicted_positive == pytest.approx((tp + fp) / number)
        if tp + fp:
            assert point.precision == pytest.approx(tp / (tp + fp))


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(SEEDS, st.integers(40, 400))
def test_youden_is_the_best_edge_and_a_sensitivity_is_kept(seed: int, number: int) -> None:
    from sklearn import metrics

    score, target = rows(seed, number)
    bins = binned(score, target)
    if bins.lacking:
        return
    false, true, _ = metrics.roc_curve(target, np.searchsorted(exact.EDGES, score, side="right"))
    chosen = decision_threshold.choose(decision_threshold.parse("youden"), bins, "these")
    at = clinical.at(bins, chosen.threshold)
    assert at.sensitivity.value + at.specificity.value - 1 == pytest.approx((true - false).max())
    for kind, place in (("sensitivity", 1), ("specificity", 2)):
        chosen = decision_threshold.choose(decision_threshold.parse(f"{kind}=0.8"), bins, "these")
        assert clinical.at(bins, chosen.threshold)[place].value >= 0.8
        assert f"for a {kind} of 0.8" in chosen.how
        side = np.flatnonzero(np.isclose(clinical.probability(exact.EDGES), chosen.threshold))[0]
        beyond = side + 1 if kind == "sensitivity" else side - 1
        if 0 <= beyond < len(exact.EDGES):  # one step further it would not be kept
            assert clinical.curve(bins)[beyond][place].value < 0.8


@given(SEEDS, st.integers(10, 400))
def test_groups_hold_all_rows_and_none_is_small(seed: int, number: int) -> None:
    score, target = rows(seed, number)
    bins, chance = binned(score, target), clinical.probability(score)
    groups = calibration_measures.calibration_groups(bins)
    assert 1 <= len(groups) <= calibration_measures.GROUPS and sum(group.rows for group in groups) == number
    for group in groups:
        inside = (chance >= group.low) & (chance < group.high)
        assert group.rows >= clinical.LEAST and group.rows == inside.sum()
        assert group.positive == target[inside].sum() and group.observed == pytest.approx(target[inside].mean())
        assert abs(group.predicted - chance[inside].mean()) <= 0.0313  # half a bin of log-odds, where it is widest
        assert group.interval[0] <= group.observed + 1e-12 and group.observed <= group.interval[1] + 1e-12


@given(SEEDS, st.integers(1, 5))
def test_means_of_hospitals_come_to_the_pooled_rows(seed: int, hospitals: int) -> None:
    score, target = rows(seed, 60 * hospitals)
    cuts = np.split(np.arange(len(score)), np.sort(np.random.default_rng(seed).integers(5, len(score), hospitals - 1)))
    pooled = binned(score, target)
    for shares in (True, False):
        told = [(len(cut), exact.histogram(score[cut], target[cut], shares)) for cut in cuts if len(cut)]
        weight = sum(size for size, _ in told) if shares else len(told)
        means = {
            key: sum((size if shares else 1) * np.array(one[key]) for size, one in told) / weight + 1e-8
            for key in (exact.POSITIVE, exact.NEGATIVE)
        }
        summed = clinical.of_means(means, weight)
        assert np.array_equal(summed.positive, pooled.positive) and np.array_equal(summed.negative, pooled.negative)


def test_weights_that_are_no_rows_still_give_the_measures_of_weighted_rows() -> None:
    """Powers of two, as an agreement may have them: a row counts as much as its hospital's weight says."""
    score, target = rows(7, 400)
    parts, weights = np.split(np.arange(400), [90, 250]), (64, 128, 128)
    told = [exact.histogram(score[part], target[part]) for part in parts]
    means = {
        key: sum(weight * np.array(one[key]) for weight, one in zip(weights, told, strict=True)) / sum(weights)
        for key in (exact.POSITIVE, exact.NEGATIVE)
    }
    found = clinical.of_means(means, sum(weights))
    counts = np.concatenate([np.full(len(part), w / len(part)) for part, w in zip(parts, weights, strict=True)])
    assert found.rows.sum() == pytest.approx(sum(weights), abs=1.0)
    within(clinical.auc(found), exact.auc(score, target, counts), slack=0.01)
    within(
        clinical.brier(found), float(counts @ (clinical.probability(score) - target) ** 2 / counts.sum()), slack=0.01
    )
    assert 0.0 < clinical.average_precision(found).value < 1.0


def test_class_1_is_predicted_from_the_threshold_on_as_everywhere_else() -> None:
    """The initial model scores 0 on every row, which is an edge: bins, evaluation and prediction call that positive."""
    model = build("logistic", "classification")
    features, target = np.ones((6, 2)), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    means = client_evaluate(Training(model), model.initial(2, 0), features, target)
    found = clinical.at(binned(np.zeros(6), target), 0.5)
    assert (found.sensitivity, found.specificity) == ((1.0, 0.0), (0.0, 0.0))
    assert means["tp"] == 0.5 and means["fp"] == 0.5 and found.predicted_positive == 1.0


def test_one_class_equal_scores_and_no_row_are_no_error() -> None:
    ones, equal = binned(np.arange(20.0) / 5, np.ones(20)), binned(np.full(40, 0.3), np.arange(40) % 2.0)
    empty = clinical.of_histogram(np.zeros(64), np.zeros(64))
    for bins in (ones, empty):
        for measure in (clinical.auc, clinical.average_precision, calibration_measures.calibration_in_the_large):
            assert math.isnan(measure(bins).value)
        assert bins.lacking and math.isnan(calibration_measures.recalibration(bins).slope)
        assert all(math.isnan(point.specificity.value) for point in clinical.curve(bins))
    assert math.isnan(clinical.brier(empty).value) and calibration_measures.calibration_groups(empty) == []
    assert clinical.brier(ones).value < 0.2 and len(calibration_measures.calibration_groups(ones)) >= 1
    assert clinical.auc(equal) == (0.5, 0.5) and math.isnan(calibration_measures.recalibration(equal).slope)
    assert calibration_measures.calibration_in_the_large(equal).value == pytest.approx(
        -0.375
    )  # the bin's middle is 0.375
    [group] = calibration_measures.calibration_groups(equal)
    assert (group.rows, group.positive, group.observed) == (40, 20, 0.5)
    apart = binned(np.repeat([-1.0, 1.0], 20), np.repeat([0.0, 1.0], 20))
    assert clinical.auc(apart) == (1.0, 0.0) and math.isnan(calibration_measures.recalibration(apart).slope)


def test_scores_in_the_open_bins_bound_no_slope() -> None:
    score = np.array([-9.0, -9.5, 9.0, 8.5, *np.linspace(-3, 3, 40)])
    target = np.array([0.0, 0.0, 1.0, 1.0, *(np.arange(40) % 3 == 0)])
    found = calibration_measures.recalibration(binned(score, target))
    assert math.isfinite(found.slope) and math.isinf(found.off)
    within(clinical.brier(binned(score, target)), float(((clinical.probability(score) - target) ** 2).mean()))


def test_too_few_of_a_class_leave_the_threshold_where_it_is() -> None:
    rng = np.random.default_rng(1)
    score, target = rng.normal(size=500), np.zeros(500)
    target[:9] = 1.0
    for rule in ("youden", "sensitivity=0.9"):
        chosen = decision_threshold.choose(decision_threshold.parse(rule), binned(score, target), "the rows")
        assert chosen.threshold == 0.5 and "fewer than 10 rows of one class" in chosen.how
    assert decision_threshold.choose(decision_threshold.parse("youden"), None, "").threshold == 0.5
    target[9] = 1.0
    chosen = decision_threshold.choose(decision_threshold.parse("youden"), binned(score, target), "the rows")
    assert "by Youden's index" in chosen.how


@pytest.mark.parametrize(
    "text", ["yuden", "0", "1", "1.5", "nan", "", "sensitivity", "sensitivity=", "recall=0.9", "youden=1"]
)
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"decision-threshold is .*youden, sensitivity=0.9"):
        decision_threshold.parse(text)


def test_rules_are_read() -> None:
    assert decision_threshold.parse("0.3") == ("fixed", 0.3)
    assert decision_threshold.parse(" Sensitivity=0.95") == ("sensitivity", 0.95)
    assert decision_threshold.parse("specificity=.5") == ("specificity", 0.5)
    assert decision_threshold.choose(decision_threshold.parse("0.3"), None, "").threshold == 0.3
