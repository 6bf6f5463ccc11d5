"""What an app may return in place of a reply: it costs that hospital alone, and the reason is told in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg

from fedsec.errors import RunFailed
from fedsec.flower import SecureAggregation
from fedsec.flower.server import RunSessions
from tests.flower.process_grid import ProcessGrid
from tests.flower.test_flower_glue import add_one

pytestmark = pytest.mark.usefixtures("simulated")
UNSENT = "w\udc80"
"""A name with half of a pair of surrogates, as Python makes of bytes that are no text."""


def run(odd: Callable[[Message], Any], at: tuple[int, ...] = (102,), rounds: int = 2) -> tuple[Any, ProcessGrid]:
    def app(message: Message, context: Context) -> Any:
        reply = add_one(message, context)
        return odd(reply) if context.node_id in at else reply

    grid = ProcessGrid(app)
    inner = FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)
    secure = SecureAggregation(inner, "plain", sessions=RunSessions())
    secure.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds=rounds)
    return secure, grid


@pytest.mark.parametrize(
    ("odd", "returned"),
    [
        (lambda reply: None, "None"),
        (lambda reply: reply.content, "a value of type RecordDict"),
        (lambda reply: (reply, 10, {}), "a value of type tuple"),
    ],
)
def test_an_app_that_returns_no_message_is_told_what_it_returned(odd: Any, returned: str) -> None:
    secure, _ = run(odd)
    assert [(one.included, one.unusable, one.failure) for one in secure.rounds] == [(5, 1, ""), (5, 1, "")]
    text = f"ClientAppError: the app returned {returned}; a Message was expected"
    with pytest.raises(RunFailed, match=re.escape(text.partition(": ")[2])):
        run(odd, at=(100, 101, 102))
    ((_, party, reason),) = secure.rounds[0].incidents
    assert party == 3 and text.partition(": ")[2] in reason


def with_array(name: str, array: Array) -> Callable[[Message], Message]:
    def changed(reply: Message) -> Message:
        reply.content["arrays"] = ArrayRecord({name: array})
        return reply

    return changed


def with_metric(reply: Message) -> Message:
    reply.content["metrics"] = MetricRecord({"num-examples": 10, UNSENT: 0.5})
    return reply


VALUES = Array(np.full(3, 1.0))


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (with_metric, r"metric name 'w\\udc80' is no text that UTF-8 can encode"),
        (with_array(UNSENT, VALUES), "arrays .* are in the update and not in the model"),
        (
            with_array("w", Array("float64", (3,), "numpy.ndarray", b"no array")),
            "array 'w' has data that NumPy cannot read as an array",
        ),
        (with_array("w", Array("float64", (3,), "numpy.ndarray", b"")), "cannot read as an array"),
        (with_array("w", Array("float64", (3,), "numpy.ndarray", VALUES.data[:-8])), "cannot read as an array"),
        (with_array("w", Array("float99", (3,), "numpy.ndarray", VALUES.data)), "has dtype float99, which NumPy does"),
        (
            with_array("w", Array("float64", (3,), "torch.tensor", VALUES.data)),
            "array 'w' is serialised as 'torch.tensor'; 'numpy.ndarray' was expected",
        ),
    ],
)
def test_a_reply_that_cannot_be_read_costs_its_hospital_alone(odd: Any, text: str) -> None:
    secure, grid = run(odd)
    assert [(one.included, one.failure) for one in secure.rounds] == [(4, ""), (4, "")]
    assert grid.reasons and all(re.match(f"LayoutError: .*{text}", reason) for reason in grid.reasons)
    assert not any(UNSENT in reason for reason in grid.reasons)
