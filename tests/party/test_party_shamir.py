"""What a hospital under shamir refuses to a dishonest server: whatever would open more, or less, than one sum."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from fedsec.errors import BadMessage, ConfigurationError, FedsecError, OutOfPhase, PolicyError, TooFewParties
from fedsec.primitives.shamir import combine
from fedsec.protocol.complaints import SumReopened
from fedsec.strategies.shamir import SHARE, Shamir, ShareInput, SumShares

A, B = b"\xaa" * 32, b"\xbb" * 32
"""Two models."""


def total(server: Any, parties: Any) -> list[int]:
    return [int(value) for value in sum(server.inputs[party] for party in parties)]


def share(server: Any, session: Any) -> dict[int, dict[int, bytes]]:
    """Phase 1 with all of the cohort: what each sealed to each, by receiver."""
    outboxes = {party: server.ask(party, ShareInput(), session).outbox for party in session.cohort}
    return {
        receiver: {sender: outbox[receiver] for sender, outbox in outboxes.items() if receiver != sender}
        for receiver in session.cohort
    }


@pytest.mark.parametrize("shown_a", [(1,), (1, 2), (4, 5), (1, 3, 5), (1, 2, 3, 4)])
def test_shamir_two_models_never_mix(server: Any, shown_a: tuple[int, ...]) -> None:
    session = server.session()
    sessions = {party: replace(session, model=A if party in shown_a else B) for party in session.cohort}
    result = server.run(server.protocol.aggregate(session.cohort, None), sessions)
    groups = [set(shown_a), set(session.cohort) - set(shown_a)]
    assert result.included in groups
    assert result.vector.tolist() == total(server, result.included)


@pytest.mark.parametrize(("hospitals", "shown_a", "opened"), [(4, 2, 0), (6, 3, 0), (7, 3, 4), (8, 4, 0), (9, 4, 5)])
def test_shamir_of_two_models_only_a_majority_opens(dishonest: Any, hospitals: int, shown_a: int, opened: int) -> None:
    """Groups of the floor and more answer, each with shares of its own sum: never are the two put together."""
    server = dishonest(Shamir(), hospitals).found()
    session = server.session()
    sessions = {party: replace(session, model=A if party <= shown_a else B) for party in session.cohort}
    flow = server.protocol.aggregate(session.cohort, None)
    if not opened:
        with pytest.raises(TooFewParties, match=r"phase SumShares: \d of \d parties answered"):
            server.run(flow, sessions)
        return
    result = server.run(flow, sessions)
    assert result.included == set(range(shown_a + 1, hospitals + 1))
    assert result.vector.tolist() == total(server, result.included)


@pytest.mark.parametrize("senders", [(), (2,), (5,)])
def test_shamir_sums_hold_the_floor(server: Any, senders: tuple[int, ...]) -> None:
    session = server.session()
    inbox = share(server, session)[1]
    with pytest.raises(PolicyError, match=f"the shares of {len(senders) + 1} parties could be opened.*3"):
        server.ask(1, SumShares({sender: inbox[sender] for sender in senders}), session)


def test_shamir_shares_of_strangers_other_rounds_or_senders_do_not_count(server: Any) -> None:
    old = share(server, server.session())
    session = server.session([1, 2, 3, 4])
    inbox = share(server, session)[1]
    outsider = server.context_of(5, session).seal(
        1, bytes(8), SHARE, os.urandom
    )  # on the roster, and not in this round's cohort
    inbox |= {4: inbox[3], 5: outsider, 9: inbox[2]}  # 4's is relayed from 3
    assert server.ask(1, SumShares(inbox), session).digests.keys() == {4}
    assert server.ask(1, SumReopened(inbox), session).included == {1, 2, 3}
    session = server.session()
    mixed = {**share(server, session)[1], 2: old[1][2], 3: old[3][1], 4: b""}
    assert server.ask(1, SumShares(mixed), session).digests.keys() == {2, 3, 4}
    with pytest.raises(PolicyError, match="the shares of 2 parties"):
        server.ask(1, SumReopened(mixed), session)


def test_shamir_two_quorums_open_one_sum(server: Any) -> None:
    """All that a server can collect in one session, for every split of the answers among two sums."""
    for first, second in [((1, 2, 3), (3, 4, 5)), ((1, 2, 3, 4), (1, 2, 3, 4, 5)), ((1, 2, 3), (1, 4, 5))]:
        session = server.session()
        inboxes = share(server, session)
        shares: dict[frozenset[int], dict[int, Any]] = {}
        for senders in (first, second):
            for party in senders:
                try:
                    answer = server.ask(
                        party, SumShares({one: inboxes[party][one] for one in set(senders) - {party}}), session
                    )
                except FedsecError as error:
                    assert isinstance(error, OutOfPhase)
                    continue
                shares.setdefault(answer.included, {})[party] = answer.share
        assert shares.keys() >= {frozenset(first)}
        needed, field = server.protocol.points_needed(session.cohort), server.protocol.field(session.cohort)
        assert combine(shares.pop(frozenset(first)), needed, field, 2).tolist() == total(server, first)
        for few in shares.values():
            with pytest.raises(BadMessage, match="3 are needed"):
                combine(few, needed, field, 2)


def test_shamir_a_threshold_that_lets_two_groups_open_is_refused(dishonest: Any) -> None:
    for threshold, text in (
        (2, "threshold is 2; a cohort of 5 needs at least 3 against a semi-honest server"),
        (6, "threshold is 6 and the cohort has 5"),
    ):
        server = dishonest(Shamir(threshold=threshold)).found()
        with pytest.raises(ConfigurationError, match=text):
            server.ask(1, ShareInput(), server.session())
        assert not server.contributed
