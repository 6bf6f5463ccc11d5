"""Corrupt hospitals under secagg: whatever they seal, claim or hold back, no honest one loses its place or is blamed.

Each case is a whole round, with all signatures and seals, and without a transport: what is left out is the order of
phases, which an honest server keeps.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import FedsecError, PolicyError, TooFewParties
from fedsec.party.context import SessionContext
from fedsec.primitives.key_agreement import AgreementKey
from fedsec.protocol import Message, PartyId, Replies, Requests, Sum, complaints, run
from fedsec.protocol.complaints import Complaint, Opening, Reopen, Reopened, Unopened
from fedsec.server.coordinator import Channel
from fedsec.strategies import secagg
from fedsec.strategies.secagg import MaskedInput, MaskReopened, PairMasks, SecAgg, Shares, Unmasking
from fedsec.strategies.secagg_plus import SecAggPlus
from tests.strategies.corrupt_parties import Act, founded, label
from tests.tiers import examples, exhaustive

VALUES = 3


@dataclass(frozen=True)
class Outcome:
    """A round's sum, or the error in its place, who is proven false, and which phases were asked."""

    sum: Sum | None
    error: FedsecError | None
    false: frozenset[PartyId]
    asked: tuple[str, ...]


class Rounds:
    """Rounds of one strategy among the same hospitals, led by an honest server."""

    def __init__(self, protocol: Any, hospitals: int) -> None:
        server = founded(protocol, hospitals)
        self.protocol, self.server, self.cohort = protocol, server, range(1, hospitals + 1)
        self.keys = {
            party: (server.identity(party), AgreementKey(server.state(party).agreement)) for party in self.cohort
        }
        self.inputs = {party: np.arange(VALUES, dtype=np.uint64) + 100 * party for party in self.cohort}

    def run(self, corrupt: Mapping[PartyId, Act], silent: Collection[tuple[str, PartyId]] = ()) -> Outcome:
        """One round with these corrupt parties; `silent` parties do not answer a phase."""
        channel: Channel = self.server.coordinator.channel(self.cohort, stage="train")
        states: dict[PartyId, Any] = {}
        asked: list[str] = []

        def deliver(requests: Requests) -> Replies:
            answers = {}
            for party, request in requests.items():
                phase = type(request).__name__
                asked.extend([phase] * (phase not in asked))
                if (phase, party) in silent:
                    continue
                me = self.me(party, channel, request)
                x = self.inputs[party] if isinstance(request, self.protocol.input_phase) else None
                given = me, states.get(party), request, x, os.urandom
                try:
                    act = corrupt.get(party)
                    step = act(self.protocol, *given) if act else self.protocol.respond(*given)
                except FedsecError:
                    continue
                states[party], answers[party] = step
            return answers

        try:
            found = run(self.protocol.aggregate(self.cohort, None), deliver, os.urandom, channel.signed)
        except FedsecError as error:
            return Outcome(None, error, error.false, tuple(asked))
        return Outcome(found, None, found.false, tuple(asked))

    def me(self, party: PartyId, channel: Channel, request: Message) -> SessionContext:
        members, key = self.server.coordinator.roster, self.server.key.public
        return SessionContext(party, *self.keys[party], members, channel._session, key, request.tag, 3)

    def costs_nobody_honest_anything(self, corrupt: Mapping[PartyId, Act], what: object = "") -> Outcome:
        """A round in which all honest parties are in the sum, which is right, and none of them is proven false."""
        found = self.run(corrupt)
        assert found.error is None and found.sum is not None, (what, found.error)
        assert found.sum.included >= set(self.cohort) - corrupt.keys(), what
        assert found.sum.vector.tolist() == sum(self.inputs[party] for party in found.sum.included).tolist(), what
        assert found.false <= corrupt.keys(), what
        assert not found.false & found.sum.included or "Unmask" in found.asked, what
        return found


@functools.cache
def rounds(protocol: Any, hospitals: int) -> Rounds:
    return Rounds(protocol, hospitals)


def chosen(subset: Collection[PartyId], among: Collection[PartyId]) -> list[PartyId]:
    return sorted(set(subset) & set(among))


