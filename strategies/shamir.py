"""Every hospital shares its input among all; they send back sums of shares, and any k+1 of those open the sum.

Reference: A. Shamir, CACM 22 (1979); sums of shares as in M. Ben-Or, S. Goldwasser, A. Wigderson, STOC 1988.
Server learns: the sum, and who took part.
Trusts: that at most k hospitals collude; if the server breaks the protocol with them, fewer than 2(k+1) - n.
Tolerates: n-k-1 silent hospitals, and sums at least the cohort floor.
Costs: two phases; each hospital uploads n sealed shares (4 bytes a value up to 30-bit sums, else 8), then 8 more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, OutOfPhase, PolicyError, TooFewParties
from fedsec.primitives import prg, shamir
from fedsec.primitives.field import M31, M61, Field
from fedsec.primitives.randomness import Random
from fedsec.protocol import (
    Exposure,
    Flow,
    Me,
    Message,
    PartyId,
    SecureSum,
    State,
    Sum,
    Vector,
    ask,
    reject_unknown,
    transpose,
)


@dataclass(frozen=True)
class ShareInput(Message):
    """Phase 1: share your input among the cohort."""


@dataclass(frozen=True)
class Shares(Message):
    """One share for each of the cohort, sealed to its receiver."""

    outbox: Annotated[Mapping[int, bytes], Exposure.SEALED]


@dataclass(frozen=True)
class SumShares(Message):
    """Phase 2: add up the shares that these hospitals sealed to you."""

    inbox: Annotated[Mapping[int, bytes], Exposure.SEALED]


@dataclass(frozen=True)
class ShareOfSum(Message):
    """One share of the sum of the inputs of `included`."""

    share: Annotated[Vector, Exposure.SHARED]
    prime_bits: Annotated[int, Exposure.PUBLIC]
    included: Annotated[frozenset[int], Exposure.PUBLIC]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"share": (self.share, (1 << self.prime_bits) - 1)}


@dataclass(frozen=True, repr=False)
class Shared(State):
    """This party shared an input in this session: how many values it has."""

    values: int


@dataclass(frozen=True)
class Shamir(SecureSum[Shared, None]):
    """Any `threshold` hospitals reconstruct the sum; fewer learn nothing. 0 means a bare majority of the cohort."""

    phases = (ShareInput, SumShares)
    input_phase = ShareInput

    threshold: int = 0

    def points_needed(self, clients: Collection[PartyId]) -> int:
        """k+1: how many shares open the sum."""
        return self.threshold or len(clients) // 2 + 1

    def field(self, clients: Collection[PartyId]) -> Field:
        """The smallest of the two Mersenne fields that holds the sum."""
        return M31 if len(clients) * ((1 << self.value_bits) - 1) < M31.p else M61

    def check(self, clients: Collection[PartyId]) -> None:
        super().check(clients)
        needed = self.points_needed(clients)
        if needed > len(clients):
            raise ConfigurationError(f"threshold is {needed} and the cohort has {len(clients)} clients")
        if 2 * needed <= len(clients):
            raise ConfigurationError(
                f"threshold is {needed}; it must exceed half of the cohort of {len(clients)}, or two groups could open"
            )

    def capacity(self, clients: Collection[PartyId]) -> int:
        return self.field(clients).p - 1

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        needed = self.points_needed(clients)
        return {ShareInput: len(clients) - max(needed, self.floor), SumShares: len(clients) - needed}

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        needed, field = self.points_needed(clients), self.field(clients)
        shared = yield from ask(dict.fromkeys(clients, ShareInput()), Shares, max(needed, self.floor))
        inboxes = transpose({sender: reply.outbox for sender, reply in shared.items()})
        requests = {party: SumShares(inboxes.get(party, {})) for party in shared}
        summed = yield from ask(requests, ShareOfSum, needed)
        # Whoever was shown another model cannot unseal the others' shares and sums alone: only one group can be large.
        included, _ = Counter(reply.included for reply in summed.values()).most_common(1)[0]
        agreeing = {party: reply.share for party, reply in summed.items() if reply.included == included}
        if len(agreeing) < needed:
            raise TooFewParties("SumShares", needed, agreeing, shared)
        return Sum(shamir.combine(agreeing, needed, field), included)

    def respond(
        self, me: Me, state: Shared | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[Shared | None, Message]:
        match request:
            case ShareInput() if x is not None:
                return Shared(x.size), self._share(me, x, rng)
            case SumShares(inbox):
                if state is None:
                    raise OutOfPhase("SumShares before ShareInput: this party has shared nothing in this session")
                return state, self._sum(me, state.values, inbox)
            case _:
                raise reject_unknown(request)

    def _share(self, me: Me, x: Vector, rng: Random) -> Shares:
        field = self.field(me.cohort)
        stream = prg.expand(rng(prg.SEED_BYTES))  # AES-CTR from a fresh seed: faster than the system's generator
        shares = shamir.split(x, sorted(me.cohort), self.points_needed(me.cohort), field, stream)
        return Shares({party: me.seal(party, _dump(share, field), rng) for party, share in shares.items()})

    def _sum(self, me: Me, values: int, inbox: Mapping[PartyId, bytes]) -> ShareOfSum:
        field = self.field(me.cohort)
        opened: dict[PartyId, Vector] = {}
        for sender in sorted(set(inbox) & me.cohort):
            try:
                opened[sender] = _load(me.unseal(sender, inbox[sender]), values, field)
            except (AuthenticationError, BadMessage):
                continue  # shown another model, or corrupted: for this party the sender dropped out
        if me.id not in opened or len(opened) < me.floor:
            raise PolicyError(
                f"the shares of {len(opened)} parties could be opened; the floor is {me.floor} with this party's own"
            )
        return ShareOfSum(field.sum(list(opened.values())), field.bits, frozenset(opened))


def _dump(share: Vector, field: Field) -> bytes:
    return share.astype("<u4" if field.bits == 31 else "<u8").tobytes()


def _load(data: bytes, values: int, field: Field) -> Vector:
    """The share in `data`; raises BadMessage unless it is `values` elements of the field."""
    width = 4 if field.bits == 31 else 8
    if len(data) != values * width:
        raise BadMessage(f"a share of {len(data)} bytes; {values * width} were expected")
    share = np.frombuffer(data, f"<u{width}").astype(np.uint64)
    if share.size and int(share.max()) >= field.p:
        raise BadMessage("a share outside its field")
    return share
