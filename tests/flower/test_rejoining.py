"""A node that restarts without its state comes back by a new set-up, as often as is bearable for the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp.strategy import FedAvg

from fedsec.flower import SecureAggregation, secure_aggregation
from fedsec.flower.rejoining import Rejoining
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import App, ProcessGrid, pinned
from tests.flower.test_flower_glue import add_one

pytestmark = pytest.mark.usefixtures("simulated")
MODEL = {"w": Array(np.zeros(3))}


class Restarting(ProcessGrid):
    """A grid of which one node loses its state before the inputs of these rounds are asked for."""

    def __init__(self, rounds: Iterable[int], node: int = 102) -> None:
        super().__init__(add_one)
        self.losses, self.node = set(rounds), node
        self.mod = self.losing

    def losing(self, message: Message, context: Context, app: App) -> Message:
        config = message.content.config_records.get("config", {})
        if context.node_id == self.node and config.get("server-round") in self.losses:
            context.state = RecordDict()
        return secure_aggregation(message, context, app)


def run(grid: ProcessGrid, rounds: int, **options: Any) -> SecureAggregation:
    inner = FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
    secure = SecureAggregation(inner, **{"protocol": "plain", "sessions": RunSessions(), **options})
    secure.start(grid, ArrayRecord(MODEL), num_rounds=rounds)
    return secure


def test_a_node_that_lost_its_state_is_back_in_the_next_round(caplog: pytest.LogCaptureFixture) -> None:
    secure = run(Restarting([2]), 4)
    assert [outcome.included for outcome in secure.rounds] == [5, 4, 5, 5]
    told = [record.getMessage() for record in caplog.records]
    assert sum("setting up plain with 5 nodes" in line for line in told) == 2
    assert any("back: node 102, without state or late last time" in line for line in told)
    assert any("node 102 (party 3): SendInput: OutOfPhase: this party has not enrolled (" in line for line in told)


@pytest.mark.versions
def test_a_deployed_node_comes_back_with_its_key_and_journal(tmp_path: Path) -> None:
    grid, agreement, server = pinned(
        tmp_path,
        add_one,
        rehearsal=lambda: run(ProcessGrid(add_one), 3, protocol="shamir"),
        changes={"cohort": "sampled"},
        **{"fedsec-trusts-server": True},
    )
    lost = Restarting([2])
    lost.contexts = grid.contexts
    secure = run(lost, 3, protocol="shamir", identity=server, agreement=agreement)
    assert [outcome.included for outcome in secure.rounds] == [5, 4, 5]


def test_a_node_that_answered_the_set_up_too_late_is_in_the_next_round() -> None:
    class Late(ProcessGrid):
        late = True

        def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
            replies = super().send_and_receive(messages, timeout=timeout)
            kept = [reply for reply in replies if not (self.late and reply.metadata.src_node_id == 104)]
            self.late = False
            return kept

    secure = run(Late(add_one), 3)
    assert [outcome.included for outcome in secure.rounds] == [4, 5, 5]
    assert secure.rounds[0].incidents == (("set-up", 5, "Enrol: no answer in time"),)


@pytest.mark.versions
def test_a_node_that_always_forgets_forces_ever_rarer_set_ups(caplog: pytest.LogCaptureFixture) -> None:
    rounds = 40
    secure = run(Restarting(range(1, rounds + 1)), rounds)
    assert [outcome.included for outcome in secure.rounds] == [4] * rounds
    setups = [r for r in caplog.records if "setting up plain" in r.getMessage()]
    assert 1 + 4 <= len(setups) <= 1 + 6
    waiting = [
        r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "may rejoin" in r.getMessage()
    ]
    assert waiting[0] == "node 102 has lost its state again; it may rejoin after 1 more aggregations"


def test_two_nodes_are_counted_apart_and_the_absent_wait() -> None:
    rejoining, nodes = Rejoining(), {1: 100, 2: 101}
    lost = ("ShareInput", 1, "OutOfPhase: this party has not enrolled")
    rejoining.note([lost, ("ShareInput", 2, "DataError"), ("Enrol", 2, "no answer in time")], nodes)
    assert rejoining.due([100, 101]) == [100, 101] and rejoining.due([101]) == [101]
    rejoining.founded([100, 101])
    assert rejoining.due([100, 101]) == []
    rejoining.note([lost], nodes)
    assert rejoining.due([100]) == [] and rejoining.waits([100, 101]) == {100: 2}
    rejoining.passed()
    rejoining.passed()
    assert rejoining.due([100]) == [100] and rejoining.waits([100]) == {}


@pytest.mark.parametrize(
    "reason", ["PolicyError: floor is 3; this party's floor is 6", "DataError", "no answer in time"]
)
def test_other_reasons_found_no_epoch(reason: str) -> None:
    rejoining = Rejoining()
    rejoining.note([("ShareInput", 1, reason)], {1: 100})
    assert rejoining.due([100]) == []
