"""`SecureAggregation.disclosure()`: what one's own Flower app disclosed, from what the hospitals really sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid, pinned

pytestmark = pytest.mark.usefixtures("simulated")


def trained(message: Message, context: Context) -> Message:
    arrays = {name: Array(np.asarray(array.numpy() + 1)) for name, array in message.content["arrays"].items()}
    metrics = MetricRecord({"num-examples": 10 + context.node_id, "train_loss": 0.5})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


def secured(protocol: str = "secagg", **options: Any) -> SecureAggregation:
    inner = FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
    return SecureAggregation(inner, protocol, sessions=RunSessions(), **options)


def start(strategy: SecureAggregation, grid: ProcessGrid, rounds: int = 2) -> SecureAggregation:
    model = {"w": np.zeros((2, 3)), "n.running_mean": np.zeros(2)}
    record = ArrayRecord({name: Array(array) for name, array in model.items()})
    strategy.start(grid, record, num_rounds=rounds, timeout=3600)
    return strategy


def test_a_simulation_with_a_measured_scale() -> None:
    strategy = secured()
    assert strategy.disclosure().sums == 0
    found = start(strategy, ProcessGrid(trained)).disclosure(["one more thing"])
    (train,) = found.stages
    assert (train.sums, train.measured, train.parameters, train.buffers, found.sums) == (2, 1, 6, 2, 3)
    assert (found.cohort, found.identities, found.scale, found.unbounded) == (5, "first use", "measured", 6)
    assert found.agreement == "" and found.warnings == ("one more thing",)
    assert {(group.count, group.malicious) for group in found.groups} == {(4, False), (2, True)}


class Losing(ProcessGrid):
    """The last node is out of reach in round 2."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        last = max(self.contexts)
        reached = [one for one in messages if (one.metadata.dst_node_id, one.metadata.group_id) != (last, "2")]
        return super().send_and_receive(reached, timeout=timeout)


def test_a_hospital_that_drops_out_of_one_round_is_found_by_subtraction() -> None:
    strategy = start(secured("shamir", clip=4.0, largest_weight=1000), Losing(trained))
    found = strategy.disclosure()
    assert [one.included for one in strategy.rounds] == [5, 4]
    assert (found.scale, found.clip, found.cohort, found.stages[0].fewest) == ("agreed", 4.0, 5, 4)
    (one,) = found.subtracted
    assert (one.party, one.weight) == (5, 114) and one.metrics["train_loss (train)"] == pytest.approx(0.5)


@pytest.mark.versions
def test_a_deployment_names_its_agreement(tmp_path: Path) -> None:
    def rehearsed() -> SecureAggregation:
        return start(secured(), ProcessGrid(trained))

    grid, agreement, server = pinned(tmp_path, trained, rehearsal=rehearsed)
    found = start(secured(agreement=agreement, identity=server), grid).disclosure()
    assert found.identities == "pinned" and found.agreement == agreement.hash.hex()
    (section,) = [section for section in found.sections if section.role == "server"]
    assert not any("agreement" in text for text in section.sentences)
