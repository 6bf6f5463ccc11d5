"""Cells of few rows: what a hospital's few patients have is not in the statistics; without the rule it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.app.config import RunConfig
from fedsec.data.label import Label
from fedsec.data.preparation import LEVEL, totals
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table_columns import of_columns
from tests.disclosure.attacked import Real, deployed

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS = 4
STAGE = "query.statistics"
SCHEMA = Schema(
    (Number("age", 0.0, 120.0), Category("diagnosis", ("common", "rare", "rarer"))), Label("died", "classification")
)


def rows_of(place: int, diagnosis: str) -> dict[str, list[str]]:
    """Forty patients at a hospital; three of the first hospital's have this diagnosis, and all others a common one."""
    rng = np.random.default_rng([9, place])
    few = 3 if place == 0 else 0
    return {
        "age": [f"{value:.1f}" for value in rng.normal(60, 12, 40).clip(18, 100)],
        "diagnosis": [diagnosis] * few + ["common"] * (40 - few),
        "died": [str(row % 2) for row in range(40)],
    }


def opened(folder: Path, diagnosis: str, least: int) -> tuple[list[int], list[float]]:
    """What the server opens, and the levels that it reads from it."""
    spec = RunConfig(equal_weights=True).spec()

    def count(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
        return model, totals(of_columns("rows", rows_of(place, diagnosis), SCHEMA, ""), least)

    told: dict[str, Any] = {"metric_ranges": spec.ranges, "metric_grids": spec.grids, "totals": spec.totals}
    server = deployed(folder, count, HOSPITALS, {STAGE: 1}, weights="equal", clip=4.0, **told)
    _, found = server.asks(server.founds(), None, STAGE)
    return server.opened[-1].sum.vector.tolist(), [HOSPITALS * each for each in found[LEVEL]]


def test_which_rare_diagnosis_three_patients_have_is_not_in_the_sum(tmp_path: Path) -> None:
    """To the last bit, with the least cell of a deployment; without it the sum counts them, by class."""
    hidden = [opened(tmp_path / f"{name}-5", name, 5) for name in ("rare", "rarer")]
    assert hidden[0] == hidden[1]
    common, rare, rarer, missing, suppressed = np.reshape(hidden[0][1], (2, 5)).sum(axis=0)
    assert (common, rare, rarer, missing, suppressed) == (157, 0, 0, 0, 3)
    shown = [opened(tmp_path / f"{name}-0", name, 0) for name in ("rare", "rarer")]
    assert shown[0] != shown[1]
    assert np.reshape(shown[1][1], (2, 5)).sum(axis=0).tolist() == [157, 0, 3, 0, 0]
