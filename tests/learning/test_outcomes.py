"""Counts, several classes and survival times: solutions and figures against statsmodels, scikit-learn and lifelines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.data.bundled import Floats
from fedsec.data.label import Label
from fedsec.errors import ConfigurationError
from fedsec.learning import outcomes
from fedsec.learning.models import Model, Parameters, build, local_rng
from fedsec.learning.outcomes import survival

EDGES = (0.0, 1.0, 2.5, 4.0, 7.0)
TIMES = Label("time", "survival", 0.0, 7.0, event="died", intervals=EDGES)
seeds = st.integers(0, 2**32 - 1)


def features_of(rows: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, 3))


def times(rows: int, seed: int = 0) -> Floats:
    """Signed times that follow a proportional hazard, censored at random; some tied, and some at the edges."""
    rng = np.random.default_rng(seed)
    hazard = 0.3 * np.exp(features_of(rows, seed) @ [0.8, -0.5, 0.0])
    found, censored = rng.exponential(1.0 / hazard), rng.exponential(5.0, rows).clip(0.0, 7.0)
    grid = np.where(rng.random(rows) < 0.5, 0.5, 1e-3)
    return np.copysign(np.ceil(np.minimum(found, censored) / grid) * grid, (found <= censored) - 0.5).clip(-7.0, 7.0)


def in_intervals(signed: Floats) -> Floats:
    return np.copysign(np.interp(np.abs(signed), EDGES, np.arange(len(EDGES))), signed)


def fitted(model: Model, features: Floats, target: Floats, schedule: tuple[float, ...]) -> Parameters:
    parameters = model.initial(features.shape[1], 0)
    for rate in schedule:
        parameters, _ = model.train(parameters, features, target, local_rng(0, 1, 0), 1500, rate, len(target))
    return parameters


@pytest.mark.slow  # to import statsmodels takes seconds
def test_poisson_regression_is_that_of_statsmodels() -> None:
    import statsmodels.api as sm

    features = features_of(300)
    counts = np.random.default_rng(1).poisson(np.exp(1.0 + features @ [0.4, -0.3, 0.0])).astype(np.float64)
    exact = sm.GLM(counts, sm.add_constant(features), family=sm.families.Poisson()).fit()
    model, scaled = build("auto", "count"), counts / counts.mean()
    parameters = fitted(model, features, scaled, (0.5, 0.2))
    np.testing.assert_allclose(parameters["weights"], exact.params[1:], atol=1e-6)
    np.testing.assert_allclose(model.predict(parameters, features) * counts.mean(), exact.fittedvalues, rtol=1e-5)
    figures = model.outcome.quality(model.evaluate(parameters, features, scaled), counts.mean())
    assert figures["d2"] == pytest.approx(1.0 - exact.deviance / exact.null_deviance)
    assert figures["rmse"] == pytest.approx(math.sqrt(np.square(exact.fittedvalues - counts).mean()), rel=1e-5)
    assert figures["observed_to_expected"] == pytest.approx(1.0, abs=1e-6)
    assert model.outcome.compared(model.score(parameters, features), scaled) == pytest.approx(figures["d2"])


@pytest.mark.slow  # to import scikit-learn takes seconds
def test_multinomial_regression_is_that_of_scikit_learn() -> None:
    from sklearn import metrics
    from sklearn.linear_model import LogisticRegression

    rng, features = np.random.default_rng(2), features_of(300)
    target = np.digitize(features[:, 0] + rng.normal(0.0, 1.0, 300), [-0.6, 0.9]).astype(np.float64)
    model = build("auto", "multiclass", 3)
    parameters = fitted(model, features, target, (1.0, 0.5))
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000).fit(features, target)
    chances = model.predict(parameters, features)
    np.testing.assert_allclose(chances, exact.predict_proba(features), atol=1e-5)
    np.testing.assert_allclose(parameters["weights"].T - parameters["weights"].mean(axis=1), exact.coef_, atol=1e-4)
    score, told = model.score(parameters, features), chances.argmax(axis=1)
    means = {**model.evaluate(parameters, features, target), **model.outcome.sums(score, target)}
    figures = model.outcome.quality(means)
    assert figures["loss"] == pytest.approx(metrics.log_loss(target, chances))
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(target, told))
    assert figures["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(target, told))
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(target, told, average="macro"))
    curve = metrics.roc_auc_score(target, chances, multi_class="ovr", average="macro")
    assert model.outcome.compared(score, target) == pytest.approx(curve)
    assert figures["macro_auc"] == pytest.approx(curve, abs=0.01)  # off by half the pairs of one bin at most
    confusion = outcomes.of_metrics(means).confusion(means)  # type: ignore[union-attr]
    np.testing.assert_allclose(confusion * 300, metrics.confusion_matrix(target, told))


@pytest.mark.slow  # to import lifelines takes seconds
def test_hazards_are_those_of_the_piecewise_exponential_model() -> None:
    pandas, lifelines = pytest.importorskip("pandas"), pytest.importorskip("lifelines")
    features, signed = features_of(250), times(250)
    model, target = build("auto", "survival", TIMES.outputs), in_intervals(signed)
    parameters = fitted(model, features, target, (1.0, 0.5))
    frame = pandas.DataFrame(features, columns=list("abc")).assign(time=np.abs(signed), died=~np.signbit(signed))
    # of the same hazards, one regression a person and interval: events are Poisson, their exposure known
    import statsmodels.api as sm

    exposed = np.clip(np.abs(target)[:, None] - np.arange(4), 0.0, 1.0)
    here = np.clip(np.ceil(np.abs(target)).astype(int) - 1, 0, 3)
    events = (here[:, None] == np.arange(4)) & ~np.signbit(target)[:, None]
    rows, cells = np.nonzero(exposed > 0)
    design = np.column_stack([features[rows], np.eye(4)[cells]])
    exact = sm.GLM(
        events[rows, cells].astype(float), design, family=sm.families.Poisson(), exposure=exposed[rows, cells]
    ).fit()
    np.testing.assert_allclose(parameters["weights"], exact.params[:3], atol=1e-4)
    np.testing.assert_allclose(parameters["bias"], exact.params[3:], atol=1e-3)
    cox = lifelines.CoxPHFitter().fit(frame, "time", "died")
    np.testing.assert_allclose(parameters["weights"], cox.params_, atol=0.1)
    score = model.score(parameters, features)
    by_lifelines = lifelines.utils.concordance_index(np.abs(signed), -survival.risk(score), ~np.signbit(signed))
    assert model.outcome.compared(score, signed) == pytest.approx(by_lifelines)


def c_index(risk: Floats, signed: Floats, counts: Floats) -> float:
    """Harrell's C by its definition, a pair at a time."""
    won = pairs = 0.0
    for first in range(len(risk)):
        for second in range(len(risk)):
            before = abs(signed[first]) < abs(signed[second])
            tied = abs(signed[first]) == abs(signed[second]) and np.signbit(signed[second])
            if not np.signbit(signed[first]) and (before or tied):
                pairs += counts[first] * counts[second]
                better = (risk[first] > risk[second]) + 0.5 * (risk[first] == risk[second])
                won += counts[first] * counts[second] * better
    return won / pairs if pairs else math.nan


