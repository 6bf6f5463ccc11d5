"""Seals that do not open: dealers of garbage, false complaints, and servers that make use of either.

Corrupt parties hold their own keys and state; a dishonest server signs what it likes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import AuthenticationError, FedsecError, OutOfPhase, PolicyError
from fedsec.local import Update
from fedsec.party.party import PartyState
from fedsec.protocol import Message, PartyContext, PartyId, complaints
from fedsec.protocol.complaints import Complaint, Opening, Reopen, Reopened, SumReopened, Unopened
from fedsec.protocol.consistency import Survivors
from fedsec.server.coordinator import FALSE_ANSWER, Total
from fedsec.strategies import additive, lightsecagg, shamir
from fedsec.strategies.additive import Additive
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.shamir import Shamir
from fedsec.wire import codec
from tests.strategies.corrupt_parties import Act, Federation, enrolled, founded, label
from tests.tiers import examples, exhaustive, slow

SHARED = [
    Shamir(server="malicious"),
    LightSecAgg(),
    *slow([Shamir(), PackedShamir(), PackedShamir(server="malicious"), LightSecAgg(server="malicious")]),
]
"""Strategies of shared secrets: of each kind one is in the fast tier, and one server model of the two."""
EACH = pytest.mark.parametrize("protocol", [*SHARED, Additive()], ids=label)
SHARING = pytest.mark.parametrize("protocol", SHARED, ids=label)
HOSPITALS, VALUES = 7, 5
SUMS = (shamir.SumShares, lightsecagg.SumPieces, additive.SumMasks)


def kind_of(protocol: Any) -> str:
    return {"additive": additive.SEED, "lightsecagg": lightsecagg.PIECE}.get(protocol.name, shamir.SHARE)


def outbox(reply: Any) -> dict[PartyId, bytes]:
    return dict(reply.seeds if isinstance(reply, additive.MaskedInput) else reply.outbox)


def sealing(reply: Any, sealed: Mapping[PartyId, bytes]) -> Any:
    name = "seeds" if isinstance(reply, additive.MaskedInput) else "outbox"
    return replace(reply, **{name: outbox(reply) | dict(sealed)})


def signed(me: PartyContext, bodies: Mapping[PartyId, bytes]) -> dict[PartyId, bytes]:
    return {to: me.sign(Opening(to, digest(body))) for to, body in bodies.items()}


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


HOW = ("rightly", "refuses", "malformed", "part", "under no signature")


def dealing_garbage(
    victims: Collection[PartyId], how: str, garbage: bytes = b"garbage" * 9, within: bool = False
) -> Act:
    """Seals garbage to these (`within`: a seal that opens to garbage), and answers complaints in this way."""
    bodies: dict[PartyId, bytes] = {}

    def act(honest: Any, me: Any, state: Any, request: Message, x: Any, rng: Any) -> tuple[Any, Message]:
        if isinstance(request, Reopen):
            shown = {to: b"nothing" if how == "malformed" else bodies[to] for to in request.sealed}
            if how == "refuses":
                raise PolicyError("no")
            openings = signed(me, shown)
            if how == "part":
                del shown[min(shown)]
            if how == "under no signature":
                openings = {to: bytes(64) for to in shown}
            return state, Reopened(shown, openings)
        state, reply = honest.respond(me, state, request, x, rng)
        if isinstance(request, honest.input_phase):
            sent, kind = outbox(reply), kind_of(honest)
            for victim in set(victims) & sent.keys() - {me.id}:
                bodies[victim] = me.unseal_own(victim, sent[victim], honest.input_phase, kind)
                sent[victim] = me.seal(victim, garbage, kind, rng) if within else garbage
            reply = sealing(reply, sent)
        return state, reply

    return act


def complaining(change: Callable[[Complaint, Any], Complaint], accused: Collection[PartyId], stays: bool = True) -> Act:
    """Complains of these with or without reason; where it stays, it answers honestly when asked again."""

    def act(honest: Any, me: Any, state: Any, request: Any, x: Any, rng: Any) -> tuple[Any, Message]:
        if isinstance(request, SUMS) and set(accused) <= request.inbox.keys():
            made = complaints.complain(me, request.inbox, accused, VALUES)
            module = {"additive": additive, "lightsecagg": lightsecagg}.get(honest.name, shamir)
            parts = () if module is additive else (state.values, state.seed, state.signed)
            return module.Complained(*parts), change(made, me)
        if isinstance(request, SumReopened) and not stays:
            raise PolicyError("no")
        step: tuple[Any, Message] = honest.respond(me, state, request, x, rng)
        return step

    return act


def as_it_is(complaint: Complaint, me: Any) -> Complaint:
    return complaint


def data() -> dict[PartyId, np.ndarray[Any, Any]]:
    return {party: np.arange(VALUES, dtype=np.uint64) + 100 * party for party in range(1, HOSPITALS + 1)}


def right(included: Collection[PartyId]) -> list[int]:
    return [int(value) for value in sum(data()[party] for party in included)]


def outcome(federation: Federation) -> tuple[Total | None, list[str]]:
    """The sum, which is exact, or none; and the phases that were asked."""
    asked: list[str] = []

    def tap(phase: Any, party: PartyId, *_: Any) -> None:
        if phase.name not in asked:
            asked.append(phase.name)

    federation.tap = tap
    try:
        total = federation.sum(data())
    except FedsecError as error:
        assert error.false == federation.coordinator.false
        return None, asked
    assert total.sum.vector.tolist() == right(total.sum.included)
    assert total.sum.false == federation.coordinator.false
    return total, asked


def receivers(protocol: Any, dealer: PartyId) -> set[PartyId]:
    everyone = range(1, HOSPITALS + 1)
    return set(protocol.chosen(everyone) if protocol.name == "additive" else everyone) - {dealer}


def dispensable(protocol: Any) -> int:
    """How many may fail to answer when the sum is opened."""
    return 0 if protocol.name == "additive" else HOSPITALS - int(protocol.points_needed(range(1, HOSPITALS + 1)))


@EACH
@settings(max_examples=examples(10))
@given(
    dealer=st.integers(1, HOSPITALS),
    drawn=st.sets(st.integers(0, HOSPITALS - 2), min_size=1),
    garbage=st.binary(max_size=90),
    within=st.booleans(),
)
def test_a_dealer_of_garbage_that_reopens_is_in_the_sum_and_costs_nobody_anything(
    protocol: Any, dealer: PartyId, drawn: set[int], garbage: bytes, within: bool
) -> None:
    among = sorted(receivers(protocol, dealer))
    victims = {among[place % len(among)] for place in drawn}
    federation = enrolled(
        protocol, HOSPITALS, corrupt={dealer: dealing_garbage(victims, "rightly", garbage, within=within)}
    )
    total, asked = outcome(federation)
    assert total is not None and total.sum.included == set(range(1, HOSPITALS + 1))
    assert (total.sum.false, total.sum.corrected, total.incidents) == (frozenset(), frozenset(), ())
    assert asked == [phase.__name__ for phase in (*protocol.rounds(), Reopen, SumReopened)]


@EACH
@pytest.mark.parametrize("how", ["refuses", "part", *slow(["malformed", "under no signature"])])
@pytest.mark.parametrize("dealer", [1, *exhaustive([7])])
def test_a_dealer_that_does_not_reopen_rightly_is_named_only_where_its_answer_proves_it(
    protocol: Any, how: str, dealer: PartyId
) -> None:
    """While few are without its share, the sum is opened by the others; who is proven false is left out next."""
    everyone = sorted(receivers(protocol, dealer))
    for victims in (everyone[:1], everyone[-2:], everyone):
        federation = enrolled(protocol, HOSPITALS, corrupt={dealer: dealing_garbage(victims, how)})
        total, _ = outcome(federation)
        proven = how != "refuses"
        assert federation.coordinator.false == ({dealer} if proven else set())
        assert (("release", dealer, FALSE_ANSWER) in federation.incidents) == proven
        assert {party for phase, party, _ in federation.incidents if phase == "Reopen"} <= {dealer}
        assert (how == "refuses") == any(phase == "Reopen" for phase, *_ in federation.incidents)
        if 0 < len(victims) <= dispensable(protocol):
            assert total is not None and total.sum.included == set(range(1, HOSPITALS + 1))


@SHARING
def test_a_dealer_of_garbage_to_all_is_not_in_the_sum(protocol: Any) -> None:
    everyone = range(1, HOSPITALS + 1)
    total, _ = outcome(enrolled(protocol, HOSPITALS, corrupt={3: dealing_garbage(everyone, "refuses")}))
    if getattr(protocol, "server", "") == "malicious":
        assert total is None  # they signed that it is in the sum
    else:
        assert total is not None and total.sum.included == set(everyone) - {3}


def test_who_reopens_what_is_no_share_is_left_out_of_the_next_round() -> None:
    updates = {party: Update({"w": np.full(3, float(party))}, {}, 1) for party in range(1, HOSPITALS + 1)}
    federation = Federation(Shamir(), HOSPITALS, corrupt={2: dealing_garbage([4], "malformed")})
    assert federation.mean(updates, {}).included == set(updates) - {2}  # the first mean takes two sessions
    assert federation.mean(updates, {}).included == set(updates) - {2}
    assert federation.coordinator.false == {2}


@EACH
@pytest.mark.parametrize("stays", [True, False])
def test_a_false_complaint_names_nobody_and_changes_nothing(protocol: Any, stays: bool) -> None:
    for accused in ([2], [2, 3]):
        federation = enrolled(protocol, HOSPITALS, corrupt={1: complaining(as_it_is, accused, stays)})
        total, asked = outcome(federation)
        assert "Reopen" in asked and federation.coordinator.false == frozenset()
        if stays or dispensable(protocol):
            assert total is not None and total.sum.included == set(range(1, HOSPITALS + 1))
        assert all(party == 1 for _, party, _ in federation.incidents)


@EACH
def test_a_false_complaint_beside_a_dealer_of_garbage(protocol: Any) -> None:
    corrupt = {1: complaining(as_it_is, [2, 3]), 4: dealing_garbage([2, 3], "rightly")}
    total, _ = outcome(enrolled(protocol, HOSPITALS, corrupt=corrupt))
    assert total is not None and total.sum.included == set(range(1, HOSPITALS + 1)) and not total.sum.false


@EACH
def test_a_complaint_of_an_input_of_another_length_is_refused_by_the_accused_and_voids_no_round(protocol: Any) -> None:
    def change(made: Complaint, me: Any) -> Complaint:
        values = made.values + 1
        return Complaint(made.digests, {2: me.sign(Unopened(2, made.digests[2], values))}, values)

    federation = enrolled(protocol, HOSPITALS, corrupt={1: complaining(change, [2])})
    total, _ = outcome(federation)
    assert total is not None and total.sum.included == set(range(1, HOSPITALS + 1))
    assert [(phase, party) for phase, party, _ in federation.incidents] == [("Reopen", 2)]
    assert federation.coordinator.false == frozenset()


IMPOSSIBLE: dict[str, Callable[[Complaint, Any], Complaint]] = {
    "other bytes": lambda made, me: Complaint({2: bytes(32)}, {2: me.sign(Unopened(2, bytes(32), VALUES))}, VALUES),
    "of nobody": lambda made, me: Complaint({}, {}, VALUES),
    "of itself": lambda made, me: Complaint({me.id: bytes(32)}, {me.id: bytes(64)}, VALUES),
    "of a stranger": lambda made, me: Complaint({99: bytes(32)}, {99: bytes(64)}, VALUES),
    "without a signature": lambda made, me: replace(made, signatures={}),
    "under no signature": lambda made, me: replace(made, signatures=dict.fromkeys(made.signatures, bytes(64))),
    "of other values than it signed": lambda made, me: replace(made, values=made.values + 1),
}


@EACH
@pytest.mark.parametrize("how", [*sorted(IMPOSSIBLE)[:2], *slow(sorted(IMPOSSIBLE)[2:])])
def test_a_complaint_of_what_was_not_relayed_proves_its_sender_false(protocol: Any, how: str) -> None:
    federation = enrolled(protocol, HOSPITALS, corrupt={1: complaining(IMPOSSIBLE[how], [2])})
    total, asked = outcome(federation)
    assert federation.coordinator.false == {1} and "Reopen" not in asked
    if dispensable(protocol):
        assert total is not None and total.sum.included == set(range(1, HOSPITALS + 1))


@dataclass
class Led:
    """A dishonest server in a session in which all have given their inputs, and signed of whom the sum is."""

    server: Any
    session: Any
    inboxes: dict[PartyId, dict[PartyId, bytes]]
    signatures: dict[PartyId, bytes]

    @property
    def protocol(self) -> Any:
        return self.server.protocol

    def me(self, party: PartyId) -> Any:
        return self.server.context_of(party, self.session)

    def ask(self, party: PartyId, request: Message) -> Any:
        return self.server.ask(party, request, self.session)

    def sum_of(self, party: PartyId, **spoilt: bytes) -> Any:
        return self.ask(party, self.request(party, {int(name[1:]): seal for name, seal in spoilt.items()}))

    def request(self, party: PartyId, spoilt: Mapping[PartyId, bytes]) -> Message:
        inbox = self.inboxes[party] | spoilt
        kind = {"additive": additive.SumMasks, "lightsecagg": lightsecagg.SumPieces}.get(
            self.protocol.name, shamir.SumShares
        )
        return kind(inbox) if kind is additive.SumMasks else kind(inbox, self.signatures)  # type: ignore[no-any-return, call-arg]

    def again(self, party: PartyId, spoilt: Mapping[PartyId, bytes], **more: Any) -> Any:
        return self.ask(party, SumReopened(self.inboxes[party] | spoilt, self.signatures, **more))

    def complaint(self, receiver: PartyId, accused: PartyId, given: bytes, values: int = 2) -> bytes:
        """What a receiver signs that helps this server."""
        signature: bytes = self.me(receiver).sign(Unopened(accused, digest(given), values))
        return signature

    def reopens(self, accused: PartyId, receivers: Collection[PartyId], values: int = 2) -> Reopen:
        """A request of which every complaint holds; the receivers help this server."""
        sealed = {receiver: self.inboxes[receiver][accused] for receiver in receivers}
        signatures = {one: self.complaint(one, accused, given, values) for one, given in sealed.items()}
        return Reopen(sealed, signatures, dict.fromkeys(sealed, values))

    def body(self, sender: PartyId, receiver: PartyId) -> bytes:
        opened: bytes = self.me(receiver).unseal(
            sender, self.inboxes[receiver][sender], self.protocol.input_phase, kind_of(self.protocol)
        )
        return opened


@pytest.fixture
def lead() -> Callable[[Any], Led]:
    return lambda protocol: begin(founded(protocol, HOSPITALS))


def begin(server: Any) -> Led:
    protocol, session = server.protocol, server.session()
    sent = {party: outbox(server.ask(party, protocol.input_phase(), session)) for party in session.cohort}
    inboxes: dict[PartyId, dict[PartyId, bytes]] = {party: {} for party in session.cohort}
    for sender, sealed in sent.items():
        for receiver, seal in sealed.items():
            inboxes[receiver][sender] = seal
    signatures = {}
    for phase in protocol.rounds()[1:-1]:
        everyone = frozenset(session.cohort)
        signatures = {party: server.ask(party, phase(everyone), session).signature for party in session.cohort}
    return Led(server, session, inboxes, signatures)


def spoilt(seal: bytes) -> bytes:
    return seal[:-1] + bytes([seal[-1] ^ 1])


@EACH
def test_a_server_that_spoils_a_seal_gets_nothing_opened(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    true, false = led.inboxes[2][3], spoilt(led.inboxes[2][3])
    complaint = led.sum_of(2, p3=false)
    assert complaint.digests == {3: digest(false)} and complaint.values == 2
    led.me(3).verify(2, Unopened(3, digest(false), 2), complaint.signatures[3])
    kept = led.server.federation.states[3]
    for shown in (true, false):
        led.server.federation.states[3] = kept
        with pytest.raises(PolicyError, match="the complaint of party 2 does not hold"):
            led.ask(3, Reopen({2: shown}, {2: complaint.signatures[3]}, {2: 2}))
    if protocol.name == "additive" or getattr(protocol, "server", "") != "malicious":
        assert led.again(2, {3: false}).included == set(led.session.cohort) - {3}
    else:
        with pytest.raises(PolicyError, match="the survivors are not those that this party signed"):
            led.again(2, {3: false})


@EACH
def test_what_an_honest_party_opens_is_what_it_sealed_to_who_complained(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    opened = led.ask(3, led.reopens(3, [2]))
    assert opened.bodies == {2: led.body(3, 2)} and opened.signatures.keys() == {2}
    led.me(2).verify(3, Opening(2, digest(opened.bodies[2])), opened.signatures[2])


@EACH
def test_no_more_seals_are_opened_than_may_collude(lead: Any, protocol: Any) -> None:
    everyone = range(1, HOSPITALS + 1)
    most = len(protocol.chosen(everyone)) - 1 if protocol.name == "additive" else protocol.colluding(everyone)
    assert most == protocol.withstands(everyone)
    led, accused = lead(protocol), 3 if protocol.name == "additive" else HOSPITALS
    others = [party for party in led.inboxes if accused in led.inboxes[party] and party != accused]
    assert len(led.ask(accused, led.reopens(accused, others[:most])).bodies) == most
    led, accused = begin(led.server), HOSPITALS
    others = [party for party in led.inboxes if accused in led.inboxes[party] and party != accused]
    with pytest.raises(PolicyError, match=f"{most + 1} parties complain; this party opens its seals to {most} at most"):
        led.ask(accused, led.reopens(accused, others[: most + 1]))


@EACH
def test_seals_are_opened_once_in_a_session(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    led.ask(3, led.reopens(3, [1]))
    for receivers in ([1], [2]):
        with pytest.raises(OutOfPhase):
            led.ask(3, led.reopens(3, receivers))


@EACH
def test_a_complaint_that_is_not_the_receivers_own_of_this_session_opens_nothing(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    old, old_seal = led.complaint(2, 3, led.inboxes[2][3]), led.inboxes[2][3]
    led = begin(led.server)
    given = led.inboxes[2][3]
    by_another = led.me(1).sign(Unopened(3, digest(given), 2))
    of_another = led.complaint(2, 4, given)
    good = led.complaint(2, 3, given)
    attacks = {
        "the complaint of party 2 does not hold": [
            Reopen({2: given}, {2: old}, {2: 2}),
            Reopen({2: given}, {2: by_another}, {2: 2}),
            Reopen({2: given}, {2: of_another}, {2: 2}),
            Reopen({2: given}, {2: led.me(2).sign(Survivors(frozenset({3})))}, {2: 2}),
            Reopen({2: old_seal}, {2: led.complaint(2, 3, old_seal)}, {2: 2}),
            Reopen({2: led.inboxes[1][3]}, {2: led.complaint(2, 3, led.inboxes[1][3])}, {2: 2}),
            Reopen({2: led.inboxes[2][4]}, {2: led.complaint(2, 3, led.inboxes[2][4])}, {2: 2}),
            led.reopens(3, [2], values=3),  # of an input of another length, no share of it is an honest party's
        ],
        "one of these is missing": [
            Reopen({}, {}, {}),
            Reopen({2: given, 1: led.inboxes[1][3]}, {2: good}, {2: 2}),
            Reopen({2: given}, {2: good}, {}),
        ],
        "who are no others of this cohort": [
            Reopen({3: given}, {3: led.complaint(3, 3, given)}, {3: 2}),
            Reopen({99: given}, {99: good}, {99: 2}),
        ],
    }
    kept = led.server.federation.states[3]
    for text, requests in attacks.items():
        for request in requests:
            led.server.federation.states[3] = kept
            with pytest.raises(PolicyError, match=text):
                led.ask(3, request)
    led.server.federation.states[3] = kept
    assert led.ask(3, Reopen({2: given}, {2: good}, {2: 2})).bodies == {2: led.body(3, 2)}


@EACH
def test_one_complaint_that_does_not_hold_opens_nothing_to_the_others_either(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    request = led.reopens(3, [1, 2])
    with pytest.raises(PolicyError, match="the complaint of party 2 does not hold"):
        led.ask(3, replace(request, signatures={**request.signatures, 2: bytes(64)}))


@EACH
def test_an_opening_that_its_sender_did_not_sign_is_not_taken(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    body, false = led.body(3, 2), spoilt(led.inboxes[2][3])
    led.sum_of(2, p3=false)
    right_one = signed(led.me(3), {2: body})
    kept = led.server.federation.states[2]
    forged = [
        {},
        {3: signed(led.me(2), {2: body})[2]},
        {3: signed(led.me(3), {1: body})[1]},
        {3: signed(led.me(3), {2: body + b"."})[2]},
        {3: bytes(64)},
    ]
    for openings in forged:
        led.server.federation.states[2] = kept
        try:
            answer = led.again(2, {3: false}, bodies={3: body}, openings=openings)
        except PolicyError as error:
            assert "not those that this party signed" in str(error)
        else:
            assert answer.included == set(led.session.cohort) - {3}
    led.server.federation.states[2] = kept
    answer = led.again(2, {3: false}, bodies={3: body}, openings={3: right_one[2]})
    assert answer.included == set(led.session.cohort)


def share_in(answer: Any) -> list[int]:
    name = {shamir.ShareOfSum: "share", lightsecagg.PieceOfSum: "piece", additive.MaskSum: "vector"}[type(answer)]
    return [int(value) for value in getattr(answer, name)]


def other_body(body: bytes) -> bytes:
    """A body of the same form: the first of its seed's or values' bits is another one."""
    place = 0 if len(body) == 40 and body[32:] == (2).to_bytes(8, "little") else 8
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


@EACH
def test_a_seal_that_opens_is_taken_and_no_other_body_for_it(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    false, body = spoilt(led.inboxes[2][3]), led.body(3, 2)
    led.sum_of(2, p3=false)
    kept, openings = led.server.federation.states[2], {3: signed(led.me(3), {2: body})[2]}
    honest = led.again(2, {3: false}, bodies={3: body}, openings=openings)
    led.server.federation.states[2] = kept
    other = other_body(led.body(4, 2))
    openings[4] = signed(led.me(4), {2: other})[2]
    answer = led.again(2, {3: false}, bodies={3: body, 4: other}, openings=openings)
    assert other != led.body(4, 2) and share_in(answer) == share_in(honest)


@EACH
def test_who_has_not_complained_is_not_asked_twice(lead: Any, protocol: Any) -> None:
    """Not even where its state is rolled back to before its answer: it would open two sums."""
    led = lead(protocol)
    before = led.server.federation.states[2]
    assert led.sum_of(2).included == set(led.session.cohort)
    answered = codec.decode(led.server.federation.states[2], PartyState)
    with pytest.raises(OutOfPhase):
        led.again(2, {})
    rolled_back = replace(codec.decode(before, PartyState), progress=answered.progress)
    led.server.federation.states[2] = codec.encode(rolled_back)
    with pytest.raises(OutOfPhase, match="this party has not complained in this session"):
        led.again(2, {})
    with pytest.raises(OutOfPhase, match="this party has not complained in this session"):
        led.again(1, {})


@EACH
def test_who_complained_answers_one_sum(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    led.sum_of(2, p3=spoilt(led.inboxes[2][3]))
    for request in (led.request(2, {}), led.request(2, {3: b""})):
        with pytest.raises(OutOfPhase):
            led.ask(2, request)
    assert led.again(2, {}).included == set(led.session.cohort)
    with pytest.raises(OutOfPhase):
        led.again(2, {})


@EACH
def test_sums_after_a_dispute_hold_the_floor(lead: Any, protocol: Any) -> None:
    led = lead(protocol)
    led.sum_of(2, p3=b"")
    few = {party: b"" for party in led.inboxes[2] if party not in (2, 4)}
    with pytest.raises(PolicyError, match="of 2 parties could be opened"):
        led.again(2, few)


def test_an_aggregator_complains_of_no_seal_of_its_own(lead: Any) -> None:
    led = lead(Additive())
    assert led.sum_of(2, p2=b"").included == set(led.session.cohort) - {2}


@EACH
def test_only_the_sender_opens_its_own_seals(lead: Any, protocol: Any) -> None:
    led, step, kind = lead(protocol), protocol.input_phase, kind_of(protocol)
    given, me = led.inboxes[2][3], led.me(3)
    assert me.unseal_own(2, given, step, kind) == led.body(3, 2)
    attempts = [
        (led.me(4), 2, given, step, kind),  # another's
        (me, 1, given, step, kind),  # to another
        (me, 2, led.inboxes[3].get(2, b"") if protocol.name != "additive" else led.inboxes[1][2], step, kind),
        (me, 2, given, Reopen, kind),
        (me, 2, given, step, "other"),
        (me, 2, spoilt(given), step, kind),
        (begin(led.server).me(3), 2, given, step, kind),  # of another session
    ]
    for context, receiver, sealed, phase, word in attempts:
        with pytest.raises(AuthenticationError):
            context.unseal_own(receiver, sealed, phase, word)
