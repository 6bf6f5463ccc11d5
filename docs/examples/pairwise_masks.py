"""Every pair of hospitals agrees on a mask that one adds and the other subtracts, so the masks cancel in the sum.

Reference: K. Bonawitz et al., Practical secure aggregation, CCS 2017, section 4.0.1 (masking with one-time pads).
Server learns: the sum, and who took part.
Trusts: nobody; the server and k hospitals together learn the sum of the other hospitals' inputs, and no more.
Tolerates: no dropout: masks that nobody cancels make the sum useless, so the round fails.
Costs: one phase; 8 bytes a value; n-1 masks at each hospital.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from fedsec.primitives.prg import masks_into
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
class SendMasked(Message):
    """Phase 1: send your input under your masks."""


@dataclass(frozen=True)
class Masked(Message):
    """A hospital's input plus its masks, modulo 2^64."""

    vector: Annotated[Vector, Exposure.MASKED]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"vector": (self.vector, 1 << 64)}


@dataclass(frozen=True)
class PairwiseMasks(SecureSum[State, None]):
    """Sums modulo 2^64 of inputs under masks that cancel."""

    phases = (SendMasked,)
    input_phase = SendMasked

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << 63) - 1  # the ring is Z_2^64, and the decoder reads sums as signed 64-bit integers

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        return len(clients) - 2

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        return {SendMasked: 0}

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        sent = yield from ask(dict.fromkeys(clients, SendMasked()), Masked, at_least=len(clients))
        return Sum(total(reply.vector for reply in sent.values()), frozenset(sent))

    def respond(
        self, me: PartyContext, state: State | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[State | None, Message]:
        if not isinstance(request, SendMasked) or x is None:
            raise reject_unknown(request)
        seeds = {other: me.pairwise_key(other, "mask") for other in me.cohort - {me.id}}
        masked = x.astype("<u8")
        masks_into(
            masked,
            added=[seed for other, seed in seeds.items() if other > me.id],
            subtracted=[seed for other, seed in seeds.items() if other < me.id],
        )
        return state, Masked(masked)
