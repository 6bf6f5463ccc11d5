"""Pairwise masks cancel in the sum; shares of their secrets remove what a hospital that drops out leaves behind.

Reference: K. Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017, figure 4.
Server learns: the sum, and who took part.
Trusts: fewer than 2t-n hospitals collude with a malicious server, and fewer than t with a semi-honest one.
Tolerates: n-t dropouts in all; t exceeds 2n/3, or n/2 with server=semi-honest.
Costs: five phases, four with server=semi-honest; one vector and n small shares up; n masks; disputes two more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedsec.errors import BadMessage, ConfigurationError, FedsecError, OutOfPhase, PolicyError, TooFewParties
from fedsec.primitives.field import M61
from fedsec.primitives.key_agreement import AgreementKey, agree, check_public, hkdf
from fedsec.primitives.prg import SEED_BYTES, masks_into
from fedsec.primitives.randomness import Random
from fedsec.primitives.ring import R32, R64, Ring
from fedsec.primitives.shamir import LIMBS, SHARE_BYTES, combine_secret, split_secrets
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
    transpose,
    verify,
)
from fedsec.protocol.complaints import Complaint, Reopen, Sealed
from fedsec.protocol.consistency import ConsistencyCheck, quorum

SHARES = "shares"
"""What parties seal to each other: shares of so many secrets."""
SECRETS = 2


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
class MaskReopened(Message, tag="fedsec.secagg.mask_reopened/1"):
    """In a dispute, before it is known who survives: do without `closed`, who did not open what they sealed.

    To who complained: what was opened to it, and under which signatures. It masks its input now.
    """

    closed: Annotated[frozenset[int], Exposure.PUBLIC]
    bodies: Annotated[Mapping[int, bytes], Exposure.SHARED] = field(default_factory=dict)
    openings: Annotated[Mapping[int, bytes], Exposure.FRESH] = field(default_factory=dict)


@dataclass(frozen=True)
class PairMasks(Message, tag="fedsec.secagg.pair_masks/1"):
    """From who has masked its input already: s_{u,v} for each v of `closed`, by which that mask is taken away."""

    seeds: Annotated[Mapping[int, bytes], Exposure.FRESH]


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
class Progress(State, tag="fedsec.secagg.progress/2"):
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


@dataclass(frozen=True, repr=False)
class Complained(Progress, tag="fedsec.secagg.complained/1"):
    """It complained in place of `vector`, its input under its own mask and those that it shares with who is in shares.

    It gives its input in one vector: this one, once it has been told what was opened.
    """

    vector: NDArray[np.uint32] | NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint32))


class Masked(NamedTuple):
    """Who is left once inputs are masked: the inputs, and the seeds of masks that are to be taken away from them."""

    inputs: Mapping[PartyId, MaskedInput]
    closed: Mapping[PartyId, Mapping[PartyId, bytes]]


@dataclass(frozen=True)
class SecAgg(SecureSum[Progress, None]):
    """Double masking. Against a malicious server the parties sign who survived, in a round of its own."""

    input_phase = MaskInput
    dispute_phases = (Reopen, MaskReopened)

    server: str = parameter(
        ServerModel.MALICIOUS, "What the server may do; semi-honest leaves out the round in which survivors are signed"
    )
    threshold: int = parameter(
        0, "t, shares that recover a mask; 0: the fewest that `server` allows", low=0, unit="hospitals"
    )

    def rounds(self) -> tuple[type[Message], ...]:
        return (AdvertiseKeys, ShareKeys, MaskInput, *consistency.phases(self.server), Unmask)

    def requests(self) -> tuple[type[Message], ...]:
        """Disputes are settled before it is decided who survives."""
        rounds = self.rounds()
        after = rounds.index(MaskInput) + 1
        return (*rounds[:after], *self.dispute_phases, *rounds[after:])

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

    def openable(self, clients: Collection[PartyId]) -> int:
        """To how many neighbours a party opens its seals, at most: what they hold together says nothing."""
        return min(self.withstands(clients, self.server == ServerModel.MALICIOUS), self.shares_needed(clients) - 1)

    # The server

    def aggregate(self, clients: Collection[PartyId], public: None) -> Flow[Sum]:
        """Round 0, and the rest among those whose key is one."""
        requests, least = dict.fromkeys(clients, AdvertiseKeys()), self.least_survivors(clients)
        advertised = yield from ask(requests, MaskKey, 0)
        keys: dict[PartyId, MaskKey] = {}
        for party, key in advertised.items():
            if _usable(key.public) and (yield from verify(party, OwnMaskKey(key.public), key.signature)):
                keys[party] = key
        false = frozenset(advertised.keys() - keys.keys())
        # Of two who advertise one key nobody knows whose it is: both drop out. An honest one's is unknown until then.
        owners = Counter(key.public for key in keys.values())
        keys = {party: key for party, key in keys.items() if owners[key.public] == 1}
        if len(keys) < least:
            raise TooFewParties("AdvertiseKeys", least, keys, clients).proving(false)
        return (yield from complaints.beside(false, self._share_keys(clients, keys)))

    def _share_keys(self, clients: Collection[PartyId], keys: Mapping[PartyId, MaskKey]) -> Flow[Sum]:
        """Round 1, and the rest among those who sealed shares to all their neighbours."""
        near = self.neighbourhoods(clients, keys)

        def possible(party: PartyId, reply: Shares) -> bool:
            return reply.outbox.keys() == near[party] - {party}

        requests = {party: ShareKeys({other: keys[other] for other in sorted(near[party])}) for party in keys}
        shared, false = yield from complaints.ask_possible(requests, Shares, possible, self.least_survivors(clients))
        return (yield from complaints.beside(false, self._mask_inputs(clients, keys, shared)))

    def _mask_inputs(
        self, clients: Collection[PartyId], keys: Mapping[PartyId, MaskKey], shared: Mapping[PartyId, Shares]
    ) -> Flow[Sum]:
        """Round 2, with its dispute, and the rest among those whose inputs are alike."""
        least = self.least_survivors(clients)
        relayed = transpose({sender: reply.outbox for sender, reply in shared.items()})
        inboxes = {party: relayed.get(party, {}) for party in shared}
        requests = {party: MaskInput(inbox) for party, inbox in inboxes.items()}
        answered = yield from ask(requests, (MaskedInput, Complaint), least)
        masked, false = yield from self._settled(answered, inboxes, self.ring(clients))
        survivors = alike(masked.inputs)
        if len(survivors) < least:
            raise TooFewParties("MaskInput", least, survivors, shared).proving(false)
        masked = Masked({party: masked.inputs[party] for party in sorted(survivors)}, masked.closed)
        return (yield from complaints.beside(false, self._open_sum(clients, keys, shared, masked)))

    def _settled(
        self, answered: Mapping[PartyId, Message], inboxes: Sealed, ring: Ring
    ) -> Flow[tuple[Masked, frozenset[PartyId]]]:
        """Of these answers the masked inputs, those after the dispute too; and who is proven false.

        Whoever opens nothing has dropped out: those who complained mask without it, and the others take away the mask
        that they share with it. So nobody needs its key, of which too few may have a share.
        """
        heard = yield from complaints.hear(answered, inboxes, _check_shares, SECRETS)
        partners = {party: frozenset(inbox) for party, inbox in inboxes.items()}
        # What a party opened is of no use once it is left out for anything else, such as a false complaint of its own.
        bodies, openings = (
            {party: _without(given, heard.closed) for party, given in opened.items()}
            for opened in (heard.bodies, heard.openings)
        )
        for party, complaint in heard.complaints.items():
            partners[party] -= complaint.digests.keys() - bodies[party].keys()
        masked = {party: reply for party, reply in answered.items() if isinstance(reply, MaskedInput)}
        false = heard.false | {party for party, reply in masked.items() if not _fits(reply, partners[party], ring)}
        requests = {}
        for party in sorted((masked.keys() | heard.complaints.keys()) - heard.closed - false):
            closed = partners[party] & heard.closed
            if party in heard.complaints:
                requests[party] = MaskReopened(closed, bodies[party], openings[party])
            elif closed:
                requests[party] = MaskReopened(closed)
        later = (yield from ask(requests, (MaskedInput, PairMasks), 0)) if requests else {}
        inputs = {party: masked[party] for party in masked.keys() - requests.keys() - heard.closed - false}
        seeds: dict[PartyId, Mapping[PartyId, bytes]] = {}
        for party, reply in later.items():
            left = partners[party] - heard.closed
            if party in masked and isinstance(reply, PairMasks) and _undoes(reply, requests[party].closed):
                inputs[party], seeds[party] = replace(masked[party], partners=left), reply.seeds
            elif party in heard.complaints and isinstance(reply, MaskedInput) and _fits(reply, left, ring):
                inputs[party] = reply
            else:
                false |= {party}
        return Masked(inputs, seeds), false

    def _open_sum(
        self,
        clients: Collection[PartyId],
        keys: Mapping[PartyId, MaskKey],
        shared: Mapping[PartyId, Shares],
        masked: Masked,
    ) -> Flow[Sum]:
        """Rounds 3 and 4: the sum of the masked inputs, once nobody of those who share a mask can drop out."""
        survivors, signatures = frozenset(masked.inputs), dict[PartyId, bytes]()
        neighbours = {party: reply.partners & survivors | {party} for party, reply in masked.inputs.items()}
        if self.server == ServerModel.MALICIOUS:
            signatures = yield from consistency.collect(neighbours, self.shares_needed(clients))

        def possible(party: PartyId, reply: Unmasking) -> bool:
            dropped = masked.inputs[party].partners - survivors
            shares = (*reply.seeds.values(), *reply.keys.values())
            right = reply.seeds.keys() == neighbours[party] and reply.keys.keys() == dropped
            return right and _are_shares(shares)

        requests = {party: Unmask(neighbours[party], signatures) for party in sorted(signatures or survivors)}
        opened, false = yield from complaints.ask_possible(requests, Unmasking, possible, self.least_openers(clients))
        try:
            return Sum(self._unmask(clients, masked, shared, keys, opened), survivors, false)
        except FedsecError as error:
            raise error.proving(false) from None

    def _unmask(
        self,
        clients: Collection[PartyId],
        masked: Masked,
        shared: Mapping[PartyId, Shares],
        keys: Mapping[PartyId, MaskKey],
        opened: Mapping[PartyId, Unmasking],
    ) -> Vector:
        """z = the sum of y, less PRG(b) of the survivors and the masks that they shared with those who dropped out."""
        needed, ring, inputs = self.shares_needed(clients), self.ring(clients), masked.inputs
        seeds = transpose({party: reply.seeds for party, reply in opened.items()})
        pieces = transpose({party: reply.keys for party, reply in opened.items()})
        added: list[bytes] = []
        subtracted: list[bytes] = []
        for party, reply in inputs.items():
            seed = _recover(party, seeds.get(party, {}), needed)
            if hashlib.sha256(seed).digest() != shared[party].commitment:
                raise BadMessage(f"phase Unmask: the shares of party {party}'s seed do not give what it committed to")
            subtracted.append(_own_mask(seed, reply.context))
            for other, mask in masked.closed.get(party, {}).items():
                (subtracted if party > other else added).append(mask)
        for dropped in sorted({other for reply in inputs.values() for other in reply.partners} - set(inputs)):
            key = AgreementKey(_recover(dropped, pieces.get(dropped, {}), needed))
            if key.public != keys[dropped].public:
                raise BadMessage(f"phase Unmask: the shares of party {dropped}'s key do not give the key it advertised")
            for party, reply in inputs.items():
                if dropped in reply.partners:
                    undo = subtracted if party > dropped else added
                    undo.append(_shared_mask(key, keys[party].public, reply.context))
        total = ring.sum(reply.vector for reply in inputs.values())
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
            case Reopen():
                most = self.openable(me.cohort)
                return state, complaints.reopen(me, request, most, ShareKeys, SHARES, _check_shares)
            case MaskReopened():
                return self._mask_reopened(me, state, request)
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
        """Round 2: x under PRG(b) and a mask with each neighbour whose shares can be opened; a complaint of others."""
        if state.keys is None or state.shares is None:
            raise OutOfPhase("MaskInput before ShareKeys: this party has shared no keys in this session")

        def unseal(other: PartyId) -> bytes:
            return me.unseal(other, inbox[other], ShareKeys, SHARES)

        senders = inbox.keys() & state.keys.keys()
        opened = complaints.held(senders, unseal, lambda other, body: _shares_in(body), {})
        seeds = self._pair_masks(me, state, opened)
        masked = self.ring(me.cohort).words(x)
        added, subtracted = _by_sign(me.id, seeds)
        masks_into(masked, [_own_mask(state.seed, me.context), *added], subtracted)
        shares = {me.id: state.shares[me.id]} | {other: opened[other] for other in seeds}
        complaint = complaints.complain(me, inbox, senders - opened.keys(), SECRETS)
        if complaint is not None:
            return Complained(state.key, state.seed, state.keys, shares, vector=masked), complaint
        return self._masked_input(me, replace(state, shares=shares), masked)

    def _mask_reopened(
        self, me: PartyContext, state: Progress, request: MaskReopened
    ) -> tuple[Progress, MaskedInput | PairMasks]:
        """The dispute: go on as if the shares of `closed` had not opened, and those reopened had."""
        if state.keys is None or state.shares is None or not (state.masked or isinstance(state, Complained)):
            raise OutOfPhase("this party has masked no input in this session")
        unmasked = request.closed - (state.shares.keys() - {me.id})
        if unmasked:
            raise PolicyError(f"parties {sorted(unmasked)} are to be left out and share no mask with this party")
        without = self._pair_masks(me, state, request.closed)
        shares = {other: share for other, share in state.shares.items() if other not in without}
        if not isinstance(state, Complained):
            if not without:
                raise OutOfPhase("this party has not complained in this session")
            self._check_enough(me, shares)
            return replace(state, shares=shares), PairMasks(without)
        bodies = complaints.accept(me, request.bodies, request.openings)
        reopened = {}
        for other in sorted(bodies.keys() & state.keys.keys() - state.shares.keys()):
            with suppress(BadMessage):
                reopened[other] = _shares_in(bodies[other])
        seeds, masked = self._pair_masks(me, state, reopened), state.vector.copy()
        (added, subtracted), (taken, given) = _by_sign(me.id, seeds), _by_sign(me.id, without)
        masks_into(masked, [*added, *given], [*subtracted, *taken])
        shares |= {other: reopened[other] for other in seeds}
        return self._masked_input(me, Progress(state.key, state.seed, state.keys, shares), masked)

    def _masked_input(
        self, me: PartyContext, state: Progress, masked: NDArray[np.uint32] | NDArray[np.uint64]
    ) -> tuple[Progress, MaskedInput]:
        shares = state.shares or {}
        self._check_enough(me, shares)
        return replace(state, masked=True), MaskedInput(masked, frozenset(shares.keys() - {me.id}), me.context)

    def _check_enough(self, me: PartyContext, shares: Mapping[PartyId, bytes]) -> None:
        """Refuse an input under too few masks."""
        least = max(self.shares_needed(me.cohort), me.floor)
        if len(shares) < least:
            raise PolicyError(f"the shares of {len(shares)} parties could be opened; {least} are the fewest")

    def _pair_masks(self, me: PartyContext, state: Progress, others: Collection[PartyId]) -> dict[PartyId, bytes]:
        """s_{u,v} for each of these; without those whose key is no key, which is none for anybody else either."""
        own, keys, seeds = AgreementKey(state.key), state.keys or {}, {}
        for other in sorted(others):
            with suppress(BadMessage):
                seeds[other] = _shared_mask(own, keys[other], me.context)
        return seeds

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


def alike(masked: Mapping[PartyId, MaskedInput]) -> frozenset[PartyId]:
    """The senders of the largest group whose inputs are of one length and whose masks are of one session.

    After equivocation about the model contexts differ. Neither proves anything: nobody but hospitals knows a length.
    """
    kinds = Counter((reply.context, reply.vector.size) for reply in masked.values())
    common = max(kinds, key=lambda kind: (kinds[kind], kind), default=None)
    return frozenset(party for party, reply in masked.items() if (reply.context, reply.vector.size) == common)


def _fits(reply: MaskedInput, partners: frozenset[PartyId], ring: Ring) -> bool:
    """Whether an honest party whose seals of these partners opened can have sent this input."""
    return reply.partners == partners and reply.vector.dtype == ring.dtype and reply.vector.ndim == 1


def _undoes(reply: PairMasks, closed: frozenset[PartyId]) -> bool:
    """Whether an honest party that is to do without these can have sent this."""
    return reply.seeds.keys() == closed and all(len(seed) == SEED_BYTES for seed in reply.seeds.values())


def _without(given: Mapping[PartyId, bytes], parties: Collection[PartyId]) -> dict[PartyId, bytes]:
    return {party: one for party, one in given.items() if party not in parties}


def _usable(public: bytes) -> bool:
    """Whether others can agree on a mask with the owner of this key."""
    try:
        check_public(public)
    except BadMessage:
        return False
    return True


def _shares_in(body: bytes) -> bytes:
    """The body of a seal, once it is known to hold a share of each secret; raises BadMessage."""
    M61.load(body, SECRETS * LIMBS, "shares")
    return body


def _are_shares(shares: Collection[bytes]) -> bool:
    """Whether each of these is a share of one secret; whether it is the right one nobody knows here."""
    try:
        M61.load(b"".join(shares), len(shares) * LIMBS, "shares")
    except BadMessage:
        return False
    return all(len(share) == SHARE_BYTES for share in shares)


def _check_shares(dealer: PartyId, receiver: PartyId, body: bytes, values: int) -> None:
    """The check of what a dealer seals."""
    if values != SECRETS:
        raise BadMessage(f"shares of {values} secrets; of {SECRETS} are dealt")
    _shares_in(body)


def _by_sign(party: PartyId, seeds: Mapping[PartyId, bytes]) -> tuple[list[bytes], list[bytes]]:
    """Which masks this party adds to its input and which it subtracts: the other one of a pair does the opposite."""
    added = [seed for other, seed in seeds.items() if other < party]
    return added, [seed for other, seed in seeds.items() if other > party]


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
