"""Hospitals mask their inputs; a few of them, the aggregators, hold the masks' seeds and return sums of masks.

Reference: H. Corrigan-Gibbs, D. Boneh, Prio, NSDI 2017: sums of additive shares, all but one of them a seed.
Server learns: the sum, and who took part.
Trusts: at least one of the s aggregators does not help the server, which chooses them by numbering the hospitals.
Tolerates: dropouts down to the cohort floor, except of aggregators.
Costs: two phases; one vector and s sealed seeds up; an aggregator one vector more; s masks, an aggregator n more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import AuthenticationError, BadMessage, PolicyError, TooFewParties
from fedsec.primitives.prg import SEED_BYTES, masks_into
from fedsec.primitives.randomness import Random
from fedsec.primitives.ring import R32, R64, Ring
from fedsec.protocol import (
    Coalition,
    Exposure,
    Flow,
    Message,
    PartyContext,
    PartyId,
    Role,
    SecureSum,
    State,
    Sum,
    Vector,
    ask,
    parameter,
    reject_unknown,
    transpose,
)

SEED = "seed"
"""What parties seal to each other."""
LENGTH_BYTES = 8
MAX_VALUES = 1 << 28
"""The longest sum of masks that an aggregator computes: no message could carry a longer one."""


@dataclass(frozen=True)
class MaskInput(Message, tag="fedsec.additive.mask_input/1"):
    """Phase 1: send your input under a mask for each aggregator."""


@dataclass(frozen=True)
class MaskedInput(Message, tag="fedsec.additive.masked_input/1"):
    """The input plus the masks, and each mask's seed, with its length, sealed to its aggregator."""

    vector: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.MASKED]
    seeds: Annotated[Mapping[int, bytes], Exposure.SEALED]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"vector": (self.vector.astype(np.uint64), 1 << (8 * self.vector.itemsize))}


@dataclass(frozen=True)
class SumMasks(Message, tag="fedsec.additive.sum_masks/1"):
    """Phase 2, to the aggregators: add up the masks whose seeds these parties sealed to you."""

    inbox: Annotated[Mapping[int, bytes], Exposure.SEALED]


@dataclass(frozen=True)
class MaskSum(Message, tag="fedsec.additive.mask_sum/1"):
    """The sum of the masks of `included`."""

    vector: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.SHARED]
    included: Annotated[frozenset[int], Exposure.PUBLIC]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"vector": (self.vector.astype(np.uint64), 1 << (8 * self.vector.itemsize))}


