"""What a party signs, seals and agrees on is bound to the session, to the two ends and to the purpose."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fedsec.errors import AuthenticationError
from fedsec.primitives import sealing
from fedsec.strategies._key_holder import Blob, KeyAdopted
from fedsec.strategies.shamir import SHARE, ShareInput, SumShares
from fedsec.wire import codec
from fedsec.wire.envelope import Session

OTHERS: list[dict[str, Any]] = [
    {"run": b"another"},
    {"counter": 10_000},
    {"nonce": bytes(16)},
    {"epoch": 7},
    {"stage": "evaluate"},
    {"cohort": (1, 2, 3)},
    {"roster": bytes(32)},
    {"model": b"\1" * 32},
    {"terms": bytes(32)},
]
"""Every field of a session, changed."""


def test_every_field_of_a_session_is_bound(server: Any) -> None:
    session = server.session()
    assert {name for other in OTHERS for name in other} == {field.name for field in codec.schema(Session)}
    assert len({session.binding, *(replace(session, **other).binding for other in OTHERS)}) == 1 + len(OTHERS)


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
def test_nothing_holds_in_another_session(server: Any, other: dict[str, Any]) -> None:
    session = server.session()
    here, there = server.context_of(1, session), server.context_of(2, replace(session, **other))
    assert here.context != there.context and len(here.context) == 32
    statement = Blob(bytes(32))
    with pytest.raises(AuthenticationError):
        there.verify(1, statement, here.sign(statement))
    with pytest.raises(AuthenticationError):
        there.unseal(1, here.seal(2, b"secret", "share", os.urandom), ShareInput, "share")
    if other.keys() & {"run", "epoch", "terms"}:  # the members' own signatures name them
        with pytest.raises(AuthenticationError, match="party 1 of the roster did not join this epoch itself"):
            there.pairwise_key(1, "mask")
    else:
        assert here.pairwise_key(2, "mask") != there.pairwise_key(1, "mask")
    server.context_of(2, session).verify(1, statement, here.sign(statement))
    sealed = here.seal(2, b"secret", "share", os.urandom)
    assert server.context_of(2, session).unseal(1, sealed, ShareInput, "share") == b"secret"


def test_pairwise_keys_are_of_two_parties_and_one_purpose(server: Any) -> None:
    session = server.session()
    contexts = {party: server.context_of(party, session) for party in session.cohort}
    labels = ("mask", "seal from 1", "seal from 2")
    keys = {
        (one, other, label): contexts[one].pairwise_key(other, label)
        for one in contexts
        for other in contexts
        if one != other
        for label in labels
    }
    assert all(keys[one, other, label] == keys[other, one, label] for one, other, label in keys)
    assert len(set(keys.values())) == len(keys) // 2
    assert all(len(key) == 32 for key in keys.values())


def test_a_seal_is_for_one_receiver_from_one_sender(server: Any) -> None:
    session = server.session()
    one, two, three = (server.context_of(party, session) for party in (1, 2, 3))
    sealed = one.seal(2, b"secret", "share", os.urandom)
    assert sealed != one.seal(2, b"secret", "share", os.urandom)
    for reader, claimed in ((three, 1), (two, 3), (one, 2), (two, 2)):
        with pytest.raises(AuthenticationError):
            reader.unseal(claimed, sealed, ShareInput, "share")
    to_myself = one.seal(1, b"to myself", "share", os.urandom)
    assert one.unseal(1, to_myself, ShareInput, "share") == b"to myself"
    key = one.pairwise_key(2, "seal from 1")  # the associated data alone keep sessions and directions apart, too
    rightly = (session.binding, 1, 2, ShareInput.tag, "share")
    wrongly = (
        (bytes(32), *rightly[1:]),
        (session.binding, 2, 1, ShareInput.tag, "share"),
        (session.binding, 1, 3, ShareInput.tag, "share"),
        (session.binding, 1, 2, SumShares.tag, "share"),
        (session.binding, 1, 2, ShareInput.tag, "seed"),
    )
    for named in (rightly, *wrongly):
        made = sealing.seal(key, b"secret", b"fedsec sealed" + codec.pack(list(named)), os.urandom)
        if named == rightly:
            assert two.unseal(1, made, ShareInput, "share") == b"secret"
        else:
            with pytest.raises(AuthenticationError):
                two.unseal(1, made, ShareInput, "share")


def test_a_seal_is_of_one_step_and_one_kind(server: Any) -> None:
    """What was sealed in answer to one phase, or as one thing, opens as no other."""
    session = server.session()
    two = server.context_of(2, session)
    for step, kind in ((ShareInput, "share"), (SumShares, "share"), (ShareInput, "seed")):
        sealed = server.context_of(1, session, step).seal(2, b"secret", kind, os.urandom)
        assert two.unseal(1, sealed, step, kind) == b"secret"
        for other_step, other_kind in ((ShareInput, "share"), (SumShares, "share"), (ShareInput, "seed")):
            if (other_step, other_kind) != (step, kind):
                with pytest.raises(AuthenticationError):
                    two.unseal(1, sealed, other_step, other_kind)


def test_a_party_seals_as_of_the_phase_that_it_answers(server: Any) -> None:
    session = server.session()
    shares = server.ask(1, ShareInput(), session)
    context = server.context_of(3, session)
    assert context.unseal(1, shares.outbox[3], ShareInput, SHARE)
    with pytest.raises(AuthenticationError):
        context.unseal(1, shares.outbox[3], SumShares, SHARE)


def test_a_signature_is_on_one_statement_of_one_sender(server: Any) -> None:
    session = server.session()
    one, two = server.context_of(1, session), server.context_of(2, session)
    statement = Blob(b"\1" * 32)
    signature = one.sign(statement)
    two.verify(1, statement, signature)
    for sender, claimed in ((2, statement), (1, Blob(b"\2" * 32)), (1, KeyAdopted(b"\1" * 32)), (9, statement)):
        with pytest.raises(AuthenticationError):
            two.verify(sender, claimed, signature)


def test_nobody_off_the_roster_is_known(server: Any) -> None:
    context = server.context_of(1, server.session())
    steps: list[Callable[[], object]] = [
        lambda: context.identity(9),
        lambda: context.seal(9, b"", "share", os.urandom),
        lambda: context.unseal(9, bytes(64), ShareInput, "share"),
        lambda: context.pairwise_key(9, "mask"),
        lambda: context.verify(9, Blob(b""), bytes(64)),
    ]
    for step in steps:
        with pytest.raises(AuthenticationError, match="party 9 is not on the roster"):
            step()
    assert repr(context) == "<party 1>"
