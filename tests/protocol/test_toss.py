"""What a flow's server draws: after the answers, and nothing over a transport that draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fedsec.primitives.randomness import Random
from fedsec.protocol import Flow, Message, Replies, Requests, ask, run, toss


@dataclass(frozen=True)
class Anything(Message, tag="tests.anything/1"):
    """A message without a field."""


@pytest.mark.parametrize("rng", [None, lambda count: bytes(range(count))], ids=["none", "drawn"])
def test_a_flow_draws_after_the_answers_and_nothing_is_sent(rng: Random | None) -> None:
    events: list[object] = []

    def deliver(requests: Requests) -> Replies:
        events.append(sorted(requests))
        return dict(requests)

    def draw(count: int) -> bytes:
        assert rng is not None
        events.append(count)
        return rng(count)

    def flow() -> Flow[bytes]:
        yield from ask(dict.fromkeys((1, 2), Anything()), Anything, 2)
        seed = yield from toss()
        yield from ask({3: Anything()}, Anything, 1)
        return seed

    seed = run(flow(), deliver, draw if rng else None)
    assert seed == (bytes(range(32)) if rng else b"")
    assert events == ([[1, 2], 32, [3]] if rng else [[1, 2], [3]])
