"""Several strategies over one grid and one run, each used again after the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg

from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid
from tests.flower.test_inner_strategies import app
from tests.tiers import slow

pytestmark = pytest.mark.usefixtures("simulated")


def trained(secure: SecureAggregation, grid: ProcessGrid) -> Any:
    return secure.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=2).arrays["w"].numpy()


@pytest.mark.parametrize(
    ("one", "other", "options"),
    slow([("plain", "plain", {"clip": 2.0}), ("shamir", "shamir", {}), ("shamir", "secagg", {})]),
)
def test_strategies_of_one_run_train_in_turn(one: str, other: str, options: dict[str, Any]) -> None:
    grid, sessions = ProcessGrid(app), RunSessions()
    first = SecureAggregation(FedAvg(), one, sessions=sessions)
    second = SecureAggregation(FedAvg(), other, sessions=sessions, **options)
    for secure in (first, second, first, first, second):
        assert np.allclose(trained(secure, grid), 2, atol=1e-3)
        assert not any(outcome.failure or outcome.incidents for outcome in secure.rounds)
    assert not grid.reasons


@pytest.mark.versions
def test_one_strategy_collects_before_and_after_another_trains() -> None:
    grid, sessions = ProcessGrid(app), RunSessions()
    asks = SecureAggregation(FedAvg(), "shamir", sessions=sessions)
    before = asks.collect(grid, "query.age")
    trained(SecureAggregation(FedAvg(), "secagg", sessions=sessions), grid)
    assert asks.collect(grid, "query.age") == before


def test_a_strategy_by_itself_sets_up_once() -> None:
    grid, sessions = ProcessGrid(app), RunSessions()
    secure = SecureAggregation(FedAvg(), "plain", sessions=sessions)
    trained(secure, grid)
    trained(secure, grid)
    assert sessions.of(77).epoch == 1
