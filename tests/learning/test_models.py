"""Models: gradients against finite differences, solutions against scikit-learn, metrics against their definitions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.data.bundled import Floats, load, split
from fedsec.data.label import Task
from fedsec.errors import ConfigurationError, DataError
from fedsec.learning import outcomes
from fedsec.learning.models import MODELS, Model, Parameters, build, local_rng
from tests.tiers import examples

OUTPUTS = {"multiclass": 3, "survival": 5}
EVERY = [build(name, task, OUTPUTS.get(task, 1)) for name, model in MODELS.items() for task in model.tasks]
ids = [f"{model.name}-{model.task}" for model in EVERY]
every_model = pytest.mark.parametrize("model", EVERY, ids=ids)


def rows_for(model: Model, rows: int, columns: int = 4, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, columns))
    raw = features[:, 0] + 0.5 * rng.normal(size=rows)
    targets = {
        "classification": (raw > 0.0).astype(np.float64),
        "multiclass": np.digitize(raw, [-0.5, 0.5]).astype(np.float64),
        "count": rng.poisson(np.exp(0.5 * raw)).astype(np.float64),
        "survival": np.copysign(rng.exponential(np.exp(-raw)).clip(0.0, 5.0), rng.random(rows) - 0.3),
    }
    return features, targets.get(model.task, raw)


def perturbed(model: Model, columns: int = 4) -> Parameters:
    rng = np.random.default_rng(1)
    return {name: values + rng.normal(size=values.shape) for name, values in model.initial(columns, 0).items()}


@every_model
def test_gradient_against_finite_differences(model: Model) -> None:
    features, target = rows_for(model, 7)
    parameters = perturbed(model)
    _, gradient = model.loss_and_gradient(parameters, features, target)
    assert {name: g.shape for name, g in gradient.items()} == {name: p.shape for name, p in parameters.items()}
    step = 1e-6
    for name, values in parameters.items():
        for index in np.ndindex(values.shape):
            losses = []
            for sign in (1.0, -1.0):
                moved = {key: array.copy() for key, array in parameters.items()}
                moved[name][index] += sign * step
                losses.append(model.loss_and_gradient(moved, features, target)[0])
            assert gradient[name][index] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5, abs=1e-7)


def fitted(model: Model, features: Floats, target: Floats, schedule: tuple[float, ...]) -> Parameters:
    parameters = model.initial(features.shape[1], 0)
    for learning_rate in schedule:
        parameters, _ = model.train(parameters, features, target, local_rng(0, 1, 0), 2000, learning_rate, len(target))
    return parameters


@pytest.mark.slow  # to import scikit-learn takes seconds
def test_linear_reaches_least_squares() -> None:
    from sklearn.linear_model import LinearRegression

    model = build("linear", "regression")
    features, target = rows_for(model, 60)
    parameters = fitted(model, features, target, (0.1,))
    exact = LinearRegression().fit(features, target)
    np.testing.assert_allclose(parameters["weights"], exact.coef_, atol=1e-8)
    np.testing.assert_allclose(parameters["bias"], exact.intercept_, atol=1e-8)


@pytest.mark.slow  # to import scikit-learn takes seconds
def test_logistic_reaches_scikit_learns_solution() -> None:
    from sklearn.linear_model import LogisticRegression

    model = build("logistic", "classification")
    features, target = rows_for(model, 200)
    flipped = np.where(np.arange(200) % 5 == 0, 1.0 - target, target)  # not separable, so the optimum is finite
    parameters = fitted(model, features, flipped, (0.5,))
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(features, flipped)
    np.testing.assert_allclose(parameters["weights"], exact.coef_[0], atol=1e-5)
    np.testing.assert_allclose(model.predict(parameters, features), exact.predict_proba(features)[:, 1], atol=1e-5)


@pytest.mark.parametrize("name", ["breast-cancer", "diabetes"])
def test_mlp_learns(name: str) -> None:
    train, _ = split(load(name), 0)
    model = build("mlp", train.task)
    before = model.initial(train.features.shape[1], 0)
    _, loss = model.train(before, train.features, train.target, local_rng(0, 1, 0), 20, 0.02, 16)
    assert loss < 0.6 * model.evaluate(before, train.features, train.target)["loss"]


@every_model
def test_train_returns_new_parameters_and_their_loss(model: Model) -> None:
    features, target = rows_for(model, 30)
    parameters = perturbed(model)
    kept = {name: values.copy() for name, values in parameters.items()}
    new, loss = model.train(parameters, features, target, local_rng(0, 1, 0), 3, 0.05, 8)
    assert loss == pytest.approx(model.evaluate(new, features, target)["loss"])
    for name in parameters:
        np.testing.assert_array_equal(parameters[name], kept[name])
        assert new[name].dtype == np.float64 and not np.shares_memory(new[name], parameters[name])
        assert not np.array_equal(new[name], parameters[name])


@every_model
def test_training_is_a_function_of_the_generator(model: Model) -> None:
    features, target = rows_for(model, 30)
    runs = [
        model.train(perturbed(model), features, target, local_rng(0, 1, hospital), 2, 0.05, 8)[0]
        for hospital in (0, 0, 1)
    ]
    name = next(iter(runs[0]))
    np.testing.assert_array_equal(runs[0][name], runs[1][name])
    assert not np.array_equal(runs[0][name], runs[2][name])


@every_model
def test_proximal_term(model: Model) -> None:
    """One step from w: FedProx adds exactly -learning_rate * mu * (w - anchor), so nothing when w is the anchor."""
    features, target = rows_for(model, 10)
    start, anchor = perturbed(model), model.initial(4, 0)

    def step(proximal: float, anchor: Parameters | None = None) -> Parameters:
        return model.train(start, features, target, local_rng(0, 1, 0), 1, 0.1, 10, proximal, anchor)[0]

    plain, pulled = step(0.0), step(0.5, anchor)
    for name in start:
        np.testing.assert_allclose(pulled[name], plain[name] - 0.1 * 0.5 * (start[name] - anchor[name]))
        np.testing.assert_array_equal(step(0.5)[name], plain[name])


@every_model
def test_proximal_training_stays_nearer(model: Model) -> None:
    features, target = rows_for(model, 40)
    start = model.initial(4, 0)

    def moved(proximal: float) -> float:
        new, _ = model.train(start, features, target, local_rng(0, 1, 0), 20, 0.05, 8, proximal)
        return sum(float(np.square(new[name] - start[name]).sum()) for name in start)

    assert moved(5.0) < 0.5 * moved(0.0)


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.sampled_from(EVERY))
def test_metrics_aggregate_by_weighted_mean(sizes: list[int], model: Model) -> None:
    features, target = rows_for(model, sum(sizes))
    parameters = perturbed(model)
    cuts = np.cumsum(sizes)[:-1]
    pairs = zip(np.split(features, cuts), np.split(target, cuts), strict=True)
    parts = [model.evaluate(parameters, *pair) for pair in pairs]
    whole = model.evaluate(parameters, features, target)
    for name, value in whole.items():
        assert np.average([part[name] for part in parts], weights=sizes) == pytest.approx(value, rel=1e-12, abs=1e-12)


def test_classification_metrics_by_hand() -> None:
    model = build("logistic", "classification")
    parameters = {"weights": np.array([1.0]), "bias": np.zeros(1)}
    features, target = np.array([[2.0], [1.0], [-1.0], [-3.0], [-4.0]]), np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    means = model.evaluate(parameters, features, target)
    assert {key: means[key] for key in ("tp", "fp", "fn", "tn", "accuracy")} == pytest.approx(
        {"tp": 0.2, "fp": 0.2, "fn": 0.2, "tn": 0.4, "accuracy": 0.6}
    )
    chance = model.predict(parameters, features)
    by_hand = -np.mean(target * np.log(chance) + (1.0 - target) * np.log(1.0 - chance))
    assert means["loss"] == pytest.approx(by_hand)
    figures = outcomes.of("classification").quality(means)
    assert (figures["sensitivity"], figures["specificity"]) == pytest.approx((0.5, 2 / 3))


@pytest.mark.slow  # to import scikit-learn takes seconds
def test_regression_quality_against_scikit_learn() -> None:
    from sklearn.linear_model import LinearRegression

    train, test = split(load("diabetes"), 0)
    exact = LinearRegression().fit(train.features, train.target)
    parameters = {"weights": exact.coef_, "bias": np.array([exact.intercept_])}
    means = build("linear", "regression").evaluate(parameters, test.features, test.target)
    figures = outcomes.of("regression").quality(means, test.target_scale)
    errors = (exact.predict(test.features) - test.target) * test.target_scale
    assert figures["r2"] == pytest.approx(exact.score(test.features, test.target))
    assert figures["rmse"] == pytest.approx(math.sqrt(np.square(errors).mean()))


def test_quality_of_nothing_is_nan() -> None:
    figures = outcomes.of("classification").quality(
        {"loss": 0.1, "accuracy": 1.0, "tp": 0.0, "fn": 0.0, "tn": 1.0, "fp": 0.0}
    )
    assert math.isnan(figures["sensitivity"]) and figures["specificity"] == 1.0
    flat = outcomes.of("regression").quality({"loss": -1e-9, "target_mean": 1.0, "target_square": 1.0})
    assert flat["rmse"] == 0.0 and math.isnan(flat["r2"])


def test_log_loss_is_stable_far_out() -> None:
    model = build("logistic", "classification")
    parameters = {"weights": np.array([1e4]), "bias": np.zeros(1)}
    features, target = np.array([[1.0], [-1.0]]), np.array([0.0, 0.0])
    with np.errstate(all="raise", under="ignore"):
        assert model.evaluate(parameters, features, target)["loss"] == pytest.approx(5e3)
        np.testing.assert_array_equal(model.predict(parameters, features), [1.0, 0.0])


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("classification", "logistic"),
        ("regression", "linear"),
        ("count", "poisson"),
        ("multiclass", "softmax"),
        ("survival", "hazards"),
    ],
)
def test_auto(task: Task, name: str) -> None:
    outputs = OUTPUTS.get(task, 1)
    assert build("auto", task, outputs) == build(name, task, outputs)
    assert task in outcomes.OUTCOMES


@pytest.mark.parametrize(("task", "outputs"), [("classification", 2), ("count", 0), ("multiclass", 1), ("survival", 0)])
def test_scores_that_no_task_has(task: Task, outputs: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"{task} with {outputs} scores of a row; .* expected"):
        build("auto", task, outputs)


def test_model_that_does_not_fit_the_task() -> None:
    with pytest.raises(ConfigurationError, match=r"'linear' does not do classification; these do: auto, logistic, mlp"):
        build("linear", "classification")
    with pytest.raises(ConfigurationError, match=r"unknown model 'logistics'; did you mean 'logistic'"):
        build("logistics", "classification")


@every_model
def test_initial_is_a_function_of_the_seed(model: Model) -> None:
    first, second = model.initial(5, 3), model.initial(5, 3)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
        largest = 2.0 if model.task == "survival" else math.sqrt(6 / 17)
        assert values.dtype == np.float64 and np.abs(values).max() <= largest
    if model.name == "mlp":
        assert not np.array_equal(first["hidden.weights"], model.initial(5, 4)["hidden.weights"])


@every_model
def test_feature_mismatch_says_expected_and_got(model: Model) -> None:
    features, target = rows_for(model, 10, columns=3)
    with pytest.raises(DataError, match=rf"{model.name} on 3 feature columns has parameters .*\(3,.*got .*\(4,"):
        model.train(model.initial(4, 0), features, target, local_rng(0, 1, 0), 1, 0.1, 4)
    with pytest.raises(DataError, match="at least one row"):
        model.evaluate(model.initial(3, 0), features[:0], target[:0])
    with pytest.raises(DataError, match=r"target \(9,\)"):
        model.evaluate(model.initial(3, 0), features, target[:9])


def test_divergence_is_told() -> None:
    model = build("linear", "regression")
    features, target = rows_for(model, 50)
    with pytest.raises(ConfigurationError, match=r"diverged.*use a learning_rate below 10"):
        model.train(model.initial(4, 0), features, target, local_rng(0, 1, 0), 100, 10.0, 5)


def test_models_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        build("auto", "regression").task = "classification"  # type: ignore[misc]


def test_local_rng_is_keyed_by_all_three() -> None:
    keys = [(0, 1, 1), (0, 1, 0), (0, 2, 1), (1, 1, 1), (0, 0, 0), (1, 0, 0), (1, 1, 0), (2**32 - 1, 1, 0)]
    assert len({local_rng(*key).integers(2**63) for key in keys}) == len(keys)
    assert local_rng(5, 2, 3).integers(2**63) == local_rng(5, 2, 3).integers(2**63)


@pytest.mark.parametrize("key", [(2**32, 1, 0), (-1, 1, 0), (0, -1, 0), (0, 1, 2**32)])
def test_local_rng_out_of_range(key: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigurationError, match="must be from 0 to"):
        local_rng(*key)
