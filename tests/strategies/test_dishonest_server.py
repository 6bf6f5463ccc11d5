"""What no strategy of masks and shares lets a dishonest server do, each attack against all of them."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import ConfigurationError, FedsecError, PolicyError, TooFewParties
from fedsec.local import Fault, Kind, LocalFederation
from fedsec.party.policy import Policy
from fedsec.protocol import Message
from fedsec.strategies.additive import Additive
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.packed_shamir import PackedShamir
from fedsec.strategies.secagg import SecAgg
from fedsec.strategies.secagg_plus import SecAggPlus
from fedsec.strategies.shamir import Shamir
from fedsec.testing.leakage import not_uniform
from fedsec.wire import codec, envelope
from tests.strategies.corrupt_parties import founded, label
from tests.tiers import exhaustive, slow

A, B = b"\xaa" * 32, b"\xbb" * 32
"""Two models."""
PROTOCOLS = [Additive(), Shamir(), PackedShamir(server="malicious"), LightSecAgg(), SecAgg(), SecAggPlus()]
OTHERS = [Shamir(server="malicious"), PackedShamir(), LightSecAgg(server="malicious"), SecAgg(server="semi-honest")]
"""The same against the other kind of server."""
MASKING = [protocol for protocol in PROTOCOLS + OTHERS if protocol.name not in ("shamir", "packed_shamir")]


EACH = pytest.mark.parametrize("protocol", [*PROTOCOLS, *slow(OTHERS)], ids=label)
LONG = pytest.mark.parametrize("protocol", [*PROTOCOLS, *exhaustive(OTHERS)], ids=label)


@EACH
def test_inputs_of_two_models_never_meet_in_one_sum(protocol: Any) -> None:
    server = founded(protocol, 6)
    for shown_a in ((1,), (6,), (1, 2), (5, 6), (1, 3, 5), (1, 2, 3, 4)):
        session = server.session()
        sessions = {party: replace(session, model=A if party in shown_a else B) for party in session.cohort}
        try:
            result = server.run(protocol.aggregate(session.cohort, None), sessions)
        except FedsecError as error:
            assert isinstance(error, TooFewParties), shown_a
            continue
        assert result.included in (set(shown_a), set(session.cohort) - set(shown_a)), shown_a
        assert result.vector.tolist() == sum(server.inputs[party] for party in sorted(result.included)).tolist()


@EACH
@pytest.mark.parametrize("victim", [1, 6])
def test_a_session_of_the_victim_s_own_gives_nothing(protocol: Any, victim: int) -> None:
    """One hospital in another session than all the rest: nobody's answers help to open its input."""
    server = founded(protocol, 6)
    session = server.session()
    sessions = {party: session for party in session.cohort} | {victim: replace(session, nonce=os.urandom(16))}
    try:
        result = server.run(protocol.aggregate(session.cohort, None), sessions)
    except TooFewParties:
        return
    assert result.included == set(session.cohort) - {victim}
    assert result.vector.tolist() == sum(server.inputs[party] for party in sorted(result.included)).tolist()


@pytest.mark.slow
@LONG
def test_flipped_bits_in_any_message_give_no_wrong_sum(protocol: Any) -> None:
    federation = LocalFederation(protocol, 6)
    data = {party: [party, 10**party] for party in range(1, 7)}
    federation.enrol()
    phases = [phase.__name__ for phase in protocol.tolerance(sorted(data))]
    kinds: tuple[Kind, ...] = ("corrupt-reply", "corrupt-request")
    for (place, bit), (number, phase) in itertools.product(
        enumerate((0, 77, 1000, 2500, 4000, 7777, -3, -200)), enumerate(phases)
    ):
        federation.faults = [Fault(kinds[(place + number) % 2], phase, 3, bit=bit)]
        try:
            total = federation.sum(data)
        except TooFewParties:
            continue
        expected = [sum(data[party][value] for party in total.sum.included) for value in range(2)]
        assert total.sum.vector.tolist() == expected, federation.faults


