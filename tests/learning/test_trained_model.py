"""A trained model as a file: it gives what training gave, survives the disk, and says what it cannot be applied to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import fedsec
from fedsec.data import preparation
from fedsec.data.label import Label
from fedsec.data.new_rows import new_rows
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table import Table
from fedsec.data.table_columns import of_columns
from fedsec.errors import ConfigurationError, DataError
from fedsec.learning import trained_model
from fedsec.learning.intervals import GroupOfRows, Intervals
from fedsec.learning.models import build
from fedsec.learning.trained_model import TrainedModel

NUMBERS = (Number("age", 0.0, 120.0), Number("lactate", 0.0, 30.0), Number("nothing", 0.0, 1.0))
WARD = Category("ward", ("icu", "medicine", "other"))
DIED, STAY = Label("died", "classification", positive="yes"), Label("stay", "regression", 0.0, 400.0)
FALLS, GRADE = Label("falls", "count", 0.0, 100.0), Label("grade", "multiclass", classes=("I", "II", "III"))
TIME = Label("stay", "survival", 0.0, 400.0, "yes", event="died", intervals=(0.0, 5.0, 10.0, 20.0, 400.0))
EVERY = [(label, name) for label in (DIED, STAY, FALLS, GRADE, TIME) for name in ("auto", "mlp")]


def columns(rows: int = 200, seed: int = 0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "age": [f"{value:.1f}" for value in rng.normal(60, 12, rows).clip(18, 100)],
        "lactate": ["" if row % 5 == 0 else f"{value:.2f}" for row, value in enumerate(rng.gamma(2.0, 1.0, rows))],
        "nothing": [""] * rows,
        "ward": [str(rng.choice(["icu", "medicine", "surgery", ""])) for _ in range(rows)],
        "died": ["yes" if value else "no" for value in rng.random(rows) < 0.3],
        "stay": [f"{value:.1f}" for value in rng.gamma(3.0, 4.0, rows)],
        "falls": [str(value) for value in rng.poisson(1.5, rows)],
        "grade": [str(rng.choice(["I", "II", "III"])) for _ in range(rows)],
    }


def trained(label: Label, name: str = "auto", threshold: float = 0.5) -> tuple[TrainedModel, Table]:
    schema = Schema((*NUMBERS, WARD), label)
    table = of_columns("rows", columns(), schema, "")
    prepared = preparation.pooled(table)
    model = build(name, label.task, label.outputs)
    rng = np.random.default_rng(1)
    parameters = {
        key: values + rng.normal(0, 0.5, values.shape)
        for key, values in model.initial(len(prepared.features()), 1).items()
    }
    return TrainedModel(model.name, schema, prepared, parameters, threshold, {"strategy": "shamir"}), table


@pytest.mark.parametrize(("label", "name"), EVERY, ids=lambda one: one if isinstance(one, str) else one.task)
def test_a_model_from_disk_predicts_what_training_s_features_give(label: Label, name: str, tmp_path: Path) -> None:
    """From the raw rows, without their label, as `Preparation.apply` and `Model.predict` have it."""
    model, table = trained(label, name)
    model.write(tmp_path / trained_model.FILE)
    found = trained_model.read(tmp_path)
    assert (found.model, found.schema, found.features) == (model.model, model.schema, model.features)
    assert (found.threshold, found.about) == (model.threshold, model.about)
    prepared = model.preparation.apply(table)
    expected = model.built.predict(model.parameters, prepared.features)
    if label.task in ("regression", "count"):
        expected = expected * prepared.target_scale + prepared.target_mean
    raw = {key: values for key, values in columns().items() if key not in label.columns}
    rows = new_rows("new", raw, found.schema)
    assert not rows.refused and expected.shape == ((200,) if label.outputs == 1 else (200, label.outputs))
    assert np.array_equal(found.predict(rows.numbers, rows.levels), expected)
    estimator = fedsec.load_model(tmp_path)
    assert np.array_equal(estimator._predicted(raw), expected)
    arrays = load_file(tmp_path / trained_model.FILE)
    assert all(np.array_equal(arrays[key], values) for key, values in model.parameters.items())
    assert model.to_bytes() == (tmp_path / trained_model.FILE).read_bytes() == found.to_bytes()
    assert repr(found) == f"<{model.model} model of '{label.name}' from 4 columns>"


def test_a_classifier_is_one_of_scikit_learn(tmp_path: Path) -> None:
    model, _ = trained(DIED, threshold=0.3)
    model.write(tmp_path / "m.safetensors")
    estimator: Any = fedsec.load_model(str(tmp_path / "m.safetensors"))
    assert is_classifier(estimator) and estimator.classes_.tolist() == [0, 1] and estimator.n_features_in_ == 4
    raw = columns(50, 3)
    chance = estimator.predict_proba(raw)
    assert chance.shape == (50, 2) and np.allclose(chance.sum(axis=1), 1.0)
    assert np.array_equal(estimator.predict(raw), (chance[:, 1] >= 0.3).astype(int))
    pandas = pytest.importorskip("pandas")
    assert np.array_equal(estimator.predict_proba(pandas.DataFrame(raw)), chance)
    ordered = [list(row) for row in zip(*(raw[name] for name in estimator.feature_names_in_), strict=True)]
    assert np.array_equal(estimator.predict_proba(ordered), chance)
    died = [value == "yes" for value in raw["died"]]
    assert estimator.score(raw, np.array(died, int)) == np.mean(estimator.predict(raw) == died)
    assert 0.0 <= roc_auc_score(died, chance[:, 1]) <= 1.0
    assert np.array_equal(clone(estimator).predict_proba(raw), chance)
    with pytest.raises(ConfigurationError, match="trained across hospitals and cannot be fitted here"):
        estimator.fit(raw, died)


def test_coefficients_are_those_of_scikit_learn_on_the_same_features(tmp_path: Path) -> None:
    """The same arrays in a LogisticRegression give the same probabilities, and units follow from deviations."""
    model, table = trained(DIED)
    model.write(tmp_path / trained_model.FILE)
    estimator: Any = fedsec.load_model(tmp_path)
    other = LogisticRegression()
    other.classes_, other.coef_, other.intercept_ = np.array([0, 1]), estimator.coef_, estimator.intercept_
    features = model.preparation.apply(table).features
    assert np.allclose(other.predict_proba(features), estimator.predict_proba(columns()), atol=1e-12)
    told = {one.feature: one for one in estimator.coefficients()}
    assert list(told) == estimator.get_feature_names_out().tolist() == list(model.features)
    age = model.preparation.numbers[0].deviation
    assert told["age"].unit == told["age"].scaled / age and told["ward = icu"].unit == told["ward = icu"].scaled
    older = {**columns(), "age": [str(float(value) + 1) for value in columns()["age"]]}
    odds = [np.log(chance[:, 1] / chance[:, 0]) for chance in map(estimator.predict_proba, (columns(), older))]
    assert np.allclose(odds[1] - odds[0], told["age"].unit)
    network, _ = trained(DIED, "mlp")
    network.write(tmp_path / "mlp.safetensors")
    with pytest.raises(AttributeError, match="'mlp' is not linear"):
        fedsec.load_model(tmp_path / "mlp.safetensors").coefficients()


def test_a_regressor_predicts_in_the_label_s_units(tmp_path: Path) -> None:
    model, _ = trained(STAY)
    model.write(tmp_path / trained_model.FILE)
    estimator: Any = fedsec.load_model(tmp_path)
    assert is_regressor(estimator)
    mean, deviation = model.preparation.target_mean, model.preparation.target_deviation
    assert abs(estimator.predict(columns()).mean() - mean) < 3 * deviation


def test_rows_are_refused_one_by_one_and_gaps_are_filled() -> None:
    schema = Schema((*NUMBERS, Category("ward", ("icu", "medicine"))), DIED)
    raw = {
        "age": ["60", "430", "x", None, "inf"],
        "lactate": ["", "1", "1", "nan", "1"],
        "nothing": [""] * 5,
        "ward": ["icu", "garage", "medicine", None, "icu"],
        "more": ["a"] * 5,
    }
    rows = new_rows("new.csv", raw, schema)
    assert dict(rows.refused) == {
        1: "age is 430, outside of the range 0 to 120 that was agreed on; ward is 'garage', none of its levels icu, "
        "medicine",
        2: "age is 'x', no number",
        4: "age is 'inf', no number",
    }
    assert rows.levels[:, 0].tolist() == [0, -1, 1, -1, 0] and np.isnan(rows.numbers[3]).all()
    with pytest.raises(DataError, match=r"'lactate' \(there is 'Lactate'\), 'ward'"):
        new_rows("new.csv", {"age": ["1"], "Lactate": ["1"], "nothing": ["1"]}, schema)
    with pytest.raises(DataError, match="no rows"):
        new_rows("new.csv", {name: [] for name in raw}, schema)


def test_an_estimator_names_the_rows_that_it_refuses(tmp_path: Path) -> None:
    model, _ = trained(DIED)
    model.write(tmp_path / trained_model.FILE)
    estimator: Any = fedsec.load_model(tmp_path)
    raw = columns(9)
    raw["age"][1:] = ["430"] * 8
    with pytest.raises(DataError, match=r"row 1: age is 430.* and 3 more rows\. Rows count from 0"):
        estimator.predict(raw)
    with pytest.raises(DataError, match=r"X has shape \(2, 3\); rows of 4 columns were expected: age, lactate"):
        estimator.predict([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("label", "made"),
    [
        (DIED, Intervals("rows", 100, (GroupOfRows(0.0, 0.5, 50, 9), GroupOfRows(0.5, 1.0, 50, 30)))),
        (STAY, Intervals("rows", 100, spread=2.0)),
    ],
)
def test_intervals_travel_with_the_model_and_older_files_have_none(
    label: Label, made: Intervals, tmp_path: Path
) -> None:
    model, _ = trained(label)
    replace(model, intervals=made).write(tmp_path / trained_model.FILE)
    estimator: Any = fedsec.load_model(tmp_path)
    assert estimator.trained.intervals == made
    found = estimator.predict_interval(columns())
    assert np.array_equal(found, made.of(estimator._predicted(columns()))) and not np.isnan(found).any()
    with safe_open(tmp_path / trained_model.FILE, "np") as opened:
        document = json.loads(opened.metadata()[trained_model.FORMAT])
    del document["intervals"]  # as releases before this one wrote it
    save_file(model.parameters, tmp_path / "older", {trained_model.FORMAT: json.dumps(document)})
    assert trained_model.read(tmp_path / "older").intervals is None
    with pytest.raises(AttributeError, match="There are no intervals: the final model was not evaluated"):
        fedsec.load_model(tmp_path / "older").predict_interval(columns())
    document["intervals"] = {"whose": "rows", "rows": 0, "groups": []}
    save_file(model.parameters, tmp_path / "damaged", {trained_model.FORMAT: json.dumps(document)})
    with pytest.raises(ConfigurationError, match="damaged is damaged: 0 rows with a spread"):
        trained_model.read(tmp_path / "damaged")


def test_what_is_no_model_of_ours_is_refused_in_words(tmp_path: Path) -> None:
    model, _ = trained(DIED)
    with pytest.raises(ConfigurationError, match=r"there is no model at .*: name the folder"):
        trained_model.read(tmp_path)
    (tmp_path / "text").write_text("no model")
    with pytest.raises(ConfigurationError, match="is no model in the format safetensors"):
        trained_model.read(tmp_path / "text")
    save_file({"weights": np.zeros(3)}, tmp_path / "arrays")
    with pytest.raises(ConfigurationError, match="it has arrays alone, without their preparation"):
        trained_model.read(tmp_path / "arrays")
    save_file({"weights": np.zeros(3)}, tmp_path / "later", {"fedsec.model/9": "{}"})
    with pytest.raises(ConfigurationError, match=r"its format is fedsec\.model/9; this release reads"):
        trained_model.read(tmp_path / "later")
    for text in ("", "[]", "{}", '{"model": "auto"}', "[" * 10_000):
        save_file({"weights": np.zeros(3)}, tmp_path / "damaged", {trained_model.FORMAT: text})
        with pytest.raises(ConfigurationError, match="damaged is damaged"):
            trained_model.read(tmp_path / "damaged")
    with pytest.raises(DataError, match="model logistic of 6 features has the arrays"):
        TrainedModel(model.model, model.schema, model.preparation, {"weights": np.zeros(3), "bias": np.zeros(1)})
    for threshold in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="a probability between 0 and 1"):
            model.with_threshold(threshold)
