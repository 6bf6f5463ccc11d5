"""A protocol's server side as a generator: `ask` is one phase, and `run` drives a flow over a transport."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fedsec.errors import BadMessage, TooFewParties
from fedsec.primitives.prg import SEED_BYTES
from fedsec.primitives.randomness import Random
from fedsec.protocol.messages import Message, PartyId, Vector

Requests = Mapping[PartyId, Message]


Replies = Mapping[PartyId, Message]  # a party that dropped out is absent


Deliver = Callable[[Requests], Replies]


Result = TypeVar("Result")


Reply = TypeVar("Reply", bound=Message)


Flow = Generator[Requests, Replies, Result]


@dataclass(frozen=True)
class Sum:
    """An exact sum: `vector` is uint64[d], `included` the parties whose inputs it adds up."""

    vector: Vector
    included: frozenset[PartyId]
    false: frozenset[PartyId] = frozenset()
    """Parties whose own answers prove that they do not follow the protocol, whatever others did."""
    corrected: frozenset[PartyId] = frozenset()
    """Parties whose answers were off and were corrected. It proves nothing: others can make an honest one's so."""


def ask(
    requests: Mapping[PartyId, Message], reply: type[Reply] | tuple[type[Reply], ...], at_least: int
) -> Flow[dict[PartyId, Reply]]:
    """One phase: send, check the types, apply the threshold.

    Raises TooFewParties if fewer than `at_least` parties answer and BadMessage on a reply of another type; `reply` is
    the type of all, or several types of which each reply has one.
    """
    expected = " or ".join(kind.__name__ for kind in (reply if isinstance(reply, tuple) else (reply,)))
    phase = next((type(request).__name__ for request in requests.values()), expected)
    received = yield requests
    answers: dict[PartyId, Reply] = {}
    for party in sorted(set(received) & set(requests)):
        answer = received[party]
        if not isinstance(answer, reply):
            raise BadMessage(f"phase {phase}: party {party} sent {type(answer).__name__}, {expected} was expected")
        answers[party] = answer
    if len(answers) < at_least:
        raise TooFewParties(phase, at_least, answers, requests)
    return answers


class Toss(dict[PartyId, Message]):
    """Requests to nobody, by which a flow asks the server itself for bytes that no party can foresee: its `seed`."""

    seed: bytes = b""


def toss() -> Flow[bytes]:
    """32 bytes that are drawn now, after all answers so far; b"" over a transport that draws none."""
    answer = yield Toss()
    return answer.seed if isinstance(answer, Toss) else b""


class Signed(dict[PartyId, Message]):
    """Requests to nobody, by which a flow asks the server itself whether a party signed a statement: its `holds`."""

    def __init__(self, party: PartyId, statement: Message, signature: bytes, holds: bool = True) -> None:
        super().__init__()
        self.party, self.statement, self.signature, self.holds = party, statement, signature, holds


def verify(party: PartyId, statement: Message, signature: bytes) -> Flow[bool]:
    """Whether a party signed this in this session; True over a transport that cannot tell: it proves nobody false."""
    answer = yield Signed(party, statement, signature)
    return answer.holds if isinstance(answer, Signed) else True


Verify = Callable[[PartyId, Message, bytes], bool]


def answered(requests: Requests, deliver: Deliver, rng: Random | None, verify: Verify | None) -> Replies:
    """What comes of what a flow asks for: the parties' replies, what `rng` draws, or what `verify` finds."""
    if isinstance(requests, Signed):
        given = requests.party, requests.statement, requests.signature
        return Signed(*given, holds=verify(*given) if verify else True)
    if not isinstance(requests, Toss):
        return deliver(requests)
    drawn = Toss()
    drawn.seed = rng(SEED_BYTES) if rng else b""
    return drawn


def run(flow: Flow[Result], deliver: Deliver, rng: Random | None = None, verify: Verify | None = None) -> Result:
    """Drive a flow to its result over a transport.

    rng: the server's own, which no result depends on. verify: whether a party signed a statement in this session.
    """
    try:
        requests = next(flow)
        while True:
            requests = flow.send(answered(requests, deliver, rng, verify))
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        flow.close()


Item = TypeVar("Item")


def transpose(outboxes: Mapping[PartyId, Mapping[PartyId, Item]]) -> dict[PartyId, dict[PartyId, Item]]:
    """From what each party sends to each, to what each party receives from each."""
    inboxes: dict[PartyId, dict[PartyId, Item]] = {}
    for sender, outbox in outboxes.items():
        for receiver, item in outbox.items():
            inboxes.setdefault(receiver, {})[sender] = item
    return inboxes


def total(vectors: Iterable[Vector]) -> Vector:
    """Element-wise sum of uint64 vectors of one length; raises BadMessage where lengths differ."""
    result: Vector | None = None
    for vector in vectors:
        if result is None:
            result = vector.astype(np.uint64)
        elif vector.shape != result.shape:
            raise BadMessage(f"vectors of shapes {vector.shape} and {result.shape} cannot be summed")
        else:
            result += vector
    if result is None:
        raise BadMessage("there is no vector to sum")
    return result
