"""A server that picks the scale of a round: each party computes it, and refuses every other plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.encoding import ladder, mean
from fedsec.encoding.ladder import LADDER, Plan, plan_hash
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import AuthenticationError, BadMessage
from fedsec.protocol import SERVER
from fedsec.strategies.shamir import ShareInput
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import Header

MODEL = bytes(32)
MIDDLE, LOW = (0, 0, 5, 0, 0, 0), (0, 0, 0, 0, 5, 0)


def histogram(value: float) -> tuple[int, ...]:
    return tuple(5 * number for number in ladder.histogram(value, LADDER))


class Asked:
    """Asks party 1 for its input under a plan, and says under which one it computed it."""

    def __init__(self, server: Any) -> None:
        self.server, self.plans = server, list[Plan]()

    def __call__(self, plan: Plan, bound_to: Plan | None = None) -> None:
        written = codec.encode(plan)
        session = self.server.session(model=plan_hash(codec.encode(bound_to or plan)))
        header = Header(session, ShareInput.tag, SERVER, 1, plan=written)
        self.server.federation._inputs[1] = self.contribute
        federation = self.server.federation
        answer = federation.ask(1, envelope.write(header, codec.encode(ShareInput()), self.server.key))
        if not isinstance(answer, bytes):
            kind, _, text = answer.reason.partition(": ")
            raise {"AuthenticationError": AuthenticationError, "BadMessage": BadMessage}[kind](text)

    def contribute(self, plan: Plan) -> tuple[Any, bytes]:
        self.plans.append(plan)
        made = mean.contribution({"w": np.ones(2)}, {"w": np.zeros(2)}, {}, 10, MeanSpec(), 24, plan)
        return made.vector, codec.encode(made.layout)


def test_a_plan_that_each_party_would_compute_is_answered(server: Any) -> None:
    ask = Asked(server)
    measured = Plan(MODEL, False, b"", histogram(10.0), histogram(1.0))
    ask(Plan(MODEL, True))
    ask(measured)
    ask(replace(measured, counts=(MIDDLE,)))
    ask(replace(measured, counts=(MIDDLE, LOW)))
    assert [plan.counts for plan in ask.plans] == [(), (), (MIDDLE,), (MIDDLE, LOW)]


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (Plan(MODEL, False, b"", histogram(2.0**45), histogram(1.0), (MIDDLE,)), "histogram is not the one"),
        (Plan(MODEL, False, b"", histogram(10.0), histogram(1.0), (LOW,)), "counts do not continue"),
        (Plan(MODEL, False, b"", histogram(10.0), histogram(1.0)), "counts do not continue"),
        (Plan(MODEL, True, b"", histogram(10.0), histogram(1.0), (MIDDLE,)), "measured before"),
        (Plan(MODEL, False, b"", (0,) * 200, (0,) * 200, (MIDDLE,)), "the ladder has 89"),
        (Plan(MODEL), "histogram is not the one"),
    ],
)
def test_a_scale_that_the_server_picks_is_refused_before_the_input_is_computed(
    server: Any, odd: Plan, text: str
) -> None:
    """With a scale so large that all others round to zero, the sum would be one hospital's update."""
    ask = Asked(server)
    ask(Plan(MODEL, True))
    ask(Plan(MODEL, False, b"", histogram(10.0), histogram(1.0), (MIDDLE,)))
    with pytest.raises(BadMessage, match=text):
        ask(odd)
    assert len(ask.plans) == 2


def test_a_plan_for_one_hospital_alone_is_refused(server: Any) -> None:
    """The session, and with it every seal and mask, is bound to the one plan."""
    ask, plan = Asked(server), Plan(MODEL, False, b"", histogram(10.0), histogram(1.0))
    with pytest.raises(AuthenticationError, match="not the one that the session is bound to"):
        ask(replace(plan, largest=histogram(2.0**40)), bound_to=plan)
    assert not ask.plans
    with pytest.raises(BadMessage, match="names no scale"):
        ask(Plan(MODEL))
