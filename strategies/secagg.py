"""Pairwise masks cancel in the sum; shares of their secrets remove what a hospital that drops out leaves behind.

Reference: K. Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017, figure 4.
Server learns: the sum, and who took part.
Trusts: fewer than 2t-n hospitals collude with a malicious server, and fewer than t with a semi-honest one.
Tolerates: n-t dropouts in all; t exceeds 2n/3, or n/2 with server=semi-honest.
Costs: five phases, four with server=semi-honest; one vector and n small shares up; n masks.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, OutOfPhase, PolicyError, TooFewParties
from fedsec.primitives.key_agreement import AgreementKey, agree, hkdf
from fedsec.primitives.prg import masks_into
from fedsec.primitives.randomness import Random
from fedsec.primitives.ring import R32, R64, Ring
from fedsec.primitives.shamir import SHARE_BYTES, combine_secret, split_secrets
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
    consistency,
    parameter,
    reject_unknown,
    transpose,
)
from fedsec.protocol.consistency import ConsistencyCheck, quorum

SHARES = "shares"
"""What parties seal to each other."""


@dataclass(frozen=True)
class AdvertiseKeys(Message, tag="fedsec.secagg.advertise_keys/1"):
    """Round 0: advertise a key for this session's masks. The key for sealing, c^PK, is on the roster already."""


@dataclass(frozen=True)
class MaskKey(Message, tag="fedsec.secagg.mask_key/1"):
    """s^PK, and its owner's signature on it for this session."""

    public: Annotated[bytes, Exposure.FRESH]
    signature: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class OwnMaskKey(Message, tag="fedsec.secagg.own_mask_key/1"):
    """What a party signs when it advertises s^PK."""

    public: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class ShareKeys(Message, tag="fedsec.secagg.share_keys/1"):
    """Round 1: share your secrets among the owners of these keys."""

    keys: Mapping[int, MaskKey]


@dataclass(frozen=True)
class Shares(Message, tag="fedsec.secagg.shares/1"):
    """A share of s^SK and one of b for each neighbour, sealed to it; and SHA-256 of b, which the server checks."""

    outbox: Annotated[Mapping[int, bytes], Exposure.SEALED]
    commitment: Annotated[bytes, Exposure.FRESH]


@dataclass(frozen=True)
class MaskInput(Message, tag="fedsec.secagg.mask_input/1"):
    """Round 2: mask your input, with those whose shares these are."""

    inbox: Annotated[Mapping[int, bytes], Exposure.SEALED]


@dataclass(frozen=True)
class MaskedInput(Message, tag="fedsec.secagg.masked_input/1"):
    """y = x + PRG(b) + the sum over `partners` of ±PRG(s), derived for `context`."""

    vector: Annotated[NDArray[np.uint32] | NDArray[np.uint64], Exposure.MASKED]
    partners: Annotated[frozenset[int], Exposure.PUBLIC]
    context: Annotated[bytes, Exposure.FRESH]

    def uniform(self) -> Mapping[str, tuple[Vector, int]]:
        return {"vector": (self.vector.astype(np.uint64), 1 << (8 * self.vector.itemsize))}


@dataclass(frozen=True)
class Unmask(Message, tag="fedsec.secagg.unmask/1"):
    """Round 4: open the masks that did not cancel, given who sent masked inputs and who signed that."""

    survivors: Annotated[frozenset[int], Exposure.PUBLIC]
    signatures: Annotated[Mapping[int, bytes], Exposure.FRESH]


@dataclass(frozen=True)
class Unmasking(Message, tag="fedsec.secagg.unmasking/1"):
    """Shares of b of the survivors, and of s^SK of those who dropped out: of each party one or the other."""

    seeds: Annotated[Mapping[int, bytes], Exposure.FRESH]
    keys: Annotated[Mapping[int, bytes], Exposure.FRESH]


@dataclass(frozen=True, repr=False)
class Progress(State, tag="fedsec.secagg.progress/1"):
    """What a party keeps from round to round.

    key s^SK · seed b · keys s^PK by neighbour · shares by owner, each of s^SK and of b · signed the survivors of
    round 3.
    """

    key: bytes
    seed: bytes = b""
    keys: Mapping[int, bytes] | None = None
    shares: Mapping[int, bytes] | None = None
    masked: bool = False
    signed: frozenset[int] | None = None


