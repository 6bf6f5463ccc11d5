"""Hospitals that answer with false shares, or deal them: what is corrected, what is void, and nobody honest is named.

These parties hold their own keys and state, and depart from the protocol in one step.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import BadMessage, TooFewParties
from fedsec.local import Fault, Update
from fedsec.primitives import robust, shamir
from fedsec.primitives.field import FIELDS
from fedsec.protocol import Message, PartyId
from fedsec.server.coordinator import FALSE_ANSWER
from fedsec.strategies.lightsecagg import PIECE, LightSecAgg, MaskedInput, PieceOfSum
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.shamir import SHARE, Shamir, ShareOfSum, Shares
from fedsec.wire import envelope
from tests.strategies.corrupt_parties import Change, Federation, changing, enrolled
from tests.tiers import slow

KINDS = [PackedShamir(), LightSecAgg(), *slow([Shamir(), Shamir(value_bits=40)])]
EACH = pytest.mark.parametrize("protocol", KINDS, ids=["packed_shamir", "lightsecagg", "shamir", "61 bits"])
HOSPITALS, VALUES = 8, 5


def other_share(reply: Message, *_: Any) -> Message:
    """The last value of a share of the sum is another one."""
    if isinstance(reply, ShareOfSum):
        return replace(reply, share=moved(reply.share, reply.prime_bits))
    return replace(reply, piece=moved(reply.piece, reply.prime_bits)) if isinstance(reply, PieceOfSum) else reply


def moved(share: np.ndarray[Any, Any], prime_bits: int) -> np.ndarray[Any, Any]:
    changed = share.copy()
    while changed[-1] == share[-1]:
        changed[-1:] = FIELDS[prime_bits].random(1, os.urandom)
    return changed


def dealing_to(*victims: PartyId) -> Change:
    """Seals to these a share that is on no polynomial of the others': another seed, or other values."""

    def change(reply: Message, protocol: Any, me: Any, rng: Any) -> Message:
        if not isinstance(reply, Shares | MaskedInput):
            return reply
        outbox, used = dict(reply.outbox), protocol.field(me.cohort)
        for victim in set(victims) - {me.id}:
            payload = rng(32)
            if victim not in protocol._seeded(me.id, me.cohort):
                payload = used.dump(used.random(protocol.columns(me.cohort, VALUES), rng))
            kind = SHARE if isinstance(reply, Shares) else PIECE
            outbox[victim] = me.seal(victim, shamir.dump_share(payload, VALUES), kind, rng)
        return replace(reply, outbox=outbox)

    return change


def data(hospitals: int = HOSPITALS) -> dict[PartyId, np.ndarray[Any, Any]]:
    return {party: np.arange(VALUES, dtype=np.uint64) + 100 * party for party in range(1, hospitals + 1)}


def right(included: frozenset[PartyId], hospitals: int = HOSPITALS) -> list[int]:
    return [int(value) for value in sum(data(hospitals)[party] for party in included)]


def opened_by(protocol: Any, hospitals: int = HOSPITALS) -> int:
    return int(protocol.points_needed(range(1, hospitals + 1)))


@EACH
@pytest.mark.parametrize("liar", [1, 8, *slow(range(2, HOSPITALS))])
def test_a_false_share_of_the_sum_is_corrected(protocol: Any, liar: PartyId) -> None:
    assert robust.radius(HOSPITALS, opened_by(protocol)) >= 1
    federation = enrolled(protocol, HOSPITALS, corrupt={liar: changing(other_share)})
    total = federation.sum(data())
    assert total.sum.included == set(data()) and total.sum.vector.tolist() == right(total.sum.included)
    assert (total.sum.corrected, total.sum.false, total.incidents) == ({liar}, frozenset(), ())