@given(seeds, st.integers(1, 12), st.integers(1, 3))
def test_concordance_is_that_of_all_pairs(seed: int, rows: int, draws: int) -> None:
    rng = np.random.default_rng(seed)
    signed = np.copysign(rng.integers(0, 5, rows).astype(np.float64), rng.random(rows) - 0.4)
    score = np.repeat(rng.integers(-2, 3, (rows, 1)).astype(np.float64), 3, axis=1)
    counts = rng.integers(0, 3, (draws, rows)).astype(np.float64)
    outcome = outcomes.of("survival", 3)
    expected = [c_index(score[:, 0], signed, one) for one in counts]
    np.testing.assert_allclose(outcome.compared(score, signed, counts), expected)
    np.testing.assert_allclose(outcome.compared(score, signed), c_index(score[:, 0], signed, np.ones(rows)))


@given(seeds, st.integers(1, 60))
def test_the_summed_concordance_is_that_of_intervals_and_bins(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    target = np.copysign(rng.uniform(0.0, 4.0, rows), rng.random(rows) - 0.4)
    score = rng.normal(-1.0, 2.0, (rows, 1)) + rng.normal(0.0, 0.3, 4)
    outcome = outcomes.of("survival", 4)
    sums = outcome.sums(score, target)
    assert math.isclose(outcomes.rows_in({**sums}) or 0.0, 1.0)
    bins = np.searchsorted(survival.EDGES, survival.risk(score), side="right").astype(np.float64)
    # rows that end in one interval are compared with nobody of it: as if its censored rows had ended before its events
    ended = np.ceil(np.abs(target)).clip(1.0)
    expected = c_index(bins, np.copysign(ended - 0.25 * np.signbit(target), target), np.ones(rows))
    np.testing.assert_allclose(
        outcome.quality({**sums, "loss": 0.0, "expected_mean": 1.0})["c_index"], expected, atol=1e-9
    )


@given(seeds, st.lists(st.integers(1, 30), min_size=2, max_size=4), st.sampled_from(["multiclass", "survival"]))
def test_what_hospitals_add_up_is_what_all_rows_have(seed: int, sizes: list[int], task: str) -> None:
    rng, rows = np.random.default_rng(seed), sum(sizes)
    outcome = outcomes.of(task, 3)  # type: ignore[arg-type]
    score = rng.normal(size=(rows, 3))
    target = rng.integers(0, 3, rows).astype(np.float64)
    if task == "survival":
        target = np.copysign(rng.uniform(0.0, 3.0, rows), rng.random(rows) - 0.5)
    ends = np.cumsum(sizes)[:-1]
    parts = list(zip(np.split(score, ends), np.split(target, ends), strict=True))
    for shares in (True, False):
        whole, each = outcome.sums(score, target, shares), [outcome.sums(*part, shares) for part in parts]
        weights = np.array(sizes) / rows if shares else np.ones(len(sizes))
        for key, values in whole.items():
            np.testing.assert_allclose(weights @ np.array([one[key] for one in each]), values)
        assert sum(map(sum, whole.values())) == pytest.approx(
            (1.0 if shares else rows) * (1 if task == "survival" else 1 + 3)
        )


def test_a_survival_time_is_the_chance_of_no_event_so_far() -> None:
    outcome, score = outcomes.of("survival", 2), np.log(np.array([[0.5, 1.0]]))
    np.testing.assert_allclose(outcome.predict(score), np.exp([[-0.5, -1.5]]))
    # an event a quarter into the second interval, one at the edge, one at time 0, and a censored row
    target = np.array([1.25, 1.0, 0.0, -1.25])
    expected = [0.5 + 0.25 * 1.0 - math.log(1.0), 0.5 - math.log(0.5), -math.log(0.5), 0.5 + 0.25 * 1.0]
    np.testing.assert_allclose(outcome.loss(np.repeat(score, 4, axis=0), target), expected)
    assert np.isfinite(outcome.loss(np.full((4, 2), 1e6), target)).all()


def test_figures_of_nothing_are_nan() -> None:
    alike = outcomes.of("count").quality(
        {"loss": 0.0, "target_mean": 0.0, "target_log": 0.0, "expected_mean": 0.0, "squared_error": 0.0}
    )
    assert math.isnan(alike["d2"]) and math.isnan(alike["observed_to_expected"]) and alike["rmse"] == 0.0
    censored = outcomes.of("survival", 2)
    score = np.zeros((3, 2))
    assert math.isnan(censored.compared(score, np.array([-1.0, -2.0, -0.0])))
    one_class = outcomes.of("multiclass", 3)
    found = one_class.quality({"loss": 0.1, **one_class.sums(np.zeros((4, 3)), np.zeros(4))})
    assert math.isnan(found["macro_auc"]) and found["balanced_accuracy"] == 1.0


def test_metrics_tell_their_task() -> None:
    rng = np.random.default_rng(0)
    for task, outputs in (("classification", 1), ("regression", 1), ("count", 1), ("multiclass", 4), ("survival", 3)):
        outcome = outcomes.of(task, outputs)  # type: ignore[arg-type]
        score = rng.normal(size=20 if outputs == 1 else (20, outputs))
        target = rng.integers(0, 2, 20).astype(np.float64)
        per_row = {"loss": outcome.loss(score, target), **outcome.per_row(score, target)}
        means = {key: float(value.mean()) for key, value in per_row.items()} | outcome.sums(score, target)
        assert outcomes.of_metrics(means) == outcome
        assert outcomes.measured(means).keys() == {outcome.measure}
    assert outcomes.of_metrics({"loss": 1.0}) is None and outcomes.measured({"train_loss": 1.0}) == {}
    with pytest.raises(ConfigurationError, match="2 scores of a row; 1 was expected"):
        outcomes.of("count", 2)


def test_one_interval_is_an_exponential_model() -> None:
    model, features = build("auto", "survival", 1), features_of(200)
    target = np.copysign(np.abs(times(200)) / 7.0, times(200))
    parameters = fitted(model, features, target, (0.5,))
    assert model.score(parameters, features).shape == (200, 1)
    mlp = build("mlp", "survival", 1)
    assert mlp.score(mlp.initial(3, 0), features).shape == (200, 1)
    means = {
        **model.evaluate(parameters, features, target),
        **model.outcome.sums(model.score(parameters, features), target),
    }
    assert model.outcome.quality(means)["observed_to_expected"] == pytest.approx(1.0, abs=1e-4)


def test_a_start_is_where_hazards_begin() -> None:
    model = build("auto", "survival", 3, (-1.0, -2.0, -3.0))
    np.testing.assert_array_equal(model.initial(2, 0)["bias"], [-1.0, -2.0, -3.0])
    np.testing.assert_allclose(build("mlp", "survival", 2).initial(2, 0)["output.bias"], np.log([0.5, 0.5]))
