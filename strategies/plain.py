"""Inputs in clear: the reference that every other strategy's sums are compared with, and the baseline of costs.

Reference: none; this is federated averaging without protection.
Server learns: every input of every hospital.
Trusts: the server, with every input; hospitals refuse it outside of simulation.
Tolerates: dropouts down to the cohort floor.
Costs: one phase; 8 bytes a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from fedsec.primitives.randomness import Random
from fedsec.protocol import (
    Exposure,
    Flow,
    Message,
    PartyContext,
    PartyId,
    SecureSum,
    State,
    Sum,
    Vector,
    ask,
    reject_unknown,
    total,
)


@dataclass(frozen=True)
class SendInput(Message, tag="fedsec.plain.send_input/1"):
    """Phase 1: send your input."""


@dataclass(frozen=True)
class Input(Message, tag="fedsec.plain.input/1"):
    """A party's input, typed public because sending it makes it so: the wire check must object."""

    vector: Annotated[Vector, Exposure.PUBLIC]


@dataclass(frozen=True)
class Plain(SecureSum[State, None]):
    """Sum what everybody sends."""

    private = False
    phases = (SendInput,)
    input_phase = SendInput

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << 63) - 1

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        return {SendInput: len(clients) - self.floor}

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        sent = yield from ask(dict.fromkeys(clients, SendInput()), Input, self.floor)
        return Sum(total(reply.vector for reply in sent.values()), frozenset(sent))

    def respond(
        self, me: PartyContext, state: State | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[State | None, Message]:
        if not isinstance(request, SendInput) or x is None:
            raise reject_unknown(request)
        return state, Input(x)
