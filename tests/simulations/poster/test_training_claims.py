"""Verdicts on training with shared data, and the encrypted network's row of the one table."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fedsec.mpc.gradient_descent import Network
from fedsec.simulations.poster import claims, poster_page
from fedsec.simulations.poster.encrypted_network.model_owner import MINIMUM_KEY_BITS
from fedsec.simulations.poster.shared_training import encrypted_network_row, sigmoid_approximations, training_data
from fedsec.simulations.poster.verdicts import FAILS, HOLDS, MISSING, PARTLY


def cells(count: int, at: int | None) -> list[dict[str, Any]]:
    return [{"iterations": at or 30_000, "collapsed": at is not None, "accuracy": 0.7} for _ in range(count)]


def collapse(name: str, at: int | None) -> dict[str, Any]:
    return {"activation": name, "name": name, "before": "", "cells": cells(3, at)}


def way(name: str, family: str, cpu: float, rounds: int) -> dict[str, Any]:
    return {
        "name": name,
        "family": family,
        "accuracy": 0.73,
        "cpu_seconds": cpu,
        "bytes": 9,
        "rounds": rounds,
        "learns": "<nobody>",
        "networks": {"hospital-wan": 1.0},
    }


FACTS: dict[str, Any] = {
    "sizes": {"iterations": 30_000, "steps": 10_000},
    "accuracy": [
        {
            "splits": 20,
            "layers": 2,
            "iterations": 10_000,
            "clipped-5": [0.733, 0.04],
            "exact": [0.732, 0.04],
            "difference": [0.001, 0.005],
        }
    ],
    "collapses": [
        collapse("maclaurin-5", 12_000),
        collapse("maclaurin-9", 9_000),
        collapse("fit-10", None),
        collapse("fit-3", None),
    ],
    "deeper": [],
    "bounded": {"collapsed": False, "iterations": 60_000},
    "polynomials": [{"name": "fit-10", "worst_16": 159.0}, {"name": "fit-3", "worst_16": 16.0}],
    "table": [
        way("federated, paillier", "he", 6.0, 150),
        way("federated, shamir", "smpc", 2.0, 200),
        way("training on shares", "shares", 160.0, 280_000),
    ],
}


def verdicts(**changes: Any) -> dict[str, str]:
    facts = {"shared-training": {**json.loads(json.dumps(FACTS)), **changes}}
    return {row["number"]: row["verdict"] for row in claims.rows(facts)}


def test_verdicts_follow_from_the_numbers() -> None:
    found = verdicts()
    assert [found[f"C{number}"] for number in (12, 13, 14, 15, 17)] == [HOLDS, HOLDS, HOLDS, PARTLY, HOLDS]
    assert list(found) == [f"C{number}" for number in range(1, 19)]


@pytest.mark.parametrize(
    ("claim", "change", "verdict"),
    [
        ("C12", {"accuracy": []}, MISSING),
        ("C12", {"accuracy": [{**FACTS["accuracy"][0], "difference": [-0.1, 0.01]}]}, FAILS),
        ("C12", {"accuracy": [{**FACTS["accuracy"][0], "iterations": 200}]}, MISSING),
        ("C13", {"sizes": {"iterations": 600, "steps": 200}}, MISSING),
        ("C13", {"deeper": cells(2, 11_000)}, PARTLY),
        ("C13", {"collapses": [collapse("maclaurin-5", None)]}, FAILS),
        ("C13", {"collapses": [collapse("maclaurin-5", 29_000)]}, FAILS),
        ("C14", {"collapses": [collapse("maclaurin-9", None)]}, FAILS),
        ("C15", {"collapses": [collapse("fit-10", 9_000), collapse("fit-3", None)]}, FAILS),
        ("C17", {"table": FACTS["table"][:1]}, MISSING),
        ("C17", {"table": [way("federated, paillier", "he", 6.0, 500), *FACTS["table"][1:]]}, PARTLY),
        ("C17", {"table": [way("federated, paillier", "he", 1.0, 500), *FACTS["table"][1:]]}, FAILS),
    ],
)
def test_other_numbers_give_another_verdict(claim: str, change: dict[str, Any], verdict: str) -> None:
    assert verdicts(**change)[claim] == verdict


def test_the_page_shows_them(tmp_path: Any) -> None:
    (tmp_path / "shared-training.json").write_text(json.dumps(FACTS), encoding="utf-8")
    text = poster_page.render(tmp_path)
    for said in ("Training on shared data", "12,000 to 12,000", "280,000", "&lt;nobody&gt;"):
        assert said in text, said


def test_the_encrypted_network_s_row_is_a_step_measured_and_the_rest_by_its_twin() -> None:
    draw = np.random.default_rng(1)
    features = np.column_stack([draw.uniform(-1, 1, (20, 2)), np.ones(20)])
    target = (features[:, :1] > 0).astype(np.float64)
    rows = training_data.Rows(features, target, features, target)
    network = Network((3, 2, 1), sigmoid_approximations.design("clipped-5"), 0.25)
    one = encrypted_network_row.encrypted(rows, network, 300, 0, MINIMUM_KEY_BITS)
    assert one["largest_difference"] < 1e-9 and one["measured"] == 1 and one["rounds"] == 1200
    assert one["accuracy"] > 0.9 and one["cpu_seconds"] > 0 and one["bytes"] > 300 * 1000
    assert one["networks"]["mobile"] > one["networks"]["lan"] > 0