@EACH
def test_answers_are_compared_by_other_bytes_in_each_round(protocol: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[bytes] = []
    combine = robust.combine

    def combined(*given: Any) -> Any:
        seeds.append(given[-1])
        return combine(*given)

    monkeypatch.setattr(robust, "combine", combined)
    federation = Federation(protocol, HOSPITALS)
    for _ in range(2):
        federation.sum(data())
    assert len(set(seeds)) == 2 and all(len(seed) == 32 for seed in seeds)


@EACH
def test_more_false_shares_than_can_be_corrected_void_the_round_and_name_nobody(protocol: Any) -> None:
    most = robust.radius(HOSPITALS, opened_by(protocol))
    for liars in itertools.islice(itertools.combinations(range(1, HOSPITALS + 1), most + 1), 6):
        federation = enrolled(protocol, HOSPITALS, corrupt=dict.fromkeys(liars, changing(other_share)))
        with pytest.raises(BadMessage, match=f"more than {most} are false, and nothing proves which") as error:
            federation.sum(data())
        assert (error.value.false, federation.incidents) == (frozenset(), ())


@EACH
def test_a_false_share_among_tolerated_dropouts_gives_the_right_sum_or_an_error(protocol: Any) -> None:
    """Down to as many answers as open the sum: then a false one is not noticed, and not before."""
    needed, opening = opened_by(protocol), protocol.rounds()[-1]
    for dropped in range(HOSPITALS - needed + 1):
        federation = enrolled(protocol, HOSPITALS, corrupt={2: changing(other_share)})
        federation.faults = [Fault("drop", opening.__name__, party) for party in range(3, 3 + dropped)]
        answers = HOSPITALS - dropped
        if answers == needed + 1:
            with pytest.raises(BadMessage, match="nothing proves which"):
                federation.sum(data())
            continue
        total = federation.sum(data())
        assert (total.sum.vector.tolist() == right(frozenset(data()))) == (answers > needed)
        assert total.sum.corrected == ({2} if answers > needed else set()) and not total.sum.false


@EACH
def test_a_dealer_who_makes_an_honest_answer_false_frames_nobody(protocol: Any) -> None:
    """From the server this looks like a false answer of the victim's: it is corrected, and proves nothing."""
    for victim in (1, 4, 5):
        federation = enrolled(protocol, HOSPITALS, corrupt={3: changing(dealing_to(victim))})
        total = federation.sum(data())
        assert total.sum.included == set(data()) and total.sum.vector.tolist() == right(total.sum.included)
        assert (total.sum.corrected, total.sum.false, total.incidents) == ({victim}, frozenset(), ())


@EACH
def test_a_dealer_whose_shares_are_on_no_polynomial_is_detected_and_not_named(protocol: Any) -> None:
    federation = enrolled(protocol, HOSPITALS, corrupt={3: changing(dealing_to(*range(1, HOSPITALS + 1)))})
    with pytest.raises(BadMessage, match="they are not on one polynomial") as error:
        federation.sum(data())
    assert (error.value.false, federation.incidents) == (frozenset(), ())


@pytest.mark.parametrize(("hospitals", "corrected"), [(3, 0), (4, 0), (5, 0), (6, 0), (7, 1)])
@pytest.mark.parametrize("kind", [PackedShamir, *slow([Shamir, LightSecAgg])])
def test_against_a_malicious_server_nothing_is_corrected_up_to_six_hospitals(
    kind: Any, hospitals: int, corrected: int
) -> None:
    protocol = kind(server="malicious")
    needed = opened_by(protocol, hospitals)
    assert protocol.corrects(range(1, hospitals + 1), hospitals) == robust.radius(hospitals, needed) == corrected
    federation = enrolled(protocol, hospitals, corrupt={2: changing(other_share)})
    if corrected:
        assert federation.sum(data(hospitals)).sum.corrected == {2}
    elif hospitals > needed:
        with pytest.raises(BadMessage, match=f"to correct one, {needed + 2} are needed, and nothing proves which"):
            federation.sum(data(hospitals))
    else:  # three hospitals open with three shares: nobody can tell
        assert federation.sum(data(hospitals)).sum.vector.tolist() != right(frozenset(data(hospitals)), hospitals)


IMPOSSIBLE: dict[str, Callable[[Any], Message]] = {
    "another length": lambda reply: replace(reply, share=reply.share[:-1]),
    "another type": lambda reply: replace(reply, share=reply.share.astype(np.uint64)),
    "another field": lambda reply: replace(reply, prime_bits=61),
    "no field element": lambda reply: replace(reply, share=np.full_like(reply.share, 2**31 - 1)),
    "a stranger's input": lambda reply: replace(reply, included=reply.included | {99}),
    "without its own": lambda reply: replace(reply, included=reply.included - {2}),
    "below the floor": lambda reply: replace(reply, included=frozenset({2, 3})),
}


@pytest.mark.parametrize("how", IMPOSSIBLE)
def test_an_answer_that_proves_itself_false_is_left_out_and_its_sender_too(how: str) -> None:
    def change(reply: Message, *_: Any) -> Message:
        return IMPOSSIBLE[how](reply) if isinstance(reply, ShareOfSum) else reply

    federation = enrolled(Shamir(), 6, corrupt={2: changing(change)})
    total = federation.sum(data(6))
    assert total.sum.vector.tolist() == right(frozenset(data(6)), 6)
    assert (total.sum.false, total.sum.corrected) == ({2}, frozenset())
    assert total.incidents == (("release", 2, FALSE_ANSWER),)


def test_a_masked_input_outside_the_field_proves_itself_false() -> None:
    def change(reply: Message, *_: Any) -> Message:
        return replace(reply, prime_bits=61) if isinstance(reply, MaskedInput) else reply

    total = enrolled(LightSecAgg(), 6, corrupt={4: changing(change)}).sum(data(6))
    assert total.sum.false == {4} and total.sum.included == set(data(6)) - {4}
    assert total.sum.vector.tolist() == right(total.sum.included, 6)


def test_who_is_proven_false_is_left_out_until_a_new_epoch_also_where_the_round_failed() -> None:
    def change(reply: Message, *_: Any) -> Message:
        return IMPOSSIBLE["another length"](reply) if isinstance(reply, ShareOfSum) else reply

    updates = {party: Update({"w": np.full(3, float(party))}, {}, 1) for party in range(1, 7)}
    federation = Federation(Shamir(), 6, corrupt={2: changing(change)})
    for stage in ("train", "train", "evaluate"):  # the first mean takes two sessions
        assert federation.mean(updates, {}, stage=stage).included == set(updates) - {2}
        assert federation.incidents == (("release", 2, FALSE_ANSWER),)
    federation.enrol()
    assert federation.coordinator.false == frozenset()
    federation.corrupt = dict.fromkeys((2, 4, 5), changing(change))
    with pytest.raises(TooFewParties) as error:
        federation.mean(updates, {})
    assert error.value.false == federation.coordinator.false == {2, 4, 5}
    assert {incident for incident in federation.incidents if incident[2] == FALSE_ANSWER} == {
        ("release", party, FALSE_ANSWER) for party in (2, 4, 5)
    }
    assert federation.mean(updates, {}).included == {1, 3, 6}


def test_in_a_cohort_that_stays_whole_who_is_proven_false_counts_as_dropped_out() -> None:
    """The others see the same cohort in each session, and it is asked nothing, though it would answer rightly now."""

    def change(reply: Message, *_: Any) -> Message:
        return IMPOSSIBLE["another length"](reply) if isinstance(reply, ShareOfSum) else reply

    updates = {party: Update({"w": np.full(3, float(party))}, {}, 1) for party in range(1, 7)}
    federation = Federation(Shamir(), 6, corrupt={2: changing(change)})
    federation.averaging.whole = True
    federation.enrol()
    sessions: dict[int, set[PartyId]] = {}

    def tap(phase: Any, party: PartyId, request: bytes, answer: object) -> None:
        session = envelope.read(request).header.session
        assert session.cohort == tuple(updates)
        sessions.setdefault(session.counter, set()).add(party)

    federation.tap = tap
    for stage in ("train", "train", "evaluate"):  # the first mean takes two sessions
        assert federation.mean(updates, {}, stage=stage).included == set(updates) - {2}
        assert federation.incidents == (("release", 2, FALSE_ANSWER),)
        federation.corrupt = {}
    first, *later = (sessions[counter] for counter in sorted(sessions))
    assert first == set(updates) and later == [set(updates) - {2}] * (len(sessions) - 1)


def test_what_was_corrected_is_warned_of_by_number() -> None:
    updates = {party: Update({"w": np.full(3, float(party))}, {}, 1) for party in range(1, 7)}
    federation = Federation(Shamir(), 6, corrupt={5: changing(other_share)})
    for expected in (["2 of"], ["1 of"], []):  # the first mean takes two sessions
        found = federation.mean(updates, {})
        warned = [text for text in federation.averaging.warnings(found) if "nothing proves which" in text]
        assert [text[:4] for text in warned] == expected
        federation.corrupt = {} if expected == ["1 of"] else federation.corrupt


def test_those_who_lie_together_about_the_inputs_that_they_added_are_few() -> None:
    """Two of six agree on another set: four answers are left, which open the sum and have none to spare."""

    def change(reply: Message, *_: Any) -> Message:
        return replace(reply, included=reply.included - {6}) if isinstance(reply, ShareOfSum) else reply

    total = enrolled(Shamir(), 6, corrupt={1: changing(change), 2: changing(change)}).sum(data(6))
    assert total.sum.vector.tolist() == right(frozenset(data(6)), 6)
    assert (total.sum.false, total.sum.corrected) == (frozenset(), frozenset())


def test_what_these_parties_answer_without_a_change_is_honest() -> None:
    federation = enrolled(Shamir(), 6, corrupt=dict.fromkeys(range(1, 7), changing(lambda reply, *_: reply)))
    assert federation.sum(data(6)).sum.vector.tolist() == right(frozenset(data(6)), 6)