# What a corrupt hospital does, to or about a subset of the others


def garbage(make: Callable[[Any, PartyId], bytes], how: str, silent: bool) -> Callable[[Collection[PartyId]], Act]:
    """Seals what `make` gives to these, answers a dispute in this way, and maybe gives no input."""

    def to(victims: Collection[PartyId]) -> Act:
        bodies: dict[PartyId, bytes] = {}

        def act(honest: Any, me: Any, state: Any, request: Any, x: Any, rng: Any) -> tuple[Any, Message]:
            if isinstance(request, Reopen):
                rest = {to: seal for to, seal in request.sealed.items() if to not in bodies}
                shown = {to: body for to, body in bodies.items() if to in request.sealed}
                shown |= {to: me.unseal_own(to, seal, secagg.ShareKeys, secagg.SHARES) for to, seal in rest.items()}
                return state, reopened(me, shown, how)
            if x is not None and silent:
                raise PolicyError("no")
            state, reply = honest.respond(me, state, request, x, rng)
            if isinstance(reply, Shares):
                sent = dict(reply.outbox)
                for victim in chosen(victims, sent):
                    bodies[victim] = me.unseal_own(victim, sent[victim], secagg.ShareKeys, secagg.SHARES)
                    sent[victim] = make(me, victim)
                reply = replace(reply, outbox=sent)
            return state, reply

        return act

    return to


def reopened(me: Any, bodies: dict[PartyId, bytes], how: str) -> Reopened:
    if how == "refuses":
        raise PolicyError("no")
    if how == "malformed":
        bodies = dict.fromkeys(bodies, b"\xff" * 80)
    signatures = {to: me.sign(Opening(to, hashlib.sha256(body).digest())) for to, body in bodies.items()}
    if how == "part":
        del bodies[min(bodies)]
    if how == "under no signature":
        signatures[min(signatures)] = bytes(64)
    return Reopened(bodies, signatures)


def unopenable(me: Any, victim: PartyId) -> bytes:
    return bytes(140)


def sealed_garbage(me: Any, victim: PartyId) -> bytes:
    """A seal that opens, to what is no share though it is as long."""
    seal: bytes = me.seal(victim, b"\xff" * 80, secagg.SHARES, os.urandom)
    return seal


def omitting(victims: Collection[PartyId]) -> Act:
    def change(reply: Any, *_: Any) -> Any:
        left = {to: seal for to, seal in reply.outbox.items() if to not in victims}
        return replace(reply, outbox=left)

    return changing(Shares, change)


def changing(kind: type[Message], change: Callable[..., Any]) -> Act:
    """Follows the protocol but for answers of one kind."""

    def act(honest: Any, me: Any, state: Any, request: Message, x: Any, rng: Any) -> tuple[Any, Message]:
        after, reply = honest.respond(me, state, request, x, rng)
        return after, change(reply, me, request) if isinstance(reply, kind) else reply

    return act


def complaining(
    change: Callable[[Complaint, Any], Complaint], after: Callable[[Any], Any]
) -> Callable[[Collection[PartyId]], Act]:
    """Complains of these, whose seals do open; later it sends what `after` makes of its masked input."""

    def of(accused: Collection[PartyId]) -> Act:
        def act(honest: Any, me: Any, state: Any, request: Any, x: Any, rng: Any) -> tuple[Any, Message]:
            if x is None or not (named := chosen(accused, request.inbox)):
                state, reply = honest.respond(me, state, request, x, rng)
                return state, after(reply) if isinstance(request, MaskReopened) else reply
            spoilt = {party: b"" if party in named else seal for party, seal in request.inbox.items()}
            state, _ = honest.respond(me, state, replace(request, inbox=spoilt), x, rng)
            made = complaints.complain(me, request.inbox, named, secagg.SECRETS)
            return state, change(made, me)  # type: ignore[arg-type]

        return act

    return of


def silence(reply: Any) -> Any:
    raise PolicyError("no")


