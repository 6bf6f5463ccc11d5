"""A signature is checked, and a size, before anything that came is decoded: at hospitals and at the server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import AuthenticationError, BadMessage, FedsecError, OutOfPhase, PolicyError
from fedsec.local import LocalFederation
from fedsec.party.party import Party, PartyState
from fedsec.party.policy import Policy
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SERVER, Message
from fedsec.strategies.paillier import Paillier
from fedsec.strategies.plain import Plain
from fedsec.strategies.secagg import SecAgg
from fedsec.strategies.shamir import Shamir, ShareInput, SumShares
from fedsec.wire import caps, codec, envelope
from fedsec.wire.envelope import NO_HASH, SETUP, Header, Session
from fedsec.wire.exchange import Phase
from fedsec.wire.membership import Adopt, Enrol

SESSION = Session(b"run", 7, b"nonce", 7, SETUP, (1, 2, 3, 4, 5), NO_HASH, NO_HASH, NO_HASH)
BAIT = b"\x93" + b"\x80" * 100_000
"""A body that is never decoded."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """All bytes that the codec reads."""
    seen: list[bytes] = []

    class Watched(codec._Reader):
        def __init__(self, data: Any, items: int) -> None:
            seen.append(bytes(data))
            super().__init__(data, items)

    monkeypatch.setattr(codec, "_Reader", Watched)
    yield seen


def refusing(party: Party, data: bytes) -> FedsecError:
    with pytest.raises(FedsecError) as refused:
        party.respond(data, lambda *_: pytest.fail("an input was asked for"))
    return refused.value


def forged(phase: str, body: bytes = BAIT, key: SigningKey | None = None, session: Session = SESSION) -> bytes:
    header = Header(session, phase, SERVER, 1)
    return envelope.write(header, body, key or SigningKey.generate(os.urandom))


def party(policy: Policy, **state: Any) -> Party:
    return Party(PartyState(bytes(range(32)), **state), policy, lambda *_: pytest.fail("built"), os.urandom)


@pytest.mark.parametrize("phase", [Enrol.tag, Adopt.tag, ShareInput.tag, "no.phase/1"])
@pytest.mark.parametrize("known", ["pinned", "enrolled with"])
def test_a_hospital_decodes_nothing_that_its_server_did_not_sign(known: str, phase: str, decoded: list[bytes]) -> None:
    key = SigningKey.generate(os.urandom).public
    one = (
        party(Policy(server=key))
        if known == "pinned"
        else party(Policy(simulation=True), server=key, party=1, run=SESSION.run)
    )
    assert isinstance(refusing(one, forged(phase)), AuthenticationError)
    assert decoded == []


def test_a_hospital_without_a_pin_decodes_nothing_outside_of_a_simulation(decoded: list[bytes]) -> None:
    error = refusing(party(Policy()), forged(Enrol.tag))
    assert isinstance(error, PolicyError) and "no server key is pinned" in str(error)
    assert decoded == []


def test_on_first_use_an_offer_is_small_and_nothing_else_is_read(decoded: list[bytes]) -> None:
    """In a simulation the key that is believed is in the offer: only an offer is read, and only a small one."""
    simulated = party(Policy(simulation=True))
    long = refusing(simulated, forged(Enrol.tag, bytes(caps.OFFER + 1)))
    assert isinstance(long, BadMessage) and f"{caps.OFFER + 1} bytes received; the cap is {caps.OFFER}" in str(long)
    other = refusing(simulated, forged(ShareInput.tag))
    assert isinstance(other, OutOfPhase) and "has not enrolled" in str(other)
    assert BAIT not in decoded and len(decoded) == 2  # two headers


def test_on_first_use_an_offer_is_signed_with_the_key_that_it_names(dishonest: Any) -> None:
    """Whoever relays the server's offer under another key is believed neither now nor later."""
    server = dishonest(Plain())
    server.coordinator.sessions.epoch = 1
    offer = Enrol(server.key.public, server.coordinator.terms)
    with pytest.raises(AuthenticationError, match="signature does not hold"):
        server.ask(1, offer, server.session(stage=SETUP), key=SigningKey.generate(os.urandom))
    assert server.state(1).server == b""
    assert server.ask(1, offer, server.session(stage=SETUP)).member.identity == server.identity(1).public


def test_the_largest_message_is_refused_by_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_BYTES", 1000)
    most = 1000 + envelope._MAX_HEAD
    assert envelope.read(forged(Enrol.tag, bytes(900))).body == bytes(900)
    with pytest.raises(BadMessage, match=f"{most + 1} bytes received; the cap is {most}"):
        envelope.read(bytes(most + 1))


# The server


def spoiling(federation: LocalFederation, phase_name: str, spoil: Callable[[bytes], bytes]) -> None:
    """In this phase party 2's answer is `spoil(request)`."""
    whole = federation.exchange

    def exchange(phase: Phase, requests: Any) -> Any:
        answers = list(whole(phase, requests))
        if phase.name != phase_name:
            return answers
        return [(party, spoil(requests[party]) if party == 2 else answer) for party, answer in answers]

    federation.coordinator.exchange = exchange


def answering(federation: LocalFederation, body: bytes, key: SigningKey | None = None) -> Callable[[bytes], bytes]:
    """Party 2 answers with this body, under its own signature or another."""

    def spoil(request: bytes) -> bytes:
        asked = envelope.read(request).header
        own = SigningKey(codec.decode(federation.states[2], PartyState).identity)
        return envelope.write(replace(asked, sender=2, receiver=SERVER), body, key or own)

    return spoil


