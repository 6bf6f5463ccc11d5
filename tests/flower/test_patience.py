"""Nodes that stay fewer than the floor: a deployment is warned what to do, a simulation is refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flwr.serverapp.strategy import FedAvg

from fedsec.errors import ConfigurationError
from fedsec.flower import SecureAggregation
from fedsec.flower.inner import too_few
from fedsec.flower.server import RunSessions, SecureGrid
from fedsec.flower.simulation import simulating
from tests.flower.process_grid import ProcessGrid
from tests.flower.test_flower_glue import add_one

TEXT = "only 2 nodes are connected, and a secure sum needs at least 3: start more SuperNodes, in a simulation by `"


class InMemoryGrid(ProcessGrid):
    """Named as Flower names the grid of a simulation."""


def waiting(kind: type[ProcessGrid], now: list[float], nodes: int = 2) -> tuple[SecureGrid, ProcessGrid]:
    grid = kind(add_one, nodes)
    secure = SecureAggregation(FedAvg(min_train_nodes=3, min_evaluate_nodes=3), "plain", sessions=RunSessions())
    return SecureGrid(grid, secure, clock=lambda: now[0]), grid


def test_a_deployment_is_warned_once_for_each_wait(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    secure, grid = waiting(ProcessGrid, now)

    def told_at(second: float) -> int:
        now[0] = second
        assert list(secure.get_node_ids()) == list(grid.contexts)
        return sum(TEXT in record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)

    assert [told_at(second) for second in (100, 114.9, 115, 116, 400)] == [0, 0, 1, 1, 1]
    assert '--federation-config "num-supernodes=5' in caplog.text
    assert "set min_evaluate_nodes" not in caplog.text and "asks 2 clients" not in caplog.text
    grid.contexts |= waiting(ProcessGrid, now, 1)[1].contexts | ProcessGrid(add_one, 1, first=300).contexts
    assert told_at(401) == 1  # enough
    grid.contexts.popitem()
    assert [told_at(second) for second in (500, 514, 515)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("settings", "connected", "told"),
    [
        ({"min_train_nodes": 3, "min_evaluate_nodes": 3}, 2, False),
        ({"min_train_nodes": 3, "fraction_evaluate": 0.0}, 2, False),
        ({}, 2, True),
        ({"min_train_nodes": 3}, 1, True),
    ],
)
def test_settings_are_named_where_they_would_ask_too_few_of_more_nodes(
    settings: dict[str, Any], connected: int, told: bool
) -> None:
    text = too_few(FedAvg(**settings), "train", connected, 3, connected)
    assert text.startswith(
        f"only {connected} node{' is' if connected == 1 else 's are'} connected, and a secure sum needs"
    )
    assert ("; and set min_train_nodes=3 and min_evaluate_nodes=3 (min_train_nodes is " in text) is told
    assert ("fraction_evaluate is 1.0)" in text) is told


def test_a_simulation_is_refused() -> None:
    for kind in (InMemoryGrid, ProcessGrid):
        now = [0.0]
        secure, _ = waiting(kind, now)
        with simulating():
            secure.get_node_ids()
        now[0] = 15.0
        if kind is InMemoryGrid:
            with pytest.raises(ConfigurationError, match=TEXT):
                secure.get_node_ids()
        else:
            with simulating(), pytest.raises(ConfigurationError, match=TEXT):
                secure.get_node_ids()