def unlike(accused: Collection[PartyId]) -> Act:
    """Masks with all and says it did not with these."""
    return changing(MaskedInput, lambda reply, *_: replace(reply, partners=reply.partners - set(accused)))


def opening_less(name: str) -> Callable[[Collection[PartyId]], Act]:
    """Holds back its shares of the secrets of these."""

    def of(owners: Collection[PartyId]) -> Act:
        def change(reply: Any, *_: Any) -> Any:
            return replace(reply, **{name: {p: s for p, s in getattr(reply, name).items() if p not in owners}})

        return changing(Unmasking, change)

    return of


def as_it_is(given: Any, *_: Any) -> Any:
    return given


def elsewhere(made: Complaint, me: Any) -> Complaint:
    """Of bytes that were never relayed."""
    digests = dict.fromkeys(made.digests, bytes(32))
    return Complaint(digests, {of: me.sign(Unopened(of, bytes(32), 2)) for of in digests}, 2)


def of_one_secret(made: Complaint, me: Any) -> Complaint:
    signatures = {of: me.sign(Unopened(of, digest, 1)) for of, digest in made.digests.items()}
    return Complaint(made.digests, signatures, 1)


def unsigned(made: Complaint, me: Any) -> Complaint:
    return replace(made, signatures={**made.signatures, min(made.signatures): bytes(64)})


SEALS: dict[str, Callable[[Collection[PartyId]], Act]] = {
    f"{make.__name__}, {how}{', silent' * silent}": garbage(make, how, silent)
    for make in (unopenable, sealed_garbage)
    for how in ("rightly", "refuses", "malformed", "part", "under no signature")
    for silent in (False, True)
}
CLAIMS: dict[str, Callable[[Collection[PartyId]], Act]] = {
    "complains": complaining(as_it_is, as_it_is),
    "complains and is silent": complaining(as_it_is, silence),
    "complains and masks without": complaining(as_it_is, lambda reply: replace(reply, partners=frozenset())),
    "complains and gives seeds": complaining(as_it_is, lambda reply: PairMasks({})),
    "complains under no signature": complaining(unsigned, as_it_is),
    "complains of other bytes": complaining(elsewhere, as_it_is),
    "complains of another number": complaining(of_one_secret, as_it_is),
}
OTHERS: dict[str, Callable[[Collection[PartyId]], Act]] = {
    "omits": omitting,
    "denies": unlike,
    "opens no seeds": opening_less("seeds"),
}
ACTS = SEALS | CLAIMS | OTHERS
PROVEN = {
    *(name for name in SEALS if any(how in name for how in ("malformed", "part", "under no"))),
    *(CLAIMS.keys() - {"complains", "complains and is silent"}),
    *OTHERS,
}
"""What proves its sender false; of the rest some is answered rightly in the end, and some is silence."""


def subsets(parties: Collection[PartyId]) -> Iterator[tuple[PartyId, ...]]:
    """All but the empty one."""
    for size in range(1, len(parties) + 1):
        yield from itertools.combinations(sorted(parties), size)


MODELS = (SecAgg(), SecAgg(server="semi-honest"))


def costs_nothing(led: Rounds, liar: PartyId, to: Collection[PartyId]) -> None:
    """All that a hospital can do to these."""
    for name, made in ACTS.items():
        found = led.costs_nobody_honest_anything({liar: made(to)}, (name, to))
        assert (liar in found.false) == (name in PROVEN), (name, to)


def test_one_corrupt_hospital_costs_no_honest_one_its_place() -> None:
    costs_nothing(rounds(SecAgg(), 5), 3, (1, 4))


@pytest.mark.slow
@pytest.mark.parametrize(("hospitals", "liar"), [(4, 1), *exhaustive([(5, 3), (6, 6)])])
@pytest.mark.parametrize("protocol", MODELS, ids=label)
def test_whoever_it_wrongs(protocol: Any, hospitals: int, liar: PartyId) -> None:
    """All subsets of the others."""
    led = rounds(protocol, hospitals)
    for subset in subsets(set(led.cohort) - {liar}):
        costs_nothing(led, liar, subset)


