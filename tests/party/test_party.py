"""What a party refuses, whatever the server signs: a dishonest server before real parties."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fedsec.errors import (
    AuthenticationError,
    BadMessage,
    DataError,
    FedsecError,
    HeadroomError,
    OutOfPhase,
    PolicyError,
    Stale,
)
from fedsec.primitives.signing import SigningKey
from fedsec.strategies.plain import Plain, SendInput
from fedsec.strategies.shamir import Shamir, ShareInput, SumShares
from fedsec.wire.envelope import NO_HASH, SETUP
from fedsec.wire.exchange import Refusal
from fedsec.wire.membership import Adopted


def stranger() -> SigningKey:
    return SigningKey.generate(os.urandom)


def test_an_honest_request_is_answered_and_refusals_change_nothing(server: Any) -> None:
    """The control: what the tests below change is what makes the difference."""
    session = server.session()
    with pytest.raises(AuthenticationError):
        server.ask(1, ShareInput(), session, key=stranger())
    assert not server.contributed
    assert sorted(server.ask(1, ShareInput(), session).outbox) == [2, 3, 4, 5]
    assert server.contributed == [1]


def test_a_foreign_or_broken_signature_is_refused(server: Any) -> None:
    session = server.session()
    for key in (stranger(), server.identity(2), server.identity(1)):
        with pytest.raises(AuthenticationError, match="signature does not hold"):
            server.ask(1, ShareInput(), session, key=key)
    whole = server.request(1, ShareInput(), session)
    for place in (-1, -40, -65, len(whole) // 2):  # the signature, its edge, and the header
        damaged = bytearray(whole)
        damaged[place] ^= 4
        with pytest.raises(FedsecError):
            server.send(1, bytes(damaged))
    assert not server.contributed


def test_an_unsigned_request_is_refused(server: Any) -> None:
    for signature in (bytes(64), b"\xff" * 64, os.urandom(64)):
        unsigned = SimpleNamespace(sign=lambda message, s=signature: s)
        with pytest.raises(AuthenticationError, match="signature does not hold"):
            server.ask(1, ShareInput(), server.session(), key=unsigned)
    assert not server.contributed


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"receiver": 2}, BadMessage, "request for party 2; this is party 1"),
        ({"sender": 2}, BadMessage, "request from party 2"),
        ({"phase": "fedsec.shamir.sum_shares/1"}, OutOfPhase, "fedsec.shamir.sum_shares/1"),
        ({"phase": "fedsec.shamir.shares/1"}, OutOfPhase, "fedsec.shamir.shares/1"),
    ],
)
def test_a_header_for_something_else(server: Any, changes: dict[str, Any], kind: type[FedsecError], text: str) -> None:
    with pytest.raises(kind, match=text):
        server.ask(1, ShareInput(), server.session(), **changes)


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"run": b"another"}, Stale, "another run"),
        ({"epoch": 7}, Stale, "epoch 7"),
        ({"epoch": 0}, Stale, "epoch 0"),
        ({"terms": NO_HASH}, AuthenticationError, "configuration hash"),
        ({"roster": NO_HASH}, AuthenticationError, "roster hash"),
        ({"stage": SETUP}, OutOfPhase, "stage setup"),
        ({"cohort": (1, 2)}, PolicyError, "cohort of 2 is below this party's floor of 3"),
        ({"cohort": (1, 2, 3, 9)}, PolicyError, "cohort lists a party twice or one that is not on the roster"),
        ({"cohort": (1, 2, 3, 3)}, PolicyError, "cohort lists a party twice"),
        ({"cohort": (2, 3, 4)}, OutOfPhase, "party 1 is not in this round's cohort"),
    ],
)
def test_a_session_that_is_not_what_was_agreed(
    server: Any, changes: dict[str, Any], kind: type[FedsecError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        server.ask(1, ShareInput(), server.session(**changes))
    assert not server.contributed


@pytest.mark.parametrize(
    ("cohort", "text"),
    [
        ((1, 2), "cohort of 2 is below this party's floor of 3"),
        ((1, 2, 3, 9), "cohort lists a party twice or one that is not on the roster"),
        ((1, 2, 3, 3), "cohort lists a party twice"),
    ],
)
def test_a_cohort_is_checked_in_whichever_phase_comes_first(server: Any, cohort: tuple[int, ...], text: str) -> None:
    """Not where the input is asked for alone: phases before it may give away keys, and phases after it shares."""
    for stage, request in (("train", ShareInput()), ("train", SumShares({})), ("evaluate", SumShares({}))):
        before = dict(server.federation.states)
        with pytest.raises(PolicyError, match=text):
            server.ask(1, request, server.session(cohort=cohort, stage=stage))
        assert server.federation.states == before  # nothing was entered, so nothing is burnt


def test_only_phases_after_the_input_reach_parties_outside_the_cohort(server: Any) -> None:
    with pytest.raises(OutOfPhase, match="shared nothing in this session"):  # the strategy's own answer
        server.ask(5, SumShares({}), server.session([1, 2, 3, 4]))
    with pytest.raises(OutOfPhase, match="party 5 is not in this round's cohort"):
        server.ask(5, ShareInput(), server.session([1, 2, 3, 4]))


def test_counters_only_rise(server: Any) -> None:
    old, session = server.session(), server.session()
    server.ask(1, ShareInput(), session)
    with pytest.raises(Stale, match=f"session {old.counter}; this party is at session {session.counter}"):
        server.ask(1, ShareInput(), old)
    for changes in ({"nonce": bytes(16)}, {"model": b"\1" * 32}, {"cohort": (1, 2, 3)}, {"stage": "evaluate"}):
        with pytest.raises(Stale, match=f"second session with the counter {session.counter}"):
            server.ask(1, SumShares({}), replace(session, **changes))
    assert server.contributed == [1]


def test_phases_come_in_order_and_once(server: Any) -> None:
    session = server.session()
    request = server.request(1, ShareInput(), session)
    server.send(1, request)
    with pytest.raises(OutOfPhase, match="phase 1 of session"):
        server.send(1, request)
    assert server.contributed == [1]
    later = server.session()
    with pytest.raises(OutOfPhase, match="shared nothing in this session"):
        server.ask(1, SumShares({}), later)
    with pytest.raises(OutOfPhase, match="this party answered 2"):
        server.ask(1, ShareInput(), later)


def test_a_contribution_that_failed_is_not_asked_for_again(server: Any) -> None:
    def fails(plan: Any) -> Any:
        server.contributed.append(1)
        raise DataError("patient 17")

    server.federation._inputs = {1: fails}
    session = server.session()
    told = server.federation.ask(1, server.request(1, ShareInput(), session))
    assert told == Refusal("DataError: patient 17")  # in a simulation all data are the caller's
    assert Refusal.of(DataError("patient 17")) == Refusal("DataError")  # elsewhere the class, and nothing of the data
    with pytest.raises(OutOfPhase):
        server.ask(1, ShareInput(), session)
    assert server.contributed == [1]


def test_a_message_that_is_no_request(server: Any) -> None:
    for message in (Adopted(), server.coordinator.terms):
        with pytest.raises(OutOfPhase, match="no phase of shamir"):
            server.ask(1, message, server.session())


def test_nothing_is_answered_before_enrolment_and_roster(dishonest: Any) -> None:
    server = dishonest(Shamir())
    with pytest.raises(OutOfPhase, match="has not enrolled"):
        server.ask(1, ShareInput(), server.session())
    server.enrol()
    with pytest.raises(OutOfPhase, match="no roster yet"):
        server.ask(1, ShareInput(), server.session())


def test_a_sum_that_would_not_be_exact_is_refused_at_the_party(dishonest: Any) -> None:
    server = dishonest(Plain(value_bits=60), hospitals=9).found()
    with pytest.raises(HeadroomError, match="9 values of 60 bits"):
        server.ask(1, SendInput(), server.session())
    assert not server.contributed
