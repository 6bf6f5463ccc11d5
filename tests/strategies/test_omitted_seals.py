"""Dealers that seal nothing to some of the others: their own signed answer proves them false, and nobody else is named.

These parties hold their own keys and state, and depart from the protocol in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import TooFewParties
from fedsec.local import Fault, Update
from fedsec.protocol import Message, PartyId
from fedsec.server.coordinator import FALSE_ANSWER
from fedsec.strategies.additive import Additive
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.shamir import Shamir, ShareOfSum
from fedsec.wire import codec, envelope
from tests.strategies.corrupt_parties import Change, Federation, changing, enrolled, label
from tests.tiers import exhaustive, slow

KINDS = [
    Shamir(server="malicious"),
    LightSecAgg(),
    Additive(),
    *slow([Shamir(), PackedShamir(), PackedShamir(server="malicious"), LightSecAgg(server="malicious")]),
]
EACH = pytest.mark.parametrize("protocol", KINDS, ids=label)
Outbox = dict[PartyId, bytes]
VALUES = 3


def sending(choose: Callable[[Outbox], Outbox]) -> Change:
    """Of what it sealed with its input, a party sends what `choose` says."""

    def change(reply: Message, *_: Any) -> Message:
        given: Any = reply
        for name in {"outbox", "seeds"} & vars(reply).keys():
            changed: Message = replace(given, **{name: choose(dict(getattr(reply, name)))})
            return changed
        return reply

    return change


def without(count: int) -> Change:
    """Seals nothing to the first `count` receivers, or to all where they are fewer."""
    return sending(lambda outbox: dict(sorted(outbox.items())[count:]))


def data(hospitals: int) -> dict[PartyId, np.ndarray[Any, Any]]:
    return {party: np.arange(VALUES, dtype=np.uint64) + 100 * party for party in range(1, hospitals + 1)}


def sent_on(federation: Federation, protocol: Any) -> tuple[set[PartyId], set[PartyId]]:
    """Fill and return who is asked after the first phase, and whose seals are relayed."""
    asked: set[PartyId] = set()
    relayed: set[PartyId] = set()

    def tap(phase: Any, party: PartyId, request: bytes, answer: object) -> None:
        message = codec.decode(envelope.read(request).body, Message)
        if not isinstance(message, protocol.input_phase):
            asked.add(party)
            relayed.update(getattr(message, "inbox", {}))

    federation.tap = tap
    return asked, relayed


@EACH
@pytest.mark.parametrize("hospitals", [5, *slow([7]), *exhaustive([6, 10])])
def test_a_dealer_that_omits_seals_is_proven_false_and_drops_out(protocol: Any, hospitals: int) -> None:
    """However many it omits: the sum is that of the others, of whom nobody is named."""
    for dealer in (1, hospitals):
        for omitted in range(1, hospitals):
            federation = enrolled(protocol, hospitals, corrupt={dealer: changing(without(omitted))})
            asked, relayed = sent_on(federation, protocol)
            total = federation.sum(data(hospitals))
            honest = set(data(hospitals)) - {dealer}
            assert total.sum.included == honest
            assert total.sum.vector.tolist() == sum(data(hospitals)[party] for party in honest).tolist()
            assert (total.sum.false, total.sum.corrected) == ({dealer}, frozenset())
            assert total.incidents == (("release", dealer, FALSE_ANSWER),)
            assert relayed == honest
            assert dealer not in asked or protocol.name == "additive"  # an aggregator still removes the masks


@EACH
def test_seals_to_others_than_its_receivers_prove_a_dealer_false(protocol: Any) -> None:
    for more in (99, *([] if protocol.name == "additive" else [6])):  # a stranger, and itself
        beyond = sending(lambda outbox, more=more: {**outbox, more: b"seal"})  # type: ignore[misc]
        federation = enrolled(protocol, 6, corrupt={6: changing(beyond)})
        total = federation.sum(data(6))
        assert (total.sum.included, total.sum.false) == (frozenset(range(1, 6)), {6})


@EACH
def test_more_such_dealers_than_may_drop_out_void_the_round_and_all_are_proven_false(protocol: Any) -> None:
    tolerated = protocol.tolerance(range(1, 7))[protocol.input_phase]
    dealers = frozenset(range(6 - tolerated, 7))
    federation = enrolled(protocol, 6, corrupt=dict.fromkeys(dealers, changing(without(2))))
    asked, _ = sent_on(federation, protocol)
    with pytest.raises(TooFewParties) as error:
        federation.sum(data(6))
    assert error.value.phase == protocol.input_phase.__name__ and not asked
    assert error.value.false == federation.coordinator.false == error.value.asked - error.value.answered == dealers
    assert error.value.needed == 6 - tolerated


@EACH
def test_a_dealer_is_proven_false_where_a_later_phase_fails_too(protocol: Any) -> None:
    for phase in protocol.rounds()[1:]:
        federation = enrolled(protocol, 6, corrupt={6: changing(without(3))})
        federation.faults = [Fault("drop", phase.__name__, party) for party in range(1, 6)]
        with pytest.raises(TooFewParties, match=phase.__name__) as error:
            federation.sum(data(6))
        assert error.value.false == federation.coordinator.false == {6}


def test_it_is_not_asked_in_the_next_round() -> None:
    updates = {party: Update({"w": np.full(3, float(party))}, {}, 1) for party in range(1, 7)}
    federation = Federation(Shamir(), 6, corrupt={2: changing(without(3))})
    for _ in range(2):
        assert federation.mean(updates, {}).included == set(updates) - {2}
        assert federation.incidents == (("release", 2, FALSE_ANSWER),)


def others_sum(*left_out: PartyId) -> Change:
    """Says of its share of the sum that it is one without these."""

    def change(reply: Message, *_: Any) -> Message:
        return replace(reply, included=reply.included - set(left_out)) if isinstance(reply, ShareOfSum) else reply

    return change


@pytest.mark.parametrize("lost", [0, 1])
def test_who_answers_for_another_sum_than_most_is_not_said_to_have_given_no_usable_answer(lost: int) -> None:
    """Nothing proves which side is false."""
    federation = enrolled(Shamir(), 6, corrupt=dict.fromkeys((1, 2, 3), changing(others_sum(6))))
    federation.faults = [Fault("drop", "SumShares", 6)][:lost]
    with pytest.raises(TooFewParties) as error:
        federation.sum(data(6))
    text = f"phase SumShares: {6 - lost} of 6 parties answered, at most 3 of them for the same sum, and 4 are needed"
    assert str(error.value).startswith(f"{text}; no usable answer from 6 (" if lost else text)
    assert ("no usable" in str(error.value)) is bool(lost)
    assert (error.value.false, error.value.asked - error.value.answered) == (frozenset(), set([6][:lost]))


def test_an_aggregator_that_adds_up_what_nobody_sent_is_proven_false() -> None:
    def change(reply: Message, *_: Any) -> Message:
        given: Any = reply
        return replace(given, included=given.included | {99}) if hasattr(reply, "included") else reply

    federation = enrolled(Additive(), 6, corrupt={2: changing(change)})
    with pytest.raises(TooFewParties, match=r"phase SumMasks: 2 of 3 .* no usable answer from 2") as error:
        federation.sum(data(6))
    assert error.value.false == {2}


def test_what_these_parties_send_without_a_change_is_honest() -> None:
    every: Mapping[PartyId, Any] = dict.fromkeys(range(1, 7), changing(sending(lambda outbox: outbox)))
    assert enrolled(Shamir(), 6, corrupt=every).sum(data(6)).sum.included == set(range(1, 7))