def keyed(change: Callable[[Any, Any], Any]) -> Act:
    return changing(secagg.MaskKey, lambda reply, me, _: change(reply, me))


def own_key(public: bytes) -> Callable[[Any, Any], Any]:
    return lambda reply, me: secagg.MaskKey(public, me.sign(secagg.OwnMaskKey(public)))


KEYS: dict[str, Act] = {
    "under no signature": keyed(lambda reply, me: replace(reply, signature=bytes(64))),
    "of three bytes": keyed(own_key(b"key")),
    "of low order": keyed(own_key(bytes(32))),
}
ANSWERS: dict[str, Act] = {
    "with a stranger": changing(MaskedInput, lambda reply, *_: replace(reply, partners=reply.partners | {77})),
    "with itself": changing(MaskedInput, lambda reply, me, _: replace(reply, partners=reply.partners | {me.id})),
    "of other words": changing(MaskedInput, lambda reply, *_: replace(reply, vector=reply.vector.astype(np.uint64))),
    "of two dimensions": changing(MaskedInput, lambda reply, *_: replace(reply, vector=reply.vector.reshape(1, -1))),
}
UNLIKE: dict[str, Act] = {
    "shorter": changing(MaskedInput, lambda reply, *_: replace(reply, vector=reply.vector[:1])),
    "of another session": changing(MaskedInput, lambda reply, *_: replace(reply, context=bytes(32))),
}


@pytest.mark.parametrize("protocol", MODELS, ids=label)
def test_a_key_or_an_input_that_nobody_honest_sends_proves_its_sender_false(protocol: Any) -> None:
    led = rounds(protocol, 5)
    for name, act in (KEYS | ANSWERS).items():
        found = led.costs_nobody_honest_anything({2: act}, name)
        assert found.sum is not None and found.sum.included == {1, 3, 4, 5} and found.false == {2}, name
    for name, act in UNLIKE.items():
        found = led.costs_nobody_honest_anything({2: act}, name)
        assert found.sum is not None and found.sum.included == {1, 3, 4, 5} and not found.false, name


def test_of_two_with_one_key_both_are_left_out_and_neither_is_blamed() -> None:
    led, public = rounds(SecAgg(server="semi-honest"), 6), AgreementKey(bytes(range(32))).public
    found = led.costs_nobody_honest_anything(dict.fromkeys((2, 5), keyed(own_key(public))))
    assert found.sum is not None and found.sum.included == {1, 3, 4, 6} and not found.false


@pytest.mark.parametrize("protocol", MODELS, ids=label)
def test_a_dealer_that_reopens_is_in_the_sum_and_an_honest_round_has_no_dispute(protocol: Any) -> None:
    led = rounds(protocol, 5)
    assert led.run({}).asked == tuple(phase.__name__ for phase in protocol.rounds())
    for make in (unopenable, sealed_garbage):
        found = led.costs_nobody_honest_anything({3: garbage(make, "rightly", silent=False)((1, 4))})
        assert found.sum is not None and found.sum.included == set(led.cohort) and not found.false
        assert found.asked == tuple(phase.__name__ for phase in protocol.requests())


def test_a_dealer_of_garbage_to_all_that_falls_silent_voids_no_round() -> None:
    """Too few have a share of its key, so those who masked with it take that mask away before anybody survives."""
    led = rounds(SecAgg(), 6)
    for count in range(1, 6):
        found = led.costs_nobody_honest_anything(
            {6: garbage(unopenable, "refuses", silent=True)(range(1, count + 1))}, count
        )
        assert found.sum is not None and found.sum.included == {1, 2, 3, 4, 5}
        assert found.asked == tuple(phase.__name__ for phase in led.protocol.requests())


