"""Which rows the intervals of a run's model are of: test rows, or else the hospitals' by secure sums."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.app import evaluated
from fedsec.app.run_intervals import TEST, TRAINING, intervals_of
from fedsec.app.simulated import Compared
from fedsec.data.preparation import Measured, Preparation
from fedsec.data.schema import Label, Number, Schema
from fedsec.flower.verdict import Round
from fedsec.learning import clinical
from fedsec.learning.intervals import student_95
from fedsec.learning.trained_model import TrainedModel
from fedsec.report.clinical_document import Evaluation

PARTIES = (1, 2, 3)


def trained(label: Label) -> TrainedModel:
    schema = Schema((Number("age", 0.0, 120.0),), label)
    prepared = Preparation(300, (Measured("age", 1.0, 60.0, 12.0),), {}, 0.5, 4.0)
    return TrainedModel("auto", schema, prepared, {"weights": np.ones(1), "bias": np.zeros(1)})


def evaluation(rows: int) -> Evaluation:
    rng = np.random.default_rng(rows)
    score = rng.normal(0, 1, rows)
    died = (rng.random(rows) < clinical.probability(score)).astype(float)
    return evaluated.evaluation(clinical.of_rows(score, died), 0.5)


def test_a_classification_reads_test_rows_first_and_then_the_hospitals() -> None:
    model, of_hospitals, of_test = (
        trained(Label("died", "classification", positive="1")),
        evaluation(300),
        evaluation(60),
    )
    tested = Compared("federated", {}, rows=60, evaluation=of_test)
    for found, compared, whose, rows in (
        (of_hospitals, tested, TEST, 60),
        (of_hospitals, None, TRAINING, 300),  # as in a deployment
        (of_hospitals, Compared("federated", {}, rows=9, evaluation=evaluation(9)), TRAINING, 300),  # too few
    ):
        made = intervals_of(model, [], found, compared)
        assert made is not None and (made.whose, made.rows) == (whose, rows)
    assert intervals_of(model, [], None, None) is None


def aggregation(stage: str, failure: str = "", **changes: Any) -> Round:
    metrics = {"loss": 0.25, "target_mean": 0.0, "target_square": 1.0}
    return replace(Round(1, stage, 3, 3, PARTIES, 300, metrics=metrics, failure=failure), **changes)


def test_a_regression_takes_the_root_mean_square_of_its_errors() -> None:
    model = trained(Label("stay", "regression", 0.0, 100.0))
    rounds = [aggregation("train"), aggregation("evaluate")]
    tested = Compared("federated", {"rmse": 7.0, "r2": 0.1}, rows=40)
    made = intervals_of(model, rounds, None, tested)
    assert made is not None and (made.whose, made.rows, made.spread) == (TEST, 40, 7.0)
    found = intervals_of(model, rounds, None, None)
    assert found is not None and (found.whose, found.rows) == (TRAINING, 300)
    assert found.spread == pytest.approx(0.5 * model.preparation.target_deviation)
    low, high = found.of(np.array([1.0]))[0]
    assert high - 1.0 == pytest.approx(1.0 - low) == pytest.approx(student_95(300) * found.spread)
    for nothing in (
        [],
        [aggregation("train")],
        [aggregation("evaluate"), aggregation("train")],  # a model that nobody evaluated
        [aggregation("train"), aggregation("evaluate", failure="void")],
        [aggregation("train"), aggregation("evaluate", metrics=None)],
        [aggregation("evaluate", metrics={"loss": math.nan, "target_mean": 0.0, "target_square": 1.0})],
    ):
        assert intervals_of(model, nothing, None, None) is None