@dataclass(frozen=True)
class SecAgg(SecureSum[Progress, None]):
    """Double masking. Against a malicious server the parties sign who survived, in a round of its own."""

    input_phase = MaskInput

    server: str = parameter(
        ServerModel.MALICIOUS, "What the server may do; semi-honest leaves out the round in which survivors are signed"
    )
    threshold: int = parameter(
        0, "t, shares that recover a mask; 0: the fewest that `server` allows", low=0, unit="hospitals"
    )

    def rounds(self) -> tuple[type[Message], ...]:
        return (AdvertiseKeys, ShareKeys, MaskInput, *consistency.phases(self.server), Unmask)

    # What the parameters come to, which the server and every party work out for themselves.

    def shares_needed(self, clients: Collection[PartyId]) -> int:
        """t: how many shares recover a secret."""
        least = quorum(len(clients)) if self.server == ServerModel.MALICIOUS else len(clients) // 2 + 1
        return self.threshold or least

    def degree(self, clients: Collection[PartyId]) -> int:
        """How many neighbours each party has, at most: all the others."""
        return len(clients) - 1

    def peers(self, clients: Collection[PartyId]) -> int:
        return self.degree(clients)

    def neighbourhoods(
        self, clients: Collection[PartyId], keys: Mapping[PartyId, MaskKey]
    ) -> dict[PartyId, frozenset[PartyId]]:
        """Each advertiser's neighbours and itself: all that advertised a key."""
        return dict.fromkeys(keys, frozenset(keys))

    def least_survivors(self, clients: Collection[PartyId]) -> int:
        """With fewer parties than this, a round is given up."""
        return max(self.shares_needed(clients), self.floor)

    def least_openers(self, clients: Collection[PartyId]) -> int:
        """With fewer answers in the last phase than this, no sum can be opened."""
        return self.shares_needed(clients)

    def ring(self, clients: Collection[PartyId]) -> Ring:
        """The smaller of the two rings that holds the sum."""
        return R32 if len(clients) * ((1 << self.value_bits) - 1) < 1 << 32 else R64

    def check(self, clients: Collection[PartyId]) -> None:
        super().check(clients)
        needed, parties = self.shares_needed(clients), len(clients)
        if needed > parties:
            raise ConfigurationError(f"threshold is {needed} and the cohort has {parties} clients")
        if self.server == ServerModel.MALICIOUS and 3 * needed <= 2 * parties:
            raise ConfigurationError(
                f"threshold is {needed}; it must exceed two thirds of the cohort of {parties} against a malicious "
                "server"
            )
        if 2 * needed <= parties:
            raise ConfigurationError(f"threshold is {needed}; it must exceed half of the cohort of {parties}")

    def capacity(self, clients: Collection[PartyId]) -> int:
        return (1 << 32) - 1 if self.ring(clients) is R32 else (1 << 63) - 1  # sums are read as signed 64-bit integers

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        needed = self.shares_needed(clients)
        if malicious:
            return 2 * needed - len(clients) - 1 if self.server == ServerModel.MALICIOUS else -1
        return needed - 1

    def tolerance(self, clients: Collection[PartyId]) -> Mapping[type[Message], int]:
        parties, needed = len(clients), self.shares_needed(clients)
        dropouts = parties - self.least_survivors(clients)
        tolerated: dict[type[Message], int] = dict.fromkeys((AdvertiseKeys, ShareKeys, MaskInput), dropouts)
        if self.server == ServerModel.MALICIOUS:
            tolerated[ConsistencyCheck] = parties - needed
        return {**tolerated, Unmask: parties - self.least_openers(clients)}

    # The server

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        least, needed = self.least_survivors(clients), self.shares_needed(clients)
        keys = yield from ask(dict.fromkeys(clients, AdvertiseKeys()), MaskKey, least)
        near = self.neighbourhoods(clients, keys)
        requests = {party: ShareKeys({other: keys[other] for other in sorted(near[party])}) for party in keys}
        shared = yield from ask(requests, Shares, least)
        inboxes = transpose({sender: reply.outbox for sender, reply in shared.items()})
        masked = yield from ask({party: MaskInput(inboxes.get(party, {})) for party in shared}, MaskedInput, least)
        survivors = agreeing(masked, near, self.ring(clients))
        if len(survivors) < least:
            raise TooFewParties("MaskInput", least, survivors, shared)
        neighbours = {party: near[party] & survivors for party in survivors}
        signatures: dict[PartyId, bytes] = {}
        if self.server == ServerModel.MALICIOUS:
            signatures = yield from consistency.collect(neighbours, needed)
        asked = sorted(signatures or survivors)
        requests_to_open = {party: Unmask(neighbours[party], signatures) for party in asked}
        opened = yield from ask(requests_to_open, Unmasking, self.least_openers(clients))
        inputs = {party: masked[party] for party in survivors}
        return Sum(self._unmask(clients, inputs, shared, keys, opened), survivors)

    def _unmask(
        self,
        clients: Collection[PartyId],
        masked: Mapping[PartyId, MaskedInput],
        shared: Mapping[PartyId, Shares],
        keys: Mapping[PartyId, MaskKey],
        opened: Mapping[PartyId, Unmasking],
    ) -> Vector:
        """z = the sum of y, less PRG(b) of the survivors and the masks that they shared with those who dropped out."""
        needed, ring = self.shares_needed(clients), self.ring(clients)
        seeds = transpose({party: reply.seeds for party, reply in opened.items()})
        pieces = transpose({party: reply.keys for party, reply in opened.items()})
        added: list[bytes] = []
        subtracted: list[bytes] = []
        for party, reply in masked.items():
            seed = _recover(party, seeds.get(party, {}), needed)
            if hashlib.sha256(seed).digest() != shared[party].commitment:
                raise BadMessage(f"phase Unmask: the shares of party {party}'s seed do not give what it committed to")
            subtracted.append(_own_mask(seed, reply.context))
        for dropped in sorted({other for reply in masked.values() for other in reply.partners} - set(masked)):
            key = AgreementKey(_recover(dropped, pieces.get(dropped, {}), needed))
            if key.public != keys[dropped].public:
                raise BadMessage(f"phase Unmask: the shares of party {dropped}'s key do not give the key it advertised")
            for party, reply in masked.items():
                if dropped in reply.partners:
                    undo = subtracted if party > dropped else added
                    undo.append(_shared_mask(key, keys[party].public, reply.context))
        total = ring.sum(reply.vector for reply in masked.values())
        masks_into(total, added, subtracted)
        return ring.lift(total)

    # A party

    def respond(
        self, me: PartyContext, state: Progress | None, request: Message, x: Vector | None, rng: Random
    ) -> tuple[Progress | None, Message]:
        if isinstance(request, AdvertiseKeys):
            key = AgreementKey.generate(rng)
            return Progress(key.raw), MaskKey(key.public, me.sign(OwnMaskKey(key.public)))
        if state is None:
            raise OutOfPhase(f"{type(request).__name__} before AdvertiseKeys")
        match request:
            case ShareKeys(keys):
                return self._share(me, state, keys, rng)
            case MaskInput(inbox) if x is not None:
                return self._mask(me, state, inbox, x)
            case ConsistencyCheck(survivors):
                self._check_survivors(me, state, survivors)
                return replace(state, signed=survivors), consistency.sign(me, survivors)
            case Unmask(survivors, signatures):
                self._check_survivors(me, state, survivors)
                if self.server == ServerModel.MALICIOUS:
                    consistency.check(me, state.signed, survivors, signatures, self.shares_needed(me.cohort))
                return None, self._open(state, survivors)
            case _:
                raise reject_unknown(request)

    def _share(
        self, me: PartyContext, state: Progress, keys: Mapping[int, MaskKey], rng: Random
    ) -> tuple[Progress, Message]:
        """Round 1: check the keys, draw b, and share b and s^SK among their owners."""
        own, least = AgreementKey(state.key), max(self.shares_needed(me.cohort), me.floor)
        others = keys.keys() - {me.id}
        if not others <= me.cohort:
            raise PolicyError(f"keys of parties {sorted(others - me.cohort)}, who are not in this cohort")
        if me.id not in keys or keys[me.id].public != own.public:
            raise PolicyError("the keys do not contain the one that this party advertised")
        if len(others) > self.degree(me.cohort):
            raise PolicyError(f"{len(others)} neighbours; {self.degree(me.cohort)} are the most for this cohort")
        publics = {
            other: key.public
            for other, key in sorted(keys.items())
            if other in others and consistency.holds(me, other, OwnMaskKey(key.public), key.signature)
        }
        if len(publics) + 1 < least:
            raise PolicyError(f"keys of {len(publics) + 1} parties, this one among them; {least} are the fewest")
        if len({own.public, *publics.values()}) <= len(publics):
            raise PolicyError("two parties advertise the same key")
        seed = rng(32)
        shares = split_secrets([state.key, seed], sorted({me.id, *publics}), self.shares_needed(me.cohort), rng)
        outbox = {other: me.seal(other, shares[other], SHARES, rng) for other in publics}
        kept = replace(state, seed=seed, keys=publics, shares={me.id: shares[me.id]})
        return kept, Shares(outbox, hashlib.sha256(seed).digest())

    def _mask(
        self, me: PartyContext, state: Progress, inbox: Mapping[int, bytes], x: Vector
    ) -> tuple[Progress, Message]:
        """Round 2: x under PRG(b) and a mask with each neighbour whose shares can be opened."""
        if state.keys is None or state.shares is None:
            raise OutOfPhase("MaskInput before ShareKeys: this party has shared no keys in this session")
        shares = dict(state.shares)
        for other in sorted(set(inbox) & set(state.keys)):
            try:
                share = me.unseal(other, inbox[other], ShareKeys, SHARES)
            except AuthenticationError:
                continue  # equivocation, or corrupted: for this party the other dropped out
            if len(share) == 2 * SHARE_BYTES:
                shares[other] = share
        own, seeds = AgreementKey(state.key), {}
        for other in sorted(shares.keys() - {me.id}):
            try:
                seeds[other] = _shared_mask(own, state.keys[other], me.context)
            except BadMessage:
                del shares[other]  # its key is no key: neither is it one for anybody else
        least = max(self.shares_needed(me.cohort), me.floor)
        if len(shares) < least:
            raise PolicyError(f"the shares of {len(shares)} parties could be opened; {least} are the fewest")
        masked = self.ring(me.cohort).words(x)
        masks_into(
            masked,
            added=[_own_mask(state.seed, me.context), *(seed for other, seed in seeds.items() if other < me.id)],
            subtracted=[seed for other, seed in seeds.items() if other > me.id],
        )
        return replace(state, shares=shares, masked=True), MaskedInput(masked, frozenset(seeds), me.context)

    def _check_survivors(self, me: PartyContext, state: Progress, survivors: frozenset[int]) -> None:
        if not state.masked or state.shares is None:
            raise OutOfPhase("this party has masked no input in this session")
        strangers = survivors - state.shares.keys()
        if strangers:
            raise PolicyError(f"parties {sorted(strangers)} are listed as survivors and shared no keys with this party")
        least = max(self.shares_needed(me.cohort), me.floor)
        consistency.admit(me, survivors, least)

    def _open(self, state: Progress, survivors: frozenset[int]) -> Unmasking:
        """Round 4: who dropped out is what this party works out itself, so of nobody are both shares given."""
        shares = state.shares or {}
        return Unmasking(
            seeds={party: shares[party][SHARE_BYTES:] for party in survivors},
            keys={party: share[:SHARE_BYTES] for party, share in shares.items() if party not in survivors},
        )