def test_an_honest_hospital_that_is_cut_off_in_a_dispute_has_dropped_out_and_is_not_blamed() -> None:
    led, dispute = rounds(SecAgg(server="semi-honest"), 6), {6: CLAIMS["complains"]((1, 2))}
    for phase, lost, included in (
        ("Reopen", 1, {2, 3, 4, 5, 6}),
        ("MaskReopened", 6, {1, 2, 3, 4, 5}),
        ("Reopen", 3, {1, 2, 3, 4, 5, 6}),
    ):
        found = led.run(dispute, silent=[(phase, lost)])
        assert found.sum is not None and found.sum.included == included and not found.false
        assert found.sum.vector.tolist() == sum(led.inputs[party] for party in included).tolist()
    found = led.run({6: garbage(unopenable, "refuses", silent=False)((1,))}, silent=[("MaskReopened", 3)])
    assert found.sum is not None and found.sum.included == {1, 2, 4, 5} and not found.false


def undoing(change: Callable[[Mapping[PartyId, bytes]], Mapping[PartyId, bytes]]) -> Act:
    return changing(PairMasks, lambda reply, *_: PairMasks(change(reply.seeds)))


UNDOING: dict[str, Act] = {
    "gives none": undoing(lambda seeds: {}),
    "gives more": undoing(lambda seeds: {**seeds, min({3, 4, 5} - seeds.keys()): bytes(32)}),  # not a false one instead
    "gives short ones": undoing(lambda seeds: dict.fromkeys(seeds, b"seed")),
    "gives an input": changing(PairMasks, lambda reply, me, _: MaskedInput(np.zeros(3, np.uint32), frozenset(), b"")),
}


def test_who_does_not_take_a_mask_away_that_it_shares_with_a_silent_dealer_is_false() -> None:
    led, dealer = rounds(SecAgg(server="semi-honest"), 6), garbage(unopenable, "refuses", silent=True)((1, 2))
    for name, act in UNDOING.items():
        found = led.costs_nobody_honest_anything({6: dealer, 5: act}, name)
        assert found.sum is not None and found.sum.included == {1, 2, 3, 4} and found.false == {5}, name


PAIRS = {6: SecAgg(server="semi-honest"), 7: SecAgg()}
"""By cohort, in which two may drop out."""
EVERY = ACTS | {f"key {name}": (lambda _, act=act: act) for name, act in (KEYS | ANSWERS | UNLIKE | UNDOING).items()}


def silent_in(phase: str) -> Act:
    def act(honest: Any, me: Any, state: Any, request: Message, x: Any, rng: Any) -> tuple[Any, Message]:
        if type(request).__name__ == phase:
            raise PolicyError("no")
        step: tuple[Any, Message] = honest.respond(me, state, request, x, rng)
        return step

    return act


SILENT = {phase.__name__: silent_in(phase.__name__) for phase in SecAgg().requests()}
ANY = EVERY | {f"silent in {phase}": (lambda _, act=act: act) for phase, act in SILENT.items()}


WRONG = st.tuples(st.sampled_from(sorted(ANY)), st.sets(st.integers(1, 7), min_size=1))
"""What a corrupt hospital does, and to whom: to all others, where these are not in the cohort or itself."""


@pytest.mark.parametrize("hospitals", [6, *exhaustive([7])])
@settings(max_examples=examples(60))
@given(who=st.permutations(range(1, 7)), wrongs=st.tuples(WRONG, WRONG))
def test_two_corrupt_hospitals_cost_no_honest_one_its_place(
    hospitals: int, who: list[PartyId], wrongs: tuple[tuple[str, set[PartyId]], ...]
) -> None:
    """As many as may drop out, whatever they do together."""
    led = rounds(PAIRS[hospitals], hospitals)
    assert hospitals - 2 == led.protocol.least_survivors(led.cohort)
    acts = {}
    for liar, (name, to) in zip(who, wrongs, strict=False):
        others = set(led.cohort) - {liar}
        acts[liar] = ANY[name](to & others or others)
    led.costs_nobody_honest_anything(acts, {liar: wrong for liar, wrong in zip(who, wrongs, strict=False)})


@pytest.mark.slow
def test_two_corrupt_hospitals_of_which_one_deals_garbage_and_one_is_silent_at_the_end() -> None:
    """All subsets: the other one's mask with the dealer cannot be taken away once it survives."""
    led = rounds(SecAgg(server="semi-honest"), 6)
    for silent in (True, False):
        for subset in subsets({1, 2, 3, 4, 5}):
            dealer = garbage(unopenable, "refuses", silent)(subset)
            led.costs_nobody_honest_anything({6: dealer, 5: SILENT["Unmask"]}, (silent, subset))


