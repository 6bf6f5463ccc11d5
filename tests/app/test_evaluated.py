"""Which sums a run's clinical evaluation rests on, and what it says of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fedsec.app import evaluated
from fedsec.app.config import RunConfig
from fedsec.flower.verdict import Round
from fedsec.learning import clinical, outcomes
from fedsec.learning.auc import histogram

RNG = np.random.default_rng(3)
SCORE = RNG.normal(-1.0, 1.5, 400)
TARGET = (RNG.random(400) < clinical.probability(SCORE)).astype(np.float64)


def one(number: int, stage: str, **changes: Any) -> Round:
    metrics = histogram(SCORE, TARGET) if stage == "evaluate" else {"train_loss": 0.4}
    return Round(number, stage, 3, **{"included": 3, "weight": 400, "metrics": metrics, **changes})


def test_the_last_evaluation_of_the_final_model_counts() -> None:
    rounds = [one(1, "train"), one(1, "evaluate"), one(2, "train")]
    assert evaluated.final_bins(rounds) is None  # nobody evaluated what round 2 made
    assert evaluated.final_bins([*rounds, one(2, "evaluate", failure="too few")]) is None
    for more in ([one(2, "evaluate")], [one(2, "evaluate"), one(3, "train", failure="void")]):
        bins = evaluated.final_bins([*rounds, *more])
        assert bins is not None and (bins.rows.sum(), bins.positive.sum()) == (400, TARGET.sum())
    assert evaluated.final_bins([]) is None
    assert evaluated.final_bins([one(1, "evaluate", metrics={"loss": 0.2})]) is None
    withheld = {key: [math.nan] * 64 for key in histogram(SCORE, TARGET)}
    assert evaluated.final_bins([one(1, "evaluate", metrics=withheld)]) is None


def test_without_an_evaluation_a_rule_finds_nothing() -> None:
    config = RunConfig.read({"decision-threshold": "youden"})
    assert evaluated.chosen(config, None) == (0.5, "0.5, for there is no evaluation to choose from")
    assert evaluated.chosen(RunConfig.read({"decision-threshold": "0.2"}), None).threshold == 0.2


def test_an_evaluation_holds_what_its_rows_come_to() -> None:
    bins = evaluated.final_bins([one(1, "evaluate")])
    assert bins is not None
    found, called = evaluated.evaluation(bins, 0.5), SCORE >= 0.0
    for name, expected in (
        ("sensitivity", called[TARGET == 1].mean()),
        ("specificity", 1 - called[TARGET == 0].mean()),
        ("ppv", TARGET[called].mean()),
        ("npv", 1 - TARGET[~called].mean()),
        ("predicted_positive", called.mean()),
    ):
        assert found.measures[name] == pytest.approx(expected) and found.off[name] == 0.0
    within = evaluated.evaluation(bins, 0.3)  # between two edges
    assert (within.off["sensitivity"] or 0.0) > 0.0 and within.off["ppv"] is None
    assert found.curve and (found.curve[0].sensitivity, found.curve[-1].sensitivity) == (1.0, 0.0)
    assert sum(group.rows for group in found.groups) == 400 and found.prevalence == pytest.approx(TARGET.mean())


def test_few_rows_of_a_class_have_measures_and_no_curve() -> None:
    few = np.zeros(400)
    few[:9] = 1.0
    found = evaluated.evaluation(clinical.of_rows(SCORE, few), 0.5)
    assert found.measures["auc"] is not None and not found.groups and not found.curve


def test_a_hospital_reads_its_own_rows_in_one_line() -> None:
    text = evaluated.own(outcomes.of("classification"), SCORE, TARGET)
    assert f"400 rows, {TARGET.sum():.0f} of class 1, at a threshold of 0.5: auc 0." in text and "\n" not in text