@dataclass(frozen=True)
class Additive(SecureSum[State, None]):
    """`aggregators` parties, or as many as there are, remove the masks; each alone sees masks only."""

    phases = (MaskInput, SumMasks)
    input_phase = MaskInput

    aggregators: int = parameter(
        3,
        "Hospitals that remove the masks",
        low=2,
        unit="hospitals",
        because="one alone could open every input with the server",
    )

    def chosen(self, clients: Collection[PartyId]) -> list[PartyId]:
        """The aggregators: the first parties of the cohort."""
        return sorted(clients)[: self.aggregators]

    def ring(self, clients: Collection[PartyId]) -> Ring:
        """The smaller of the two rings that holds the sum."""
        return R32 if len(clients) * ((1 << self.value_bits) - 1) < 1 << 32 else R64

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << 32) - 1 if self.ring(clients) is R32 else (1 << 63) - 1  # sums are read as signed 64-bit integers

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        return len(self.chosen(clients)) - 1  # each aggregator adds up one set of at least the floor, whoever asks

    def coalitions(self, clients: Collection[PartyId], malicious: bool = False) -> tuple[Coalition, ...]:
        chosen = self.chosen(clients)
        return (Coalition(frozenset(chosen), len(chosen), "aggregators"),)

    def roles(self, clients: Collection[PartyId]) -> tuple[Role, ...]:
        return (
            Role(
                "aggregator",
                tuple(self.chosen(clients)),
                "It holds a seed of a mask of every hospital's input, which says nothing without the masked input and "
                "the other aggregators' seeds.",
            ),
        )

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        return {MaskInput: len(clients) - self.floor, SumMasks: 0}

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        chosen, ring = self.chosen(clients), self.ring(clients)
        sent = yield from ask(dict.fromkeys(clients, MaskInput()), MaskedInput, self.floor)
        words = {party: reply for party, reply in sent.items() if reply.vector.dtype == ring.dtype}
        shapes = Counter(reply.vector.shape for reply in words.values())
        shape = max(shapes, key=lambda kind: (shapes[kind], kind), default=None)
        # Who sent another form counts as dropped out.
        masked = {party: reply for party, reply in words.items() if reply.vector.shape == shape}
        if len(masked) < self.floor:
            raise TooFewParties("MaskInput", self.floor, masked, clients)
        inboxes = transpose({sender: reply.seeds for sender, reply in masked.items()})
        requests = {party: SumMasks(inboxes.get(party, {})) for party in chosen}
        sums = yield from ask(requests, MaskSum, len(chosen))
        # After equivocation a party's seeds open at nobody of the rest: it counts as dropped out for all of them.
        included, votes = Counter(reply.included for reply in sums.values()).most_common(1)[0]
        if votes < len(chosen) or not included <= masked.keys():
            agreed = [party for party, reply in sums.items() if reply.included == included]
            raise TooFewParties("SumMasks", len(chosen), agreed, chosen)
        total = ring.sum(masked[party].vector for party in sorted(included))
        for party, reply in sums.items():
            ring.check(reply.vector, total.size, f"sum of masks of party {party}")
            np.subtract(total, reply.vector, out=total)
        return Sum(ring.lift(total), included)

    def respond(
        self, me: PartyContext, state: State | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[State | None, Message]:
        match request:
            case MaskInput() if x is not None:
                return state, self._mask(me, x, rng)
            case SumMasks(inbox):
                return state, self._sum(me, inbox)
            case _:
                raise reject_unknown(request)

    def _mask(self, me: PartyContext, x: Vector, rng: Random) -> MaskedInput:
        seeds = {party: rng(SEED_BYTES) for party in self.chosen(me.cohort)}
        masked = self.ring(me.cohort).words(x)
        masks_into(masked, added=list(seeds.values()), subtracted=[])
        length = x.size.to_bytes(LENGTH_BYTES, "little")
        return MaskedInput(masked, {party: me.seal(party, seed + length, SEED, rng) for party, seed in seeds.items()})

    def _sum(self, me: PartyContext, inbox: Mapping[PartyId, bytes]) -> MaskSum:
        if me.id not in self.chosen(me.cohort):
            raise PolicyError(f"party {me.id} is no aggregator of this cohort: those are {self.chosen(me.cohort)}")
        seeds: dict[PartyId, bytes] = {}
        for sender in sorted(set(inbox) & me.cohort):
            try:
                opened = me.unseal(sender, inbox[sender], MaskInput, SEED)
            except AuthenticationError:
                continue  # equivocation, or corrupted: for this party the sender dropped out
            if len(opened) == SEED_BYTES + LENGTH_BYTES:
                seeds[sender] = opened
        lengths = Counter(opened[SEED_BYTES:] for opened in seeds.values())
        common = max(lengths, key=lambda length: (lengths[length], length), default=b"")
        seeds = {sender: opened for sender, opened in seeds.items() if opened[SEED_BYTES:] == common}
        if int.from_bytes(common, "little") > MAX_VALUES:
            raise BadMessage(f"masks of {int.from_bytes(common, 'little')} values; at most {MAX_VALUES} were expected")
        if len(seeds) < me.floor:
            raise PolicyError(f"the seeds of {len(seeds)} parties could be opened; the floor is {me.floor}")
        total = np.zeros(int.from_bytes(common, "little"), self.ring(me.cohort).dtype)
        masks_into(total, added=[opened[:SEED_BYTES] for opened in seeds.values()], subtracted=[])
        return MaskSum(total, frozenset(seeds))