@pytest.mark.parametrize("phase", ["Adopt", "AdvertiseKeys", "ShareKeys", "MaskInput", "ConsistencyCheck", "Unmask"])
def test_the_server_decodes_nothing_that_the_party_did_not_sign(phase: str, decoded: list[bytes]) -> None:
    federation = LocalFederation(SecAgg(), 5)
    spoiling(federation, phase, answering(federation, BAIT, SigningKey.generate(os.urandom)))
    federation.sum({one: [one] for one in range(1, 6) if one != 2 or phase != "Adopt"})
    if phase != "Adopt":
        ((name, sender, reason),) = federation.incidents
        assert (name, sender) == (phase, 2) and reason.startswith("AuthenticationError: the signature does not hold")
    assert BAIT not in decoded


def test_of_who_enrols_the_server_reads_bytes_of_one_size(decoded: list[bytes]) -> None:
    federation = LocalFederation(Plain(), 5)
    spoiling(federation, "Enrol", answering(federation, bytes(caps.ENROLLED + 1)))
    federation.enrol()
    assert sorted(federation.coordinator.roster) == [1, 3, 4, 5]
    assert bytes(caps.ENROLLED + 1) not in decoded


@pytest.mark.parametrize("phase", ["Adopt", "AdvertiseKeys", "ShareKeys", "MaskInput", "ConsistencyCheck", "Unmask"])
def test_the_server_decodes_no_answer_that_is_too_long_for_its_phase(phase: str, decoded: list[bytes]) -> None:
    federation = LocalFederation(SecAgg(), 5)
    federation.enrol()
    most = (
        caps.ADOPTED
        if phase == "Adopt"
        else 5 * (4096 + (24 * 7 if phase not in ("AdvertiseKeys", "ShareKeys") else 0))
    )
    bait = bytes(most + 1)
    spoiling(federation, phase, answering(federation, bait))
    if phase == "Adopt":
        federation.enrol()
        assert 2 not in federation.coordinator.roster
    else:
        federation.sum({one: [one] * 7 for one in range(1, 6)})
        assert (phase, 2, f"BadMessage: {most + 1} bytes received; the cap is {most}") in federation.incidents
    assert bait not in decoded


def test_a_hospital_decodes_no_request_that_is_too_long_for_its_phase(dishonest: Any, decoded: list[bytes]) -> None:
    server = dishonest(Shamir()).found()

    def send(session: Session, phase: type[Message], body: bytes) -> Any:
        return server.send(1, envelope.write(Header(session, phase.tag, SERVER, 1), body, server.key))

    session, short, long = server.session(), 5 * 4096, 5 * (4096 + 24 * 2)  # two values are each party's input
    with pytest.raises(BadMessage, match=f"{short + 1} bytes received; the cap is {short}"):
        send(session, ShareInput, bytes(short + 1))
    assert server.ask(1, ShareInput(), session)
    with pytest.raises(BadMessage, match=f"{long + 1} bytes received; the cap is {long}"):
        send(session, SumShares, bytes(long + 1))
    assert bytes(short + 1) not in decoded and bytes(long + 1) not in decoded
    session = server.session()  # where it gave no input, it does not know how long one is
    with pytest.raises(BadMessage, match="no record"):
        send(session, SumShares, bytes(long + 1))


def test_how_long_a_message_may_be_is_stated_by_the_strategy() -> None:
    protocol, clients = SecAgg(), range(1, 6)
    advertise, share, mask, *_, unmask = protocol.rounds()
    for phase in (advertise, share):
        for reply in (False, True):
            assert caps.message(protocol, phase, clients, None, reply=reply) == protocol.message_bytes(clients, 0)
    assert caps.message(protocol, mask, clients, 1000, reply=False) == protocol.message_bytes(clients, 0)
    for phase, reply in ((mask, True), (unmask, False), (unmask, True)):
        assert caps.message(protocol, phase, clients, 1000, reply=reply) == protocol.message_bytes(clients, 1000)
        assert caps.message(protocol, phase, clients, None, reply=reply) == codec.MAX_BYTES
        assert caps.message(protocol, phase, clients, 1 << 40, reply=reply) == codec.MAX_BYTES


def test_a_strategy_s_own_set_up_has_room_for_keys_and_proofs() -> None:
    protocol = Paillier()
    for phase in protocol.setup_phases:
        for reply in (False, True):
            assert caps.message(protocol, phase, range(1, 6), None, reply=reply) == caps.SETUP
            many = range(1, 1001)
            assert caps.message(protocol, phase, many, None, reply=reply) == protocol.message_bytes(many, 0)


def test_the_sizes_of_enrolment_are_those_of_its_messages(dishonest: Any) -> None:
    server = dishonest(Plain())
    members = server.enrol()
    large = {(1 << 62) + party: member for party, member in members.items()}
    assert len(codec.encode(Adopt(members))) <= caps.roster(5) < len(codec.encode(Adopt(large | {9: members[1]})))
    assert len(codec.encode(Adopt(large))) <= caps.roster(5)
    assert server.adopt(1, members) is not None
    with pytest.raises(BadMessage, match="a roster of"):
        server.send(2, server.request(2, Adopt({**members, **large}), server.session(stage=SETUP)))


def test_sums_of_whole_models_are_within_their_sizes() -> None:
    total = LocalFederation(Shamir(), 5).sum({one: np.full(30_000, one, np.uint64) for one in range(1, 6)})
    assert total.incidents == () and total.sum.vector.tolist() == [15] * 30_000
