"""Whom a party joins, under which terms and with whom on the roster; and what its own policy forbids."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from fedsec.errors import AuthenticationError, BadMessage, ConfigurationError, OutOfPhase, PolicyError, Stale
from fedsec.local import LocalFederation
from fedsec.party.party import PartyState
from fedsec.party.policy import Policy
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import PartyId
from fedsec.strategies.plain import Plain, SendInput
from fedsec.strategies.shamir import Shamir, ShareInput, SumShares
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import NO_HASH, SETUP
from fedsec.wire.membership import Adopt, Adopted, Enrol, Enrolled, Epoch, Member, roster_hash


def stranger() -> SigningKey:
    return SigningKey.generate(os.urandom)


def joined(server: Any, key: SigningKey, party: int, agreement: bytes = bytes(range(32))) -> Member:
    """What `key` signs to join the server's present epoch as `party`."""
    led = server.coordinator
    epoch = Epoch(led._run, server.key.public, led.sessions.epoch, led.terms.digest)
    return Member(key.public, agreement, key.sign(Member.statement(party, epoch, agreement)))


def test_an_enrolment_is_into_a_newer_epoch_by_the_same_server(server: Any) -> None:
    offer = Enrol(server.key.public, server.coordinator.terms)
    with pytest.raises(Stale, match="enrolment into epoch 1"):
        server.ask(1, offer, server.session(stage=SETUP))
    with pytest.raises(Stale, match="enrolment into epoch 2"):  # a new epoch under an old counter
        server.ask(1, offer, server.session(stage=SETUP, epoch=2, counter=1))
    other = stranger()
    with pytest.raises(AuthenticationError, match="that of the server with which this party enrolled"):
        server.ask(1, Enrol(other.public, offer.terms), server.session(stage=SETUP, epoch=2), key=other)
    with pytest.raises(PolicyError, match="server's identity changed"):  # it hands the party on
        server.ask(1, Enrol(other.public, offer.terms), server.session(stage=SETUP, epoch=2))
    with pytest.raises(AuthenticationError, match="signature does not hold"):  # an offer in the server's name
        server.ask(1, offer, server.session(stage=SETUP, epoch=2), key=other)


def test_terms_are_those_of_the_session(dishonest: Any) -> None:
    server = dishonest(Shamir())
    server.coordinator.sessions.epoch = 1
    offer = Enrol(server.key.public, replace(server.coordinator.terms, parameters='{"value_bits": 8}'))
    with pytest.raises(AuthenticationError, match="terms offered"):
        server.ask(1, offer, server.session(stage=SETUP))
    honest = Enrol(server.key.public, server.coordinator.terms)
    with pytest.raises(BadMessage, match="party 1 is not among those enrolled"):
        server.ask(1, honest, server.session([2, 3, 4], stage=SETUP))


@pytest.mark.parametrize("parameters", ["[1]", "{", "7", '{"value_bits": "24"}', '{"what": 1}', "[" * 100_000])
def test_parameters_that_the_strategy_does_not_take(dishonest: Any, parameters: str) -> None:
    server = dishonest(Shamir())
    server.coordinator.terms = replace(server.coordinator.terms, parameters=parameters)
    with pytest.raises((BadMessage, ConfigurationError), match=r"parameters of strategy 'shamir'|value_bits"):
        server.enrol()


def test_the_first_roster_of_an_epoch_stays(server: Any) -> None:
    roster = dict(server.coordinator.roster)
    with pytest.raises(OutOfPhase, match="has its roster already"):
        server.adopt(1, roster)
    del roster[5]
    with pytest.raises(OutOfPhase, match="has its roster already"):
        server.adopt(1, roster)
    with pytest.raises(AuthenticationError, match="roster hash"):
        server.ask(1, ShareInput(), server.session([1, 2, 3, 4], roster=roster_hash(roster)))