@pytest.mark.slow
@LONG
def test_replies_that_come_late_are_never_merged(protocol: Any) -> None:
    federation = LocalFederation(protocol, 6)
    federation.enrol()
    first = {party: [party, 1] for party in range(1, 7)}
    second = {party: [1000 * party, 2] for party in range(1, 7)}
    for phase in protocol.tolerance(sorted(first)):
        for data in (first, second):
            federation.faults = [Fault("delay", phase.__name__, 5)]
            try:
                total = federation.sum(data)
            except TooFewParties:
                continue
            assert total.sum.vector.tolist() == [
                sum(data[party][place] for party in total.sum.included) for place in range(2)
            ]


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        (Shamir(threshold=1), "threshold is 1; a cohort of 5 needs at least 3"),
        (Shamir(threshold=3, server="malicious"), "threshold is 3; a cohort of 5 needs at least 4 against a malicious"),
        (Shamir(threshold=6), "threshold is 6 and the cohort has 5"),
        (PackedShamir(threshold=2, pack=1), "threshold is 2; a cohort of 5 needs at least 3"),
        (PackedShamir(threshold=2, pack=2), "threshold is 2; it must exceed pack, which is 2"),
        (PackedShamir(threshold=3, pack=2), "threshold is 3; a cohort of 5 needs at least 4"),
        (PackedShamir(threshold=3, pack=1, server="malicious"), "threshold is 3; a cohort of 5 needs at least 4"),
        (PackedShamir(pack=5), "pack is 5; it must lie between 1 and 4"),
        (LightSecAgg(threshold=3, privacy=1), "privacy is 1; a cohort of 5 needs at least 2"),
        (LightSecAgg(threshold=3, privacy=2, server="malicious"), "threshold is 3; a cohort of 5 needs at least 4"),
        (LightSecAgg(threshold=4, privacy=4), "privacy is 4; it must lie between 1 and 3"),
        (LightSecAgg(threshold=6), "threshold is 6 and the cohort has 5"),
        (SecAgg(threshold=1), "threshold is 1; it must exceed two thirds"),
        (SecAggPlus(threshold=2), "threshold is 2; it must exceed half"),
    ],
    ids=lambda value: label(value) if not isinstance(value, str) else None,
)
def test_parameters_that_let_few_open_are_refused_by_hospitals(dishonest: Any, protocol: Any, text: str) -> None:
    """The server sends terms that its own check would not let it send: no hospital answers the first request."""
    server = dishonest(protocol, 5).found()
    for party in (1, 5):
        with pytest.raises(ConfigurationError, match=text):
            server.ask(party, protocol.rounds()[0](), server.session())
    assert not server.contributed


def test_a_single_aggregator_is_refused_by_hospitals(dishonest: Any) -> None:
    """The same, where no object of the strategy can have the parameter: no hospital enrols under such terms."""
    protocol = Additive()
    object.__setattr__(protocol, "aggregators", 1)
    with pytest.raises(ConfigurationError, match="aggregators is 1; it must be at least 2: one alone could open every"):
        dishonest(protocol, 5).found()


SHARING = [protocol for protocol in PROTOCOLS + OTHERS if hasattr(protocol, "points_needed")]


@pytest.mark.parametrize("protocol", SHARING, ids=label)
def test_of_two_lists_one_is_signed_by_too_few(protocol: Any) -> None:
    """All splits of a cohort, with as many helpers signing both lists as are promised to be withstood."""
    for hospitals in range(3, 40):
        cohort = range(1, hospitals + 1)
        protocol.check(cohort)
        private, needed = protocol.colluding(cohort), protocol.points_needed(cohort)
        assert private == protocol.withstands(cohort) >= hospitals // 2 and private < needed <= hospitals
        helpers = protocol.withstands(cohort, malicious=True)
        if protocol.server == "semi-honest":
            assert helpers == -1
            continue
        assert private >= helpers >= (hospitals - 1) // 3
        for honest in range(hospitals - helpers + 1):
            assert min(honest + helpers, hospitals - honest) < needed


def test_a_hospital_that_does_not_trust_the_server_is_not_talked_into_trusting_it(dishonest: Any) -> None:
    """The server offers terms in which it is trusted, and would then show two lists of survivors."""
    for protocol in (SecAgg(server="semi-honest"), SecAggPlus(), Shamir(), PackedShamir(), LightSecAgg()):
        server = dishonest(protocol, 5, policy=Policy(simulation=True, trusts_server=False)).found()
        with pytest.raises(PolicyError, match="promises nothing for a cohort of 5 against a malicious server"):
            server.ask(1, protocol.rounds()[0](), server.session())
    for protocol in [*(kind(server="malicious") for kind in (SecAgg, Shamir, PackedShamir, LightSecAgg)), Additive()]:
        server = dishonest(protocol, 5, policy=Policy(simulation=True, trusts_server=False)).found()
        server.ask(1, protocol.rounds()[0](), server.session())


def masked_inputs(federation: LocalFederation, values: int) -> dict[int, Any]:
    """Each hospital's masked input in one round where every hospital's input is zero."""
    sent = {}

    def tap(phase: Any, party: int, request: bytes, answer: Any) -> None:
        message = codec.decode(envelope.read(answer).body, Message)
        if type(message).__name__ == "MaskedInput":
            sent[party] = message.uniform()["vector"]

    federation.tap = tap
    federation.sum({party: np.zeros(values, np.uint64) for party in federation.states})
    federation.tap = None
    return sent


@pytest.mark.slow
@pytest.mark.parametrize("protocol", MASKING, ids=label)
def test_masks_of_rounds_tensors_and_hospitals_are_independent(protocol: Any) -> None:
    """Inputs are zero, so what is sent is the mask: each is uniform, and so is the difference of any two of them."""
    federation = LocalFederation(protocol, 4)
    half = 4000
    rounds = [masked_inputs(federation, 2 * half) for _ in range(2)]
    masks, modulus = {}, rounds[0][1][1]
    for number, sent in enumerate(rounds):
        assert sent.keys() == {1, 2, 3, 4}
        for party, (vector, _) in sent.items():
            masks[number, party, "first tensor"], masks[number, party, "second tensor"] = vector[:half], vector[half:]
    assert not [reason for mask in masks.values() for reason in not_uniform(mask, modulus)]
    names = sorted(masks)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            difference = (masks[one].astype(object) - masks[other].astype(object)) % modulus
            assert not not_uniform(difference.astype(np.uint64), modulus), f"{one} and {other}"
