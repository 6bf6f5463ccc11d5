"""Datasets: what is loaded, what is refused, and how the held-out part is made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedsec.data.bundled import DATASETS, Dataset, held_out, load, split
from fedsec.data.label import Task
from fedsec.errors import ConfigurationError, DataError


def toy(task: Task = "classification", rows: int = 20) -> Dataset:
    rng = np.random.default_rng(0)
    target = np.arange(rows, dtype=np.float64) % 2 if task == "classification" else rng.normal(5.0, 3.0, rows)
    return Dataset("toy", task, rng.normal(size=(rows, 2)), target, ("a", "b"), "made up")


@pytest.mark.parametrize(("name", "rows", "columns"), [("breast-cancer", 569, 30), ("diabetes", 442, 10)])
def test_bundled_shapes(name: str, rows: int, columns: int) -> None:
    dataset = load(name)
    assert dataset.name == name
    assert dataset.features.shape == (rows, columns)
    assert dataset.target.shape == (rows,)
    assert len(set(dataset.feature_names)) == columns


def test_malignant_is_the_positive_class() -> None:
    assert load("breast-cancer").target.sum() == 212


def test_diabetes_is_in_the_units_of_the_source() -> None:
    dataset = load("diabetes")
    assert (dataset.target.min(), dataset.target.max()) == (25.0, 346.0)
    assert dataset.features[:, dataset.feature_names.index("age")].min() == 19.0


def test_unknown_name_gives_choices_and_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'diabetes'.*breast-cancer, diabetes"):
        load("diabetis")


@pytest.mark.parametrize("name", DATASETS)
def test_split_standardises_by_the_training_part(name: str) -> None:
    whole = load(name)
    train, test = split(whole, seed=3)
    assert len(train.target) + len(test.target) == len(whole.target)
    assert len(test.target) == pytest.approx(0.2 * len(whole.target), abs=1)
    np.testing.assert_allclose(train.features.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(train.features.std(axis=0), 1.0)
    # Not by its own figures: a test part scaled by itself would leak into what is measured on it.
    assert np.abs(test.features.mean(axis=0)).max() > 1e-3
    assert (train.target_mean, train.target_scale) == (test.target_mean, test.target_scale)
    original = np.concatenate([part.target * part.target_scale + part.target_mean for part in (train, test)])
    np.testing.assert_allclose(np.sort(original), np.sort(whole.target))


def test_split_keeps_no_scale_for_classes_and_stratifies() -> None:
    train, test = split(load("breast-cancer"), seed=0)
    assert (train.target_mean, train.target_scale) == (0.0, 1.0)
    assert train.target.mean() == pytest.approx(test.target.mean(), abs=0.01)


def test_split_is_a_function_of_the_seed() -> None:
    whole = load("diabetes")
    np.testing.assert_array_equal(split(whole, 1)[1].features, split(whole, 1)[1].features)
    assert not np.array_equal(split(whole, 1)[1].target, split(whole, 2)[1].target)


def test_splitting_twice_keeps_the_original_units() -> None:
    whole = toy("regression", 40)
    inner, _ = split(split(whole, 0)[0], 0)
    original = inner.target * inner.target_scale + inner.target_mean
    assert all(np.isclose(whole.target, value).any() for value in original)


def test_constant_column_stays_finite() -> None:
    dataset = toy()
    features = dataset.features.copy()
    features[:, 1] = 7.0
    train, _ = split(dataclasses.replace(dataset, features=features), 0)
    np.testing.assert_array_equal(train.features[:, 1], 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_with_column_and_row(value: float) -> None:
    dataset = toy()
    features, target = dataset.features.copy(), dataset.target.copy()
    features[3, 1] = value
    with pytest.raises(DataError, match=rf"toy: column 'b', row 3: {value}; every value must be finite"):
        dataclasses.replace(dataset, features=features)
    target[4] = value
    with pytest.raises(DataError, match=rf"column 'target', row 4: {value}"):
        dataclasses.replace(dataset, target=target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.full(20, 2.0)}, "column 'target', row 0: 2.0; expected 0 or 1"),
        ({"target": np.zeros(19)}, r"shape \(20, 2\) and target \(19,\)"),
        ({"target": np.zeros((20, 1))}, "expected"),
        ({"features": np.zeros((0, 2)), "target": np.zeros(0)}, "at least one row"),
        ({"feature_names": ("a",)}, r"expected \(rows, 1\)"),
        ({"target": np.zeros(20, dtype=np.int64)}, "target has dtype int64; expected float64"),
        ({"features": np.full((20, 2), "x")}, "features has dtype <U1"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataclasses.replace(toy(), **change)  # type: ignore[arg-type]


def test_single_class_is_refused() -> None:
    with pytest.raises(DataError, match="20 rows of class 0 and 0 of class 1"):
        split(dataclasses.replace(toy(), target=np.zeros(20)), 0)


def test_target_without_spread_is_refused() -> None:
    with pytest.raises(DataError, match=r"target is 1.0 in all 16 training rows"):
        split(dataclasses.replace(toy("regression"), target=np.ones(20)), 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        split(toy(), 0, fraction)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(seed: int) -> None:
    with pytest.raises(ConfigurationError, match="seed"):
        split(toy(), seed)


def test_too_small_to_split() -> None:
    with pytest.raises(DataError, match="1 rows cannot be split"):
        split(toy("regression", 1), 0)
    with pytest.raises(DataError, match="in all 1 training rows; it must vary"):
        split(toy("regression", 2), 0)
    with pytest.raises(DataError, match="4 rows cannot be split"):
        split(toy(rows=4), 0, 0.1)


def test_take_keeps_order_and_refuses_nothing_at_all() -> None:
    dataset = toy()
    taken = dataset.take(np.array([5, 2]))
    np.testing.assert_array_equal(taken.features, dataset.features[[5, 2]])
    with pytest.raises(DataError, match="at least one row"):
        dataset.take(np.array([], dtype=np.int64))


@pytest.mark.slow  # to import scikit-learn takes seconds
def test_data_are_scikit_learn_s() -> None:
    from sklearn import datasets

    cancer, theirs = load("breast-cancer"), datasets.load_breast_cancer()
    np.testing.assert_array_equal(cancer.features, theirs.data)
    np.testing.assert_array_equal(cancer.target, theirs.target == 0)
    assert cancer.feature_names == tuple(theirs.feature_names)
    diabetes, theirs = load("diabetes"), datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(diabetes.features, theirs.data)
    np.testing.assert_array_equal(diabetes.target, theirs.target)
    assert diabetes.feature_names == tuple(theirs.feature_names)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_rows_held_out_are_those_that_scikit_learn_draws(task: Task) -> None:
    from sklearn.model_selection import train_test_split

    rng = np.random.default_rng(5)
    for seed in range(200):
        rows, fraction = int(rng.integers(12, 300)), float(rng.uniform(0.2, 0.8))
        target = (rng.random(rows) < rng.uniform(0.2, 0.8)).astype(np.float64)
        target[:4] = 0.0, 0.0, 1.0, 1.0
        dataset = dataclasses.replace(toy(task, rows), target=target)
        expected = train_test_split(
            np.arange(rows),
            test_size=fraction,
            random_state=seed,
            stratify=target if task == "classification" else None,
        )
        for mine, theirs in zip(held_out(dataset, seed, fraction), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
