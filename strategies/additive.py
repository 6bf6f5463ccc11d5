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
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, OutOfPhase, PolicyError, TooFewParties
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
    complaints,
    parameter,
    reject_unknown,
    transpose,
)
from fedsec.protocol.complaints import Complaint, Reopen, SumReopened

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


@dataclass(frozen=True, repr=False)
class Complained(State, tag="fedsec.additive.complained/1"):
    """It complained in place of a sum of masks, and may be asked for it once more."""


@dataclass(frozen=True)
class Additive(SecureSum[State, None]):
    """`aggregators` parties, or as many as there are, remove the masks; each alone sees masks only."""

    phases = (MaskInput, SumMasks)
    input_phase = MaskInput
    dispute_phases = complaints.PHASES

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
        def possible(_: PartyId, reply: MaskedInput) -> bool:
            return reply.seeds.keys() == set(self.chosen(clients))

        requests = dict.fromkeys(clients, MaskInput())
        sent, false = yield from complaints.ask_possible(requests, MaskedInput, possible, self.floor)
        return (yield from complaints.beside(false, self._open(clients, sent)))

    def _open(self, clients: Collection[PartyId], sent: Mapping[PartyId, MaskedInput]) -> Flow[Sum]:
        """Phase 2: the sum of these masked inputs less that of their masks, without those of another form than most."""
        chosen, ring = self.chosen(clients), self.ring(clients)
        words = {party: reply for party, reply in sent.items() if reply.vector.dtype == ring.dtype}
        shapes = Counter(reply.vector.shape for reply in words.values())
        shape = max(shapes, key=lambda kind: (shapes[kind], kind), default=None)
        # Who sent another form counts as dropped out.
        masked = {party: reply for party, reply in words.items() if reply.vector.shape == shape}
        if len(masked) < self.floor:
            raise TooFewParties("MaskInput", self.floor, masked, clients)
        inboxes = transpose({sender: reply.seeds for sender, reply in masked.items()})
        requests = {party: SumMasks(inboxes.get(party, {})) for party in chosen}
        answered = yield from ask(requests, (MaskSum, Complaint), len(chosen))
        settled, false = yield from complaints.settle(answered, MaskSum, inboxes, {}, _check_seed)
        # Who added up what nobody sent is false.
        sums = {party: reply for party, reply in settled.items() if reply.included <= masked.keys()}
        false |= settled.keys() - sums.keys()
        # After equivocation a party's seeds open at nobody of the rest: it counts as dropped out for all of them.
        sets = Counter(reply.included for reply in sums.values())
        included = max(sets, key=lambda one: sets[one], default=frozenset[PartyId]())
        if sets[included] < len(chosen):
            split = sets[included] if len(sets) > 1 else None  # nobody of either side is proven false
            raise TooFewParties("SumMasks", len(chosen), sums, chosen, alike=split).proving(false)
        total = ring.sum(masked[party].vector for party in sorted(included))
        for party, reply in sums.items():
            ring.check(reply.vector, total.size, f"sum of masks of party {party}")
            np.subtract(total, reply.vector, out=total)
        return Sum(ring.lift(total), included, false)

    def respond(
        self, me: PartyContext, state: State | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[State | None, Message]:
        match request:
            case MaskInput() if x is not None:
                return state, self._mask(me, x, rng)
            case SumMasks(inbox):
                self._check_chosen(me)
                seeds, length = self._seeds(me, inbox, {})
                complaint = complaints.complain(me, inbox, inbox.keys() & me.cohort - seeds.keys(), length)
                if complaint is not None:
                    return Complained(), complaint
                return state, self._sum(me, seeds, length)
            case Reopen():
                most = len(self.chosen(me.cohort)) - 1
                return state, complaints.reopen(me, request, most, MaskInput, SEED, _check_seed)
            case SumReopened(inbox, _, bodies, openings) if isinstance(state, Complained):
                return None, self._sum(me, *self._seeds(me, inbox, complaints.accept(me, bodies, openings)))
            case SumReopened():
                raise OutOfPhase("this party has not complained in this session")
            case _:
                raise reject_unknown(request)

    def _mask(self, me: PartyContext, x: Vector, rng: Random) -> MaskedInput:
        seeds = {party: rng(SEED_BYTES) for party in self.chosen(me.cohort)}
        masked = self.ring(me.cohort).words(x)
        masks_into(masked, added=list(seeds.values()), subtracted=[])
        length = x.size.to_bytes(LENGTH_BYTES, "little")
        return MaskedInput(masked, {party: me.seal(party, seed + length, SEED, rng) for party, seed in seeds.items()})

    def _check_chosen(self, me: PartyContext) -> None:
        if me.id not in self.chosen(me.cohort):
            raise PolicyError(f"party {me.id} is no aggregator of this cohort: those are {self.chosen(me.cohort)}")

    def _seeds(
        self, me: PartyContext, inbox: Mapping[PartyId, bytes], reopened: Mapping[PartyId, bytes]
    ) -> tuple[dict[PartyId, bytes], int]:
        """The seeds of masks of the length that most have, and that length; a body reopened serves as its seal's."""

        def unseal(sender: PartyId) -> bytes:
            return me.unseal(sender, inbox[sender], MaskInput, SEED)

        def load(_: PartyId, body: bytes) -> tuple[int, bytes]:
            return _length(body), body[:SEED_BYTES]

        senders = inbox.keys() & me.cohort
        opened = complaints.held(senders, unseal, load, {})
        lengths = Counter(length for length, _ in opened.values())
        common = max(lengths, key=lambda length: (lengths[length], length), default=0)
        seeds = {sender: seed for sender, (length, seed) in opened.items() if length == common}
        for sender in senders & reopened.keys() - seeds.keys():
            with suppress(BadMessage):
                _check_seed(sender, me.id, reopened[sender], common)
                seeds[sender] = reopened[sender][:SEED_BYTES]
        return seeds, common

    def _sum(self, me: PartyContext, seeds: Mapping[PartyId, bytes], length: int) -> MaskSum:
        if length > MAX_VALUES:
            raise BadMessage(f"masks of {length} values; at most {MAX_VALUES} were expected")
        if len(seeds) < me.floor:
            raise PolicyError(f"the seeds of {len(seeds)} parties could be opened; the floor is {me.floor}")
        total = np.zeros(length, self.ring(me.cohort).dtype)
        masks_into(total, added=list(seeds.values()), subtracted=[])
        return MaskSum(total, frozenset(seeds))


def _length(body: bytes) -> int:
    """Of how many values a mask is; raises BadMessage on what is no seed with its length."""
    if len(body) != SEED_BYTES + LENGTH_BYTES:
        raise BadMessage(f"seed of a mask: {len(body)} bytes came and {SEED_BYTES + LENGTH_BYTES} are expected")
    return int.from_bytes(body[SEED_BYTES:], "little")


def _check_seed(dealer: PartyId, receiver: PartyId, body: bytes, values: int) -> None:
    """Raise BadMessage unless `body` is what each dealer seals to each aggregator: a seed, of so many values."""
    if _length(body) != values:
        raise BadMessage(f"seed of a mask of {_length(body)} values; {values} are expected")
