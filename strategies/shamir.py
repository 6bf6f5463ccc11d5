"""Every hospital shares its input among all; they return sums of shares, and any k+1 of these open the sum.

Reference: A. Shamir, CACM 22 (1979); sums of shares as in M. Ben-Or, S. Goldwasser, A. Wigderson, STOC 1988.
Server learns: the sum, and who took part.
Trusts: the server is semi-honest and at most k hospitals collude; for a malicious server see `server`.
Tolerates: n-k-1 dropouts; no sum below the cohort floor.
Costs: two phases, or three; up n-k sealed shares and k-1 seeds, then a share of the sum; 4 or 8 bytes a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import ConfigurationError, OutOfPhase, PolicyError
from fedsec.primitives import robust, shamir
from fedsec.primitives.field import M31, M61, Field
from fedsec.primitives.mersenne import Values
from fedsec.primitives.prg import SEED_BYTES
from fedsec.primitives.randomness import Random
from fedsec.protocol import (
    Coalition,
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

SHARE = "share"
"""What parties seal to each other."""


@dataclass(frozen=True)
class ShareInput(Message, tag="fedsec.shamir.share_input/1"):
    """Phase 1: share your input among the cohort."""


@dataclass(frozen=True)
class Shares(Message, tag="fedsec.shamir.shares/1"):
    """One share for each of the others, sealed to its receiver: for k-1 of them a seed, of which the share is made."""

    outbox: Annotated[Mapping[int, bytes], Exposure.SEALED]


@dataclass(frozen=True)
class SumShares(Message, tag="fedsec.shamir.sum_shares/1"):
    """Phase 2: add up the shares that these parties sealed to you, and your own.

    Against a malicious server the consistency check stands before it, whose signatures it brings.
    """

    inbox: Annotated[Mapping[int, bytes], Exposure.SEALED]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH] = field(default_factory=dict)


@dataclass(frozen=True)
class ShareOfSum(Message, tag="fedsec.shamir.share_of_sum/1"):
    """One share of the sum of the inputs of `included`, of so many `values`, in the field of 2^prime_bits - 1."""

    share: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.SHARED]
    values: Annotated[int, Exposure.PUBLIC]
    prime_bits: Annotated[int, Exposure.PUBLIC]
    included: Annotated[frozenset[int], Exposure.PUBLIC]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"share": (self.share.astype(np.uint64), (1 << self.prime_bits) - 1)}


@dataclass(frozen=True, repr=False)
class Shared(State, tag="fedsec.shamir.shared/1"):
    """This party shared an input of `values` in this session; its own share is made of `seed`; whose sum it signed."""

    values: int
    seed: bytes
    signed: frozenset[int] | None = None


@dataclass(frozen=True, repr=False)
class Complained(Shared, tag="fedsec.shamir.complained/1"):
    """It complained in place of a share of the sum, and may be asked for it once more."""


@dataclass(frozen=True)
class Shamir(SecureSum[Shared, None]):
    """Any `threshold` parties reconstruct the sum; fewer learn nothing.

    Against a malicious server the parties sign of whom the sum is, in a phase of its own; that needs more than two
    thirds of the cohort, and a server that follows the protocol more than half.
    """

    input_phase = ShareInput
    dispute_phases = complaints.PHASES

    threshold: int = parameter(
        0, "k+1, shares that open the sum; 0: the fewest that `server` allows", low=0, unit="hospitals"
    )
    server: str = parameter(
        ServerModel.SEMI_HONEST, "What the server may do; malicious adds a phase, and needs two thirds of the cohort"
    )

    def rounds(self) -> tuple[type[Message], ...]:
        return (ShareInput, *consistency.phases(self.server), SumShares)

    def packed(self, clients: Collection[PartyId]) -> int:
        """l: how many values one share carries."""
        return 1

    def least_points(self, clients: Collection[PartyId]) -> int:
        """The fewest shares that may open the sum: any half of the cohort learns nothing, and enough sign for it."""
        least = max(len(clients) // 2, 1) + self.packed(clients)
        return max(least, quorum(len(clients))) if self.server == ServerModel.MALICIOUS else least

    def points_needed(self, clients: Collection[PartyId]) -> int:
        """k+l: how many shares open the sum, and how many signatures it takes to send one."""
        return self.threshold or self.least_points(clients)

    def colluding(self, clients: Collection[PartyId]) -> int:
        """k: so many shares say nothing."""
        return self.points_needed(clients) - self.packed(clients)

    def field(self, clients: Collection[PartyId]) -> Field:
        """The smallest of the two Mersenne fields that holds the sum."""
        return M31 if len(clients) * ((1 << self.value_bits) - 1) < M31.p else M61

    def check(self, clients: Collection[PartyId]) -> None:
        super().check(clients)
        needed, least = self.points_needed(clients), self.least_points(clients)
        if needed > len(clients):
            raise ConfigurationError(f"threshold is {needed} and the cohort has {len(clients)} clients")
        if needed < least:
            raise ConfigurationError(
                f"threshold is {needed}; a cohort of {len(clients)} needs at least {least} against a {self.server} "
                "server"
            )

    def capacity(self, clients: Collection[PartyId]) -> int:
        return self.field(clients).p - 1

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        private, needed = self.colluding(clients), self.points_needed(clients)
        if malicious:
            return min(private, 2 * needed - len(clients) - 1) if self.server == ServerModel.MALICIOUS else -1
        return private

    def coalitions(self, clients: Collection[PartyId], malicious: bool = False) -> tuple[Coalition, ...]:
        alone = Coalition(frozenset(clients), self.colluding(clients) + 1, server=False)  # they hold shares of inputs
        return (*super().coalitions(clients, malicious), alone)

    def corrects(self, clients: Collection[PartyId], answers: int) -> int:
        return robust.radius(answers, self.points_needed(clients))

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        parties, needed = len(clients), self.points_needed(clients)
        tolerated: dict[type[Message], int] = {ShareInput: parties - max(needed, self.floor)}
        if self.server == ServerModel.MALICIOUS:
            tolerated[ConsistencyCheck] = parties - needed
        return {**tolerated, SumShares: parties - needed}

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        def possible(party: PartyId, reply: Shares) -> bool:
            return reply.outbox.keys() == set(clients) - {party}

        requests, least = dict.fromkeys(clients, ShareInput()), max(self.points_needed(clients), self.floor)
        shared, false = yield from complaints.ask_possible(requests, Shares, possible, least)
        return (yield from complaints.beside(false, self._open(clients, shared)))

    def _open(self, clients: Collection[PartyId], shared: Mapping[PartyId, Shares]) -> Flow[Sum]:
        """The phases after the first: the sum of what these shared."""
        needed, pack = self.points_needed(clients), self.packed(clients)
        inboxes = transpose({sender: reply.outbox for sender, reply in shared.items()})
        asked, signatures = list(shared), dict[PartyId, bytes]()
        if self.server == ServerModel.MALICIOUS:
            signatures = yield from consistency.collect(dict.fromkeys(shared, frozenset(shared)), needed)
            asked = list(signatures)
        requests = {party: SumShares(inboxes.get(party, {}), signatures) for party in asked}
        answered = yield from ask(requests, (ShareOfSum, Complaint), needed)
        check = self._dealt(clients)
        summed, false = yield from complaints.settle(answered, ShareOfSum, inboxes, signatures, check)
        answers = {
            party: Answer(reply.share, reply.prime_bits, reply.values, reply.included)
            for party, reply in summed.items()
        }
        seed, field = (yield from toss()), self.field(clients)
        opened = open_sum("SumShares", answers, shared, needed, self.floor, field, pack, false, seed)
        return Sum(opened.sum.astype(np.uint64), opened.included, opened.false, opened.corrected)

    def respond(
        self, me: PartyContext, state: Shared | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[Shared | None, Message]:
        match request:
            case ShareInput() if x is not None:
                return self._share(me, x, rng)
            case ConsistencyCheck(survivors) if self.server == ServerModel.MALICIOUS:
                state = _begun(state)
                consistency.admit(me, survivors, max(self.points_needed(me.cohort), me.floor))
                return replace(state, signed=survivors), consistency.sign(me, survivors)
            case SumShares(inbox, signatures):
                state = _begun(state)
                shares = self._shares(me, state, inbox, {})
                accused = inbox.keys() & me.cohort - shares.keys()
                complaint = complaints.complain(me, inbox, accused, state.values)
                if complaint is not None:
                    return Complained(state.values, state.seed, state.signed), complaint
                return None, self._sum(me, state, shares, signatures)
            case Reopen():
                check, most = self._dealt(me.cohort), self.colluding(me.cohort)
                return state, complaints.reopen(me, request, most, ShareInput, SHARE, check)
            case SumReopened(inbox, signatures, bodies, openings) if isinstance(state, Complained):
                shares = self._shares(me, state, inbox, complaints.accept(me, bodies, openings))
                return None, self._sum(me, state, shares, signatures)
            case SumReopened():
                raise OutOfPhase("this party has not complained in this session")
            case _:
                raise reject_unknown(request)

    def _share(self, me: PartyContext, x: Vector, rng: Random) -> tuple[Shared, Shares]:
        """Of the shares that are seeds, this party keeps its own and sends the others."""
        field = self.field(me.cohort)
        seeds = {party: rng(SEED_BYTES) for party in self._seeded(me.id, me.cohort)}
        needed, pack = self.points_needed(me.cohort), self.packed(me.cohort)
        shares = shamir.split(x, sorted(me.cohort), needed, field, seeds, pack)
        own = seeds.pop(me.id)
        payloads = seeds | {party: field.dump(share) for party, share in shares.items()}
        sealed = {
            party: me.seal(party, shamir.dump_share(payload, x.size), SHARE, rng) for party, payload in payloads.items()
        }
        return Shared(x.size, own), Shares(sealed)

    def _seeded(self, dealer: PartyId, cohort: Collection[PartyId]) -> list[PartyId]:
        return shamir.seeded_points(dealer, cohort, self.colluding(cohort))

    def _dealt(self, cohort: Collection[PartyId]) -> Check:
        return dealt(self.field(cohort), self.packed(cohort), lambda dealer: self._seeded(dealer, cohort))

    def _shares(
        self, me: PartyContext, state: Shared, inbox: Mapping[PartyId, bytes], reopened: Mapping[PartyId, bytes]
    ) -> dict[PartyId, Values]:
        """Its own share, and those that were sealed to it; where a seal holds none, what its sender reopened."""
        field, pack = self.field(me.cohort), self.packed(me.cohort)

        def load(sender: PartyId, body: bytes) -> Values:
            return shamir.load_share(body, state.values, pack, field, me.id in self._seeded(sender, me.cohort))

        def unseal(sender: PartyId) -> bytes:
            return me.unseal(sender, inbox[sender], ShareInput, SHARE)

        own = shamir.expand_share(state.seed, -(-state.values // pack), field)
        return {me.id: own} | complaints.held(inbox.keys() & me.cohort - {me.id}, unseal, load, reopened)

    def _sum(
        self, me: PartyContext, state: Shared, shares: Mapping[PartyId, Values], signatures: Mapping[PartyId, bytes]
    ) -> ShareOfSum:
        if len(shares) < me.floor:
            raise PolicyError(
                f"the shares of {len(shares)} parties could be opened, its own among them; the floor is {me.floor}"
            )
        if self.server == ServerModel.MALICIOUS:
            consistency.check(me, state.signed, frozenset(shares), signatures, self.points_needed(me.cohort))
        field = self.field(me.cohort)
        return ShareOfSum(field.sum(list(shares.values())), state.values, field.bits, frozenset(shares))


def _begun(state: Shared | None) -> Shared:
    if state is None:
        raise OutOfPhase("this party has shared nothing in this session")
    return state
