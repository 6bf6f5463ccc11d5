"""Inputs under one-time masks; hospitals hold coded pieces of every mask, and open the sum of the masks only.

Reference: J. So et al., LightSecAgg: a lightweight and versatile design for secure aggregation, MLSys 2022.
Server learns: the sum, and who took part.
Trusts: the server is semi-honest and at most T hospitals collude; for a malicious server see `server`.
Tolerates: n-U dropouts; no sum below the cohort floor.
Costs: two phases, or three; up one vector, n-U pieces of 1/(U-T) of it, U-1 seeds, then a piece; 4 or 8 bytes a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, ConfigurationError, OutOfPhase, PolicyError, TooFewParties
from fedsec.primitives import robust, shamir
from fedsec.primitives.field import M31, M61, Field
from fedsec.primitives.mersenne import Values
from fedsec.primitives.prg import SEED_BYTES
from fedsec.primitives.randomness import Random
from fedsec.protocol import (
    Exposure,
    Flow,
    Message,
    PartyContext,
    PartyId,
    SecureSum,
    ServerModel,
    State,
    Sum,
    Vector,
    ask,
    complaints,
    consistency,
    parameter,
    reject_unknown,
    toss,
    transpose,
)
from fedsec.protocol.complaints import Check, Complaint, Reopen, SumReopened
from fedsec.protocol.consistency import ConsistencyCheck, quorum
from fedsec.strategies._sum_of_shares import Answer, dealt, open_sum

PIECE = "piece"
"""What parties seal to each other."""


@dataclass(frozen=True)
class MaskInput(Message, tag="fedsec.lightsecagg.mask_input/1"):
    """Steps 1 and 2: draw a mask, share coded pieces of it, and send your input under it."""


@dataclass(frozen=True)
class MaskedInput(Message, tag="fedsec.lightsecagg.masked_input/1"):
    """x + z, and a coded piece of z for each of the others, sealed to it: for U-1 of them a seed of the piece."""

    vector: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.MASKED]
    prime_bits: Annotated[int, Exposure.PUBLIC]
    outbox: Annotated[Mapping[int, bytes], Exposure.SEALED]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"vector": (self.vector.astype(np.uint64), (1 << self.prime_bits) - 1)}


@dataclass(frozen=True)
class SumPieces(Message, tag="fedsec.lightsecagg.sum_pieces/1"):
    """Step 3: add up the coded pieces that these parties sealed to you, and your own.

    Against a malicious server the consistency check stands before it, whose signatures it brings.
    """

    inbox: Annotated[Mapping[int, bytes], Exposure.SEALED]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH] = field(default_factory=dict)


@dataclass(frozen=True)
class PieceOfSum(Message, tag="fedsec.lightsecagg.piece_of_sum/1"):
    """A coded piece of the sum of the masks of `included`."""

    piece: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.SHARED]
    prime_bits: Annotated[int, Exposure.PUBLIC]
    included: Annotated[frozenset[int], Exposure.PUBLIC]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"piece": (self.piece.astype(np.uint64), (1 << self.prime_bits) - 1)}


@dataclass(frozen=True, repr=False)
class Masked(State, tag="fedsec.lightsecagg.masked/1"):
    """This party sent an input of `values` in this session; its own piece is made of `seed`; whose sum it signed."""

    values: int
    seed: bytes
    signed: frozenset[int] | None = None


@dataclass(frozen=True, repr=False)
class Complained(Masked, tag="fedsec.lightsecagg.complained/1"):
    """It complained in place of a piece of the sum, and may be asked for it once more."""


@dataclass(frozen=True)
class LightSecAgg(SecureSum[Masked, None]):
    """Any `threshold` parties open the sum of the masks; any `privacy` of them learn nothing of one.

    Against a malicious server the parties sign of whom the sum is, in a phase of its own.
    """

    input_phase = MaskInput
    dispute_phases = complaints.PHASES

    threshold: int = parameter(
        0,
        "U, hospitals that open the sum; 0: T and half of the hospitals that T leaves; the rest may drop out",
        low=0,
        unit="hospitals",
    )
    privacy: int = parameter(
        0, "T, hospitals that learn nothing together; 0: half of the cohort", low=0, unit="hospitals"
    )
    server: str = parameter(
        ServerModel.SEMI_HONEST, "What the server may do; malicious adds a phase, and needs U above two thirds"
    )

    def rounds(self) -> tuple[type[Message], ...]:
        return (MaskInput, *consistency.phases(self.server), SumPieces)

    def colluding(self, clients: Collection[PartyId]) -> int:
        """T: so many coded pieces say nothing."""
        return self.privacy or max(len(clients) // 2, 1)

    def points_needed(self, clients: Collection[PartyId]) -> int:
        """U: how many coded pieces open the sum of the masks, and how many signatures it takes to send one."""
        private = self.colluding(clients)
        least = private + max((len(clients) - private) // 2, 1)
        return self.threshold or (max(least, quorum(len(clients))) if self.server == ServerModel.MALICIOUS else least)

    def field(self, clients: Collection[PartyId]) -> Field:
        """The smallest of the two Mersenne fields that holds the sum."""
        return M31 if len(clients) * ((1 << self.value_bits) - 1) < M31.p else M61

    def check(self, clients: Collection[PartyId]) -> None:
        super().check(clients)
        needed, private, parties = self.points_needed(clients), self.colluding(clients), len(clients)
        if needed > parties:
            raise ConfigurationError(f"threshold is {needed} and the cohort has {parties} clients")
        if not 1 <= private < needed:
            raise ConfigurationError(
                f"privacy is {private}; it must lie between 1 and {needed - 1}, below the threshold"
            )
        if private < parties // 2:
            raise ConfigurationError(f"privacy is {private}; a cohort of {parties} needs at least {parties // 2}")
        if self.server == ServerModel.MALICIOUS and needed < quorum(parties):
            raise ConfigurationError(
                f"threshold is {needed}; a cohort of {parties} needs at least {quorum(parties)} against a malicious "
                "server"
            )

    def capacity(self, clients: Collection[PartyId]) -> int:
        return self.field(clients).p - 1

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        private, needed = self.colluding(clients), self.points_needed(clients)
        if malicious:
            return min(private, 2 * needed - len(clients) - 1) if self.server == ServerModel.MALICIOUS else -1
        return private

    def columns(self, clients: Collection[PartyId], values: int) -> int:
        return -(-values // (self.points_needed(clients) - self.colluding(clients)))

    def corrects(self, clients: Collection[PartyId], answers: int) -> int:
        return robust.radius(answers, self.points_needed(clients))

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        parties, needed = len(clients), self.points_needed(clients)
        tolerated: dict[type[Message], int] = {MaskInput: parties - max(needed, self.floor)}
        if self.server == ServerModel.MALICIOUS:
            tolerated[ConsistencyCheck] = parties - needed
        return {**tolerated, SumPieces: parties - needed}

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        field = self.field(clients)

        def possible(party: PartyId, reply: MaskedInput) -> bool:
            return _holds(reply, field) and reply.outbox.keys() == set(clients) - {party}

        requests, least = dict.fromkeys(clients, MaskInput()), max(self.points_needed(clients), self.floor)
        sent, false = yield from complaints.ask_possible(requests, MaskedInput, possible, least)
        return (yield from complaints.beside(false, self._open(clients, sent)))

    def _open(self, clients: Collection[PartyId], sent: Mapping[PartyId, MaskedInput]) -> Flow[Sum]:
        """The phases after the first: the sum of these inputs, without those of another length than most."""
        needed, field = self.points_needed(clients), self.field(clients)
        least = max(needed, self.floor)
        size, _ = Counter(reply.vector.size for reply in sent.values()).most_common(1)[0]
        masked = {party: reply for party, reply in sent.items() if reply.vector.size == size}
        if len(masked) < least:
            raise TooFewParties("MaskInput", least, masked, clients)
        inboxes = transpose({sender: reply.outbox for sender, reply in masked.items()})
        asked, signatures = list(masked), dict[PartyId, bytes]()
        if self.server == ServerModel.MALICIOUS:
            signatures = yield from consistency.collect(dict.fromkeys(masked, frozenset(masked)), needed)
            asked = list(signatures)
        requests = {party: SumPieces(inboxes.get(party, {}), signatures) for party in asked}
        answered = yield from ask(requests, (PieceOfSum, Complaint), needed)
        check = self._dealt(clients)
        pieces, false = yield from complaints.settle(answered, PieceOfSum, inboxes, signatures, check)
        answers = {
            party: Answer(reply.piece, reply.prime_bits, size, reply.included) for party, reply in pieces.items()
        }
        pack = needed - self.colluding(clients)
        seed = yield from toss()
        mask = open_sum("SumPieces", answers, masked, needed, self.floor, field, pack, false, seed)
        total = field.sum([masked[party].vector for party in sorted(mask.included)])
        return Sum(field.sub(total, mask.sum).astype(np.uint64), mask.included, mask.false, mask.corrected)

    def respond(
        self, me: PartyContext, state: Masked | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[Masked | None, Message]:
        match request:
            case MaskInput() if x is not None:
                return self._mask(me, x, rng)
            case ConsistencyCheck(survivors) if self.server == ServerModel.MALICIOUS:
                state = _begun(state)
                consistency.admit(me, survivors, max(self.points_needed(me.cohort), me.floor))
                return replace(state, signed=survivors), consistency.sign(me, survivors)
            case SumPieces(inbox, signatures):
                state = _begun(state)
                pieces = self._pieces(me, state, inbox, {})
                accused = inbox.keys() & me.cohort - pieces.keys()
                complaint = complaints.complain(me, inbox, accused, state.values)
                if complaint is not None:
                    return Complained(state.values, state.seed, state.signed), complaint
                return None, self._sum(me, state, pieces, signatures)
            case Reopen():
                check, most = self._dealt(me.cohort), self.colluding(me.cohort)
                return state, complaints.reopen(me, request, most, MaskInput, PIECE, check)
            case SumReopened(inbox, signatures, bodies, openings) if isinstance(state, Complained):
                pieces = self._pieces(me, state, inbox, complaints.accept(me, bodies, openings))
                return None, self._sum(me, state, pieces, signatures)
            case SumReopened():
                raise OutOfPhase("this party has not complained in this session")
            case _:
                raise reject_unknown(request)

    def _mask(self, me: PartyContext, x: Vector, rng: Random) -> tuple[Masked, MaskedInput]:
        """Any U coded pieces give the mask, so U of them are drawn, as seeds, and the mask and the rest follow."""
        field, needed = self.field(me.cohort), self.points_needed(me.cohort)
        seeds = {party: rng(SEED_BYTES) for party in self._seeded(me.id, me.cohort)}
        pack = needed - self.colluding(me.cohort)
        mask, pieces = shamir.mask(sorted(me.cohort), needed, x.size, field, seeds, pack)
        own = seeds.pop(me.id)
        payloads = seeds | {party: field.dump(piece) for party, piece in pieces.items()}
        outbox = {
            party: me.seal(party, shamir.dump_share(payload, x.size), PIECE, rng) for party, payload in payloads.items()
        }
        values: Values = x.astype(field.word)
        return Masked(x.size, own), MaskedInput(field.add(values, mask), field.bits, outbox)

    def _seeded(self, dealer: PartyId, cohort: Collection[PartyId]) -> list[PartyId]:
        return shamir.seeded_points(dealer, cohort, self.points_needed(cohort))

    def _dealt(self, cohort: Collection[PartyId]) -> Check:
        pack = self.points_needed(cohort) - self.colluding(cohort)
        return dealt(self.field(cohort), pack, lambda dealer: self._seeded(dealer, cohort))

    def _pieces(
        self, me: PartyContext, state: Masked, inbox: Mapping[PartyId, bytes], reopened: Mapping[PartyId, bytes]
    ) -> dict[PartyId, Values]:
        """Its own piece, and those that were sealed to it; where a seal holds none, what its sender reopened."""
        field = self.field(me.cohort)
        pack = self.points_needed(me.cohort) - self.colluding(me.cohort)

        def load(sender: PartyId, body: bytes) -> Values:
            return shamir.load_share(body, state.values, pack, field, me.id in self._seeded(sender, me.cohort))

        def unseal(sender: PartyId) -> bytes:
            return me.unseal(sender, inbox[sender], MaskInput, PIECE)

        own = shamir.expand_share(state.seed, -(-state.values // pack), field)
        return {me.id: own} | complaints.held(inbox.keys() & me.cohort - {me.id}, unseal, load, reopened)

    def _sum(
        self, me: PartyContext, state: Masked, pieces: Mapping[PartyId, Values], signatures: Mapping[PartyId, bytes]
    ) -> PieceOfSum:
        if len(pieces) < me.floor:
            raise PolicyError(
                f"the pieces of {len(pieces)} parties could be opened, its own among them; the floor is {me.floor}"
            )
        if self.server == ServerModel.MALICIOUS:
            consistency.check(me, state.signed, frozenset(pieces), signatures, self.points_needed(me.cohort))
        field = self.field(me.cohort)
        return PieceOfSum(field.sum(list(pieces.values())), field.bits, frozenset(pieces))


def _begun(state: Masked | None) -> Masked:
    if state is None:
        raise OutOfPhase("this party has masked nothing in this session")
    return state


def _holds(reply: MaskedInput, field: Field) -> bool:
    """Whether a masked input is one dimension of elements of the field, as whoever follows the protocol sends."""
    try:
        field.check(reply.vector, "masked input")
    except BadMessage:
        return False
    return reply.vector.ndim == 1 and reply.prime_bits == field.bits
