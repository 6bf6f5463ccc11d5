"""What hospitals under the sharing strategies refuse to a server that shows them different lists of survivors."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import Any

import pytest

from fedsec.errors import BadMessage, FedsecError, OutOfPhase, PolicyError, TooFewParties
from fedsec.protocol.complaints import Reopen
from fedsec.protocol.consistency import ConsistencyCheck, Survivors
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.shamir import Shamir
from tests.tiers import slow

PROTOCOLS = [kind(server="malicious") for kind in (Shamir, PackedShamir, LightSecAgg)]
EACH = pytest.mark.parametrize("protocol", [*PROTOCOLS[:1], *slow(PROTOCOLS[1:])], ids=lambda protocol: protocol.name)
HOSPITALS = 6


class Round:
    """One session in which everybody has sent its input; the server may go on as it likes."""

    def __init__(self, server: Any) -> None:
        self.server, self.session = server, server.session()
        self.first, *_, self.last = server.protocol.rounds()
        self.cohort = frozenset(self.session.cohort)
        sent = {party: server.ask(party, self.first(), self.session) for party in sorted(self.cohort)}
        self.outboxes = {party: reply.outbox for party, reply in sent.items()}

    def sign(self, party: int, survivors: Any) -> bytes:
        signature: bytes = self.server.ask(party, ConsistencyCheck(frozenset(survivors)), self.session).signature
        return signature

    def open(self, party: int, survivors: Any, signatures: Any) -> Any:
        inbox = {one: self.outboxes[one][party] for one in survivors if one != party}
        return self.server.ask(party, self.last(inbox, dict(signatures)), self.session)


@pytest.fixture
def start(dishonest: Any) -> Any:
    return lambda protocol, hospitals=HOSPITALS: Round(dishonest(protocol, hospitals).found())


@pytest.mark.slow
@EACH
def test_whoever_is_told_two_lists_opens_one_at_most(dishonest: Any, protocol: Any) -> None:
    """All ways to tell the six hospitals one of two lists: a list is opened only if five of them signed it."""
    everybody = frozenset(range(1, HOSPITALS + 1))
    lists = (everybody, everybody - {6})
    server = dishonest(protocol, HOSPITALS).found()
    for told_all in itertools.chain.from_iterable(itertools.combinations(range(1, 6), count) for count in range(6)):
        led = Round(server)
        told = {party: lists[party not in told_all and party != 6] for party in everybody}
        signatures = {party: led.sign(party, survivors) for party, survivors in told.items()}
        opened = set()
        for party, survivors in told.items():
            try:
                opened.add(led.open(party, survivors, signatures).included)
            except PolicyError as error:
                assert "signatures are needed" in str(error)
        signers = [sum(survivors == one for survivors in told.values()) for one in lists]
        assert opened == {one for one, count in zip(lists, signers, strict=True) if count >= 5}


@EACH
def test_nothing_is_opened_before_the_check(start: Any, protocol: Any) -> None:
    led = start(protocol)
    with pytest.raises(PolicyError, match="signed no survivors"):
        led.open(1, led.cohort, {})


@EACH
def test_a_sum_of_others_than_were_signed_is_refused(start: Any, protocol: Any) -> None:
    for fewer in ({6}, {2}):
        led = start(protocol)
        signatures = {party: led.sign(party, led.cohort) for party in led.cohort}
        with pytest.raises(PolicyError, match=rf"those that this party signed: .* from \[{min(fewer)}\], and too"):
            led.open(1, led.cohort - fewer, signatures)


@EACH
def test_signatures_count_for_the_list_the_session_and_the_survivor_that_made_them(start: Any, protocol: Any) -> None:
    for spoil in ("other list", "other session", "silent", "of another"):
        led = start(protocol)
        five = led.cohort - {6}
        signatures = {party: led.sign(party, five) for party in sorted(five)}
        statement = Survivors(five)
        context = led.server.context_of(5, led.session)
        elsewhere = led.server.context_of(5, replace(led.session, nonce=bytes(16)))
        spoilt = {
            "other list": {5: context.sign(Survivors(led.cohort))},
            "other session": {5: elsewhere.sign(statement)},
            "silent": {5: b"", 6: led.server.context_of(6, led.session).sign(statement)},
            "of another": {5: signatures[4]},
        }[spoil]
        with pytest.raises(PolicyError, match="4 survivors signed who survived; 5 signatures are needed"):
            led.open(1, five, signatures | spoilt)
        assert led.open(2, five, signatures).included == five


@EACH
def test_lists_too_short_or_without_the_party_or_of_strangers_are_not_signed(start: Any, protocol: Any) -> None:
    for party, survivors in ((1, {1, 2, 3, 4}), (1, {2, 3, 4, 5, 6}), (1, {1, 2, 3, 4, 77}), (1, set())):
        led = start(protocol)
        with pytest.raises(PolicyError, match="survivors; 5 of this cohort, with this party, are the fewest"):
            led.sign(party, survivors)


@EACH
def test_one_list_is_signed_in_a_session(start: Any, protocol: Any) -> None:
    led = start(protocol)
    led.sign(1, led.cohort)
    with pytest.raises(FedsecError):
        led.sign(1, led.cohort - {6})


@EACH
def test_nothing_is_signed_before_an_input(dishonest: Any, protocol: Any) -> None:
    server = dishonest(protocol, HOSPITALS).found()
    with pytest.raises(OutOfPhase):
        server.ask(1, ConsistencyCheck(frozenset(range(1, 7))), server.session())


@pytest.mark.parametrize("kind", [Shamir, PackedShamir, LightSecAgg], ids=lambda kind: kind.__name__)
def test_where_the_server_is_trusted_there_is_no_check(start: Any, kind: Any) -> None:
    led = start(kind())
    with pytest.raises(OutOfPhase, match=r"consistency_check/1' is no phase of \w+ with these parameters"):
        led.sign(1, led.cohort)
    context = led.server.context_of(1, led.session)
    with pytest.raises(BadMessage, match="no phase ConsistencyCheck"):
        kind().respond(context, None, ConsistencyCheck(led.cohort), None, os.urandom)


@EACH
def test_who_cannot_open_what_was_signed_for_is_silent(start: Any, protocol: Any) -> None:
    """Hospital 2's message to hospital 1 is spoilt on the way: the others open the sum without it."""
    led = start(protocol)
    flow = protocol.aggregate(sorted(led.cohort), None)
    server, session = led.server, led.server.session()
    requests = next(flow)
    answers = {party: server.ask(party, request, session) for party, request in requests.items()}
    spoilt = {**answers[2].outbox, 1: bytes(len(answers[2].outbox[1]))}
    answers[2] = replace(answers[2], outbox=spoilt)
    try:
        while True:
            requests, answers = flow.send(answers), {}
            for party, request in requests.items():
                try:
                    answers[party] = server.ask(party, request, session)
                except PolicyError:
                    assert party == (2 if isinstance(request, Reopen) else 1)  # 2 did not seal what came to 1
    except StopIteration as stop:
        assert stop.value.included == led.cohort
        assert stop.value.vector.tolist() == sum(server.inputs.values()).tolist()
    except TooFewParties:
        pytest.fail("one hospital that cannot answer does not stop six")