def test_a_roster_is_adopted_as_it_is_bound_and_signed(dishonest: Any) -> None:
    server = dishonest(Shamir())
    roster = server.enrol()
    with pytest.raises(AuthenticationError, match="roster is not the one that the session is bound to"):
        server.adopt(1, roster, roster=NO_HASH)
    with pytest.raises(Stale, match="another run"):
        server.adopt(1, roster, run=b"another")
    for damaged in (
        replace(roster[2], signature=b""),
        replace(roster[2], agreement=bytes(33)),
        replace(roster[2], identity=b"x"),
    ):
        with pytest.raises(BadMessage, match="party 2 on the roster: keys and signature of"):
            server.adopt(1, {**roster, 2: damaged})
    with pytest.raises(BadMessage, match="party 0 on the roster"):
        server.adopt(1, {**{party: roster[party] for party in (1, 2, 3, 4)}, 0: joined(server, stranger(), 0)})
    with pytest.raises(BadMessage, match="a roster of 835 bytes; the 5 parties of this session take at most"):
        server.adopt(1, {**roster, 6: joined(server, stranger(), 6)})
    server.coordinator.sessions.epoch += 1
    with pytest.raises(Stale, match="epoch 2"):
        server.adopt(1, {**roster, 2: joined(server, stranger(), 2)})
    server.coordinator.sessions.epoch -= 1
    assert server.adopt(1, roster) == Adopted()


@pytest.mark.parametrize("stage", ["train", "evaluate", ""])
def test_a_session_that_is_no_set_up_enrols_nobody_and_adopts_nothing(dishonest: Any, stage: str) -> None:
    server = dishonest(Shamir())
    offer = Enrol(server.key.public, server.coordinator.terms)
    server.coordinator.sessions.epoch = 1
    with pytest.raises(OutOfPhase, match=f"session of stage '{stage}'; only a set-up enrols"):
        server.ask(1, offer, server.session(stage=stage))
    assert not server.state(1).party
    server.coordinator.sessions.epoch = 0
    roster = server.enrol()
    with pytest.raises(OutOfPhase, match=f"session of stage '{stage}'; only a set-up has one adopted"):
        server.ask(1, Adopt(roster), server.session(stage=stage, roster=roster_hash(roster)))
    assert server.state(1).roster is None
    assert server.adopt(1, roster) == Adopted()


OTHER_EPOCHS: list[dict[str, Any]] = [{"run": b"another"}, {"server": bytes(32)}, {"number": 2}, {"terms": bytes(32)}]


@pytest.mark.parametrize("other", OTHER_EPOCHS, ids=lambda other: next(iter(other)))
def test_a_member_s_word_holds_in_one_run_at_one_server(server: Any, other: dict[str, Any]) -> None:
    """What party 2 signed to join elsewhere is handed to party 1 here: it is refused where it is used."""
    led, key = server.coordinator, server.identity(2)
    epoch = Epoch(led._run, server.key.public, led.sessions.epoch, led.terms.digest)
    assert {name for each in OTHER_EPOCHS for name in each} == {each.name for each in fields(Epoch)}
    agreement = led.roster[2].agreement
    for there in (epoch, replace(epoch, **other)):
        member = Member(key.public, agreement, key.sign(Member.statement(2, there, agreement)))
        context = server.context_of(1, server.session())
        context._members = {**context._members, 2: member}
        if there == epoch:
            member.check(2, epoch)
            assert context.identity(2) == key.public
            continue
        with pytest.raises(AuthenticationError):
            member.check(2, epoch)
        with pytest.raises(AuthenticationError, match="party 2 of the roster did not join this epoch itself"):
            context.identity(2)