def with_keys(change: Callable[[dict[PartyId, bytes]], dict[PartyId, bytes]]) -> Act:
    return changing(Unmasking, lambda reply, *_: replace(reply, keys=change(dict(reply.keys))))


def moved(shares: Mapping[PartyId, bytes]) -> dict[PartyId, bytes]:
    """The same numbers, one of which is counted to another share."""
    first, second, *_ = shares
    return {**shares, first: shares[first] + shares[second][:8], second: shares[second][8:]}


OPENING: dict[str, Act] = {
    "of other lengths": changing(Unmasking, lambda reply, *_: replace(reply, seeds=moved(reply.seeds))),
    "no keys": with_keys(lambda keys: {}),
    "short ones": with_keys(lambda keys: {owner: share[:-8] for owner, share in keys.items()}),
    "none of the field": with_keys(lambda keys: {owner: b"\xff" * len(share) for owner, share in keys.items()}),
}


@pytest.mark.parametrize("how", OPENING)
def test_who_opens_no_shares_of_a_hospital_that_dropped_out_is_false(how: str) -> None:
    led = rounds(SecAgg(server="semi-honest"), 6)
    found = led.run({5: OPENING[how]}, silent=[("MaskInput", 2)])
    assert found.sum is not None and found.sum.included == {1, 3, 4, 5, 6} and found.false == {5}
    assert found.sum.vector.tolist() == sum(led.inputs[party] for party in (1, 3, 4, 5, 6)).tolist()


def test_more_than_may_drop_out_void_the_round_and_nobody_honest_is_named() -> None:
    led = rounds(SecAgg(), 5)
    for name in ("omits", "complains of other bytes", "unopenable, malformed", "denies"):
        found = led.run({party: ACTS[name]((1, 2)) for party in (4, 5)})
        assert isinstance(found.error, TooFewParties) and found.false == {4, 5}, name


@pytest.mark.slow
def test_on_a_sparse_graph_neighbours_settle_it() -> None:
    """101 hospitals, of whom five do what they can to their neighbours."""
    led = rounds(SecAggPlus(corruption=0.05, dropout=0.2), 101)
    everyone = set(led.cohort)
    corrupt = {
        7: SEALS["unopenable, rightly"](everyone),
        20: SEALS["sealed_garbage, refuses, silent"](range(1, 101, 2)),
        33: CLAIMS["complains"](everyone),
        58: OTHERS["denies"](everyone),
        90: OTHERS["omits"](everyone),
    }
    found = led.costs_nobody_honest_anything(corrupt)
    assert found.sum is not None and found.sum.included == everyone - {20, 58, 90} and found.false == {58, 90}


@pytest.mark.parametrize("protocol", [*MODELS, SecAggPlus()], ids=label)
def test_a_dealer_of_garbage_that_opens_it_and_complains_falsely_costs_itself_its_place(protocol: Any) -> None:
    """Its false complaint leaves it out, so what it opened to others is of no use to them."""

    def both(victims: Collection[PartyId], lie: Callable[[Complaint, Any], Complaint]) -> Act:
        seal = garbage(unopenable, "rightly", False)(victims)

        def act(honest: Any, me: Any, state: Any, request: Any, x: Any, rng: Any) -> tuple[Any, Message]:
            if x is None:
                return seal(honest, me, state, request, x, rng)
            state, _ = honest.respond(me, state, request, x, rng)
            made = complaints.complain(me, request.inbox, victims, secagg.SECRETS)
            return state, lie(made, me)  # type: ignore[arg-type]

        return act

    for hospitals in (5, 7):
        led = rounds(protocol, hospitals)
        for victims in ((1,), (1, 2), tuple(set(led.cohort) - {3})):
            for lie in (elsewhere, of_one_secret, unsigned):
                found = led.costs_nobody_honest_anything({3: both(victims, lie)}, (victims, lie))
                assert found.false == {3}