def agreeing(
    masked: Mapping[PartyId, MaskedInput], near: Mapping[PartyId, frozenset[PartyId]], ring: Ring
) -> frozenset[PartyId]:
    """The senders whose masks cancel or can be undone: of one context and length, each masked with all its neighbours.

    Whoever could not open a neighbour's shares masked without it, while the neighbour may have masked with it. Of such
    pairs the neighbour, whose shares they are, counts twice, and the party with the highest count counts as dropped
    out, until no such pair is left. So do those who name partners that they do not have.
    """
    words = {party: reply for party, reply in masked.items() if reply.vector.dtype == ring.dtype}
    kinds = Counter((reply.context, reply.vector.shape) for reply in words.values())
    common = max(kinds, key=lambda kind: (kinds[kind], kind), default=None)
    kept = {
        party
        for party, reply in words.items()
        if (reply.context, reply.vector.shape) == common and reply.partners <= near[party] - {party}
    }
    while True:
        broken: Counter[PartyId] = Counter()
        for party in kept:
            for other in (near[party] & kept) - {party} - masked[party].partners:
                broken.update({party: 1, other: 2})
        if not broken:
            return frozenset(kept)
        kept.remove(max(broken, key=lambda party: (broken[party], party)))


def _shared_mask(mine: AgreementKey, theirs: bytes, context: bytes) -> bytes:
    """The seed of the mask that two parties share in this session: s_{u,v}."""
    return agree(mine, theirs, b"fedsec secagg mask of a pair", salt=context)


def _own_mask(seed: bytes, context: bytes) -> bytes:
    """The seed of a party's own mask, from b."""
    return hkdf(seed, b"fedsec secagg mask of one", salt=context)


def _recover(owner: PartyId, shares: Mapping[PartyId, bytes], needed: int) -> bytes:
    if len(shares) < needed:
        raise TooFewParties(f"Unmask, shares of party {owner}'s secret", needed, shares, shares)
    return combine_secret(shares, needed)