def test_a_member_of_one_server_is_none_at_another(dishonest: Any) -> None:
    """Two federations of the same run number, epoch and terms: only the servers' identities differ."""
    here, there = dishonest(Shamir()).found(), dishonest(Shamir()).found()
    assert here.coordinator.terms == there.coordinator.terms and here.coordinator._run == there.coordinator._run
    context = here.context_of(1, here.session())
    context._members = {**context._members, 2: there.coordinator.roster[2]}
    with pytest.raises(AuthenticationError, match="did not join this epoch itself"):
        context.pairwise_key(2, "mask")
    with pytest.raises(AuthenticationError):
        session = here.session(stage=SETUP)
        here.coordinator.join(2, there.coordinator.roster[2], session)
    here.coordinator.join(2, here.coordinator.roster[2], session)


FORGERIES: list[Callable[[Any, Any], Member]] = [
    lambda server, roster: replace(roster[2], agreement=roster[3].agreement),  # the server's own key, say
    lambda server, roster: replace(roster[2], signature=roster[3].signature),
    lambda server, roster: joined(server, stranger(), 3),  # joined as somebody else
    lambda server, roster: replace(joined(server, stranger(), 2), identity=roster[2].identity),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_member_has_no_influence(dishonest: Any, forge: Callable[[Any, Any], Member]) -> None:
    """It is adopted unread, and refused by whatever uses it, each time; the others are not concerned."""
    server = dishonest(Shamir())
    roster = server.enrol()
    changed = {**roster, 2: forge(server, roster)}
    for party in (1, 3):
        server.adopt(party, changed)
    server.coordinator.roster = changed
    session = server.session()
    context = server.context_of(1, session)
    statement = server.coordinator.terms
    signature = server.identity(2).sign(b"")
    for use in (
        lambda: context.identity(2),
        lambda: context.seal(2, b"", "share", os.urandom),
        lambda: context.unseal(2, bytes(64), ShareInput, "share"),
        lambda: context.pairwise_key(2, "mask"),
        lambda: context.verify(2, statement, signature),
    ) * 2:
        with pytest.raises(AuthenticationError, match="party 2 of the roster did not join this epoch itself"):
            use()
    for party in (1, 3):
        with pytest.raises(AuthenticationError, match=r"party 2 of the roster.*signature does not hold"):
            server.ask(party, ShareInput(), session)
    other = server.context_of(3, session)
    assert other.unseal(1, context.seal(3, b"secret", "share", os.urandom), ShareInput, "share") == b"secret"
    without = server.session([1, 3, 4])
    assert sorted(server.ask(1, ShareInput(), without).outbox) == [3, 4]


def test_a_roster_that_leaves_me_out_or_misstates_me(dishonest: Any) -> None:
    server = dishonest(Shamir())
    server.enrol()
    before, old = dict(server.federation.states), None
    roster = server.enrol()
    after = dict(server.federation.states)
    with pytest.raises(PolicyError, match="does not list this party as party 1"):
        server.adopt(1, {party: roster[party] for party in (2, 3, 4)})
    with pytest.raises(PolicyError, match="does not list this party as party 1"):
        server.adopt(1, {**roster, 1: joined(server, stranger(), 1)})
    # A state that rolled back answers the same enrolment twice, with two keys: the roster must hold the one it kept.
    server.federation.states = before
    offer = Enrol(server.key.public, server.coordinator.terms)
    old = server.ask(1, offer, server.session(stage=SETUP)).member
    server.federation.states = after
    with pytest.raises(PolicyError, match="another key for this party"):
        server.adopt(1, {**roster, 1: old})


def test_an_identity_has_one_place_on_the_roster(dishonest: Any) -> None:
    server = dishonest(Shamir())
    roster, twice = server.enrol(), stranger()
    with pytest.raises(PolicyError, match="two parties of the roster have the same identity"):
        server.adopt(1, {**roster, 4: joined(server, twice, 4), 5: joined(server, twice, 5, bytes(32))})
    with pytest.raises(PolicyError, match="roster of 2 is below this party's floor of 3"):
        server.adopt(1, {1: roster[1], 2: roster[2]})


def test_plain_runs_in_simulation_only(dishonest: Any) -> None:
    server = dishonest(Plain(), policy=Policy(simulation=True))
    pinned = frozenset(server.identity(party).public for party in server.inputs)
    server.federation.policy = Policy(server=server.key.public, hospitals=pinned)
    with pytest.raises(PolicyError, match="'plain' shows the server every input; it runs in simulation only"):
        server.enrol()
    server.federation.policy = Policy(simulation=True)
    server.found()
    assert server.ask(1, SendInput(), server.session()).vector.tolist() == server.inputs[1].tolist()


def test_outside_simulation_nobody_is_believed_without_a_pin(dishonest: Any) -> None:
    server = dishonest(Shamir(server="malicious"))
    everyone = frozenset(server.identity(party).public for party in server.inputs)
    server.federation.policy = Policy(hospitals=everyone)
    with pytest.raises(PolicyError, match="no server key is pinned"):
        server.enrol()
    server.federation.policy = Policy(server=stranger().public, hospitals=everyone)
    with pytest.raises(AuthenticationError, match="that of the server that is pinned here"):
        server.enrol()
    server.federation.policy = Policy(server=server.key.public)
    roster = server.enrol()
    with pytest.raises(PolicyError, match="no hospitals are pinned"):
        server.adopt(1, roster)
    server.federation.policy = Policy(server=server.key.public, hospitals=everyone - {roster[4].identity})
    with pytest.raises(PolicyError, match=r"parties \[4\] of the roster are not pinned"):
        server.adopt(1, roster)
    server.federation.policy = Policy(server=server.key.public, hospitals=everyone)
    for party in roster:
        server.adopt(party, roster)
    server.coordinator.roster = roster
    assert server.ask(1, ShareInput(), server.session())


def test_pins_hold_in_simulation_too(dishonest: Any) -> None:
    server = dishonest(Shamir(), policy=Policy(simulation=True, server=stranger().public))
    with pytest.raises(AuthenticationError, match="pinned"):
        server.enrol()
    server.federation.policy = Policy(simulation=True, server=server.key.public)
    other = Enrol(stranger().public, server.coordinator.terms)
    with pytest.raises(PolicyError, match="the server's identity is not the pinned one"):
        server.ask(1, other, server.session(stage=SETUP))
    server.federation.policy = Policy(simulation=True, hospitals=frozenset({server.identity(1).public}))
    roster = server.enrol()
    with pytest.raises(PolicyError, match=r"parties \[2, 3, 4, 5\]"):
        server.adopt(1, roster)


def test_a_hospital_s_own_higher_floor_wins(dishonest: Any) -> None:
    server = dishonest(Shamir(), policy=Policy(simulation=True, floor=4))
    with pytest.raises(PolicyError, match="floor is 3; this party's floor is 4"):
        server.enrol()
    server = dishonest(Shamir(floor=6), policy=Policy(simulation=True, floor=6))
    with pytest.raises(PolicyError, match="5 parties are below this party's floor of 6"):
        server.enrol()
    server = dishonest(Shamir()).found()
    server.federation.policy = Policy(simulation=True, floor=4)  # raised while the epoch runs
    with pytest.raises(PolicyError, match="cohort of 3 is below this party's floor of 4"):
        server.ask(1, ShareInput(), server.session([1, 2, 3]))
    session = server.session([1, 2, 3, 4])
    outboxes = {party: server.ask(party, ShareInput(), session).outbox for party in session.cohort}
    with pytest.raises(PolicyError, match="3 parties"):
        server.ask(1, SumShares({sender: outboxes[sender][1] for sender in (2, 3)}), session)
    with pytest.raises(ConfigurationError, match="floor is 2"):
        Policy(floor=2)


@dataclass(frozen=True)
class Withstands(Plain):
    """Plain, which claims that nobody but two thirds of the cohort open an input."""

    name = "withstands"

    def withstands(self, clients: Collection[PartyId], malicious: bool = False) -> int:
        return len(clients) // 2 - 1 if malicious else 2 * len(clients) // 3 - 1


def test_a_hospital_s_threshold_is_held_against_each_cohort(dishonest: Any) -> None:
    server = dishonest(Withstands(), 6, policy=Policy(simulation=True, threshold=3)).found()
    with pytest.raises(
        PolicyError,
        match="2 of these 4 hospitals may open an input under withstands with the server's help; this party's "
        "threshold is 3",
    ):
        server.ask(1, SendInput(), server.session([1, 2, 3, 4]))
    assert not server.contributed
    assert server.ask(1, SendInput(), server.session([1, 2, 3, 4, 5])).vector.tolist() == server.inputs[1].tolist()
    promises_nothing = dishonest(Plain(), policy=Policy(simulation=True, threshold=2)).found()
    with pytest.raises(PolicyError, match="1 of these 5 hospitals may open an input under plain"):
        promises_nothing.ask(1, SendInput(), promises_nothing.session())
    cautious = Policy(simulation=True, trusts_server=False, threshold=3)
    server = dishonest(Withstands(), 7, policy=cautious).found()  # 3 of 7 as the strategy says, and the floor allows 2
    with pytest.raises(PolicyError, match=r"2 of these 7 hospitals .* if the server is malicious, with a floor of 3"):
        server.ask(1, SendInput(), server.session())
    server = dishonest(Withstands(floor=4), 7, policy=cautious).found()
    assert server.ask(1, SendInput(), server.session()).vector.tolist() == server.inputs[1].tolist()
    server = dishonest(Plain(), policy=Policy(simulation=True, trusts_server=False)).found()
    with pytest.raises(
        PolicyError, match="plain with these parameters promises nothing for a cohort of 5 against a malicious server"
    ):
        server.ask(1, SendInput(), server.session())
    for threshold in (0, -1):
        with pytest.raises(ConfigurationError, match=f"threshold is {threshold}"):
            Policy(threshold=threshold)


def test_a_new_epoch_needs_a_new_roster_and_new_keys(server: Any) -> None:
    old = server.coordinator.roster
    new = server.enrol()
    assert all(new[party].identity == old[party].identity for party in old)
    assert all(new[party].agreement != old[party].agreement for party in old)
    with pytest.raises(PolicyError, match="another key for this party"):
        server.adopt(1, old)
    with pytest.raises(OutOfPhase, match="no roster yet"):
        server.ask(1, ShareInput(), server.session(roster=roster_hash(old)))
    assert server.ask(1, Adopt(new), server.session(stage=SETUP, roster=roster_hash(new))) == Adopted()


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), bytes(31) + b"\x80"], ids=["0", "1", "0, other bit"])
def test_a_hospital_whose_key_agrees_on_nothing_does_not_join(key: bytes) -> None:
    """It would keep all who seal something to it from answering, in every round of the epoch."""
    federation = LocalFederation(Shamir(), 5)

    def exchange(phase: Any, requests: Any) -> Any:
        for party, answer in LocalFederation.exchange(federation, phase, requests):
            yield party, spoil(party, answer) if phase.name == "Enrol" and party == 2 else answer

    def spoil(party: int, answer: bytes) -> bytes:
        received = envelope.read(answer)
        identity = SigningKey(codec.decode(federation.states[party], PartyState).identity)
        epoch = Epoch.of(received.header.session, federation.coordinator.sessions.identity.public)
        statement = Member.statement(party, epoch, key)
        member = Member(identity.public, key, identity.sign(statement))
        return envelope.write(received.header, codec.encode(Enrolled(member)), identity)

    federation.meter._exchange = exchange
    total = federation.sum({party: [party] for party in (1, 3, 4, 5)})
    assert sorted(federation.coordinator.roster) == [1, 3, 4, 5]
    assert total.sum.vector.tolist() == [13]
