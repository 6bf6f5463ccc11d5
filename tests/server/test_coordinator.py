"""What the server accepts as an answer, and how it founds an epoch."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import BadMessage, ConfigurationError, DataError, HeadroomError, TooFewParties
from fedsec.local import Fault, LocalFederation, flip
from fedsec.party.party import PartyState
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SERVER, Message, ask, headings, run, total, transpose
from fedsec.server.coordinator import FALSE_ANSWER, Coordinator, Sessions
from fedsec.strategies.paillier import Paillier
from fedsec.strategies.plain import Input, Plain, SendInput
from fedsec.strategies.shamir import Shamir, Shares
from fedsec.wire import codec, envelope
from fedsec.wire.envelope import Header
from fedsec.wire.exchange import NO_ANSWER, Phase, Refusal
from fedsec.wire.membership import Adopted, Enrolled, Epoch, Member
from tests.tiers import slow


def ready(protocol: Any, hospitals: int = 5) -> LocalFederation:
    federation = LocalFederation(protocol, hospitals)
    federation.enrol()
    return federation


def data(hospitals: int = 5) -> dict[int, Any]:
    return {party: np.array([party, 100 * party], np.uint64) for party in range(1, hospitals + 1)}


def tamper(federation: LocalFederation, change: Any) -> None:
    """Every exchange's answers go through `change(phase, requests, answers)`."""
    whole = federation.exchange
    federation.coordinator.exchange = lambda phase, requests: change(phase, requests, list(whole(phase, requests)))


def signed(federation: LocalFederation, party: int, request: bytes, message: Message, **changes: Any) -> bytes:
    """A reply of `party` to `request` with another content, under its own signature."""
    header = envelope.read(request).header
    key = changes.pop("key", SigningKey(codec.decode(federation.states[party], PartyState).identity))
    reply = Header(header.session, header.phase, party, SERVER)
    return envelope.write(replace(reply, **changes), codec.encode(message), key)


def test_who_is_proven_false_is_not_asked_and_no_answer_of_it_is_taken() -> None:
    """Not even one to a request of this very session, which it got by other means."""
    federation = ready(Shamir())
    federation.coordinator.false = frozenset({2})

    def change(phase: Phase, requests: Any, answers: Any) -> Any:
        assert 2 not in requests
        asked = envelope.read(requests[1])
        request = envelope.write(
            replace(asked.header, receiver=2), asked.body, federation.coordinator.sessions.identity
        )
        return [(2, federation.ask(2, request)), *answers] if phase.asks_input else answers

    tamper(federation, change)
    total = federation.sum(data())
    assert total.sum.included == {1, 3, 4, 5} and not total.sum.false
    assert total.incidents == (("release", 2, FALSE_ANSWER), ("ShareInput", 2, "BadMessage: party 2 was not asked"))


@pytest.mark.parametrize("false", [{1}, {1, 2}])
def test_a_cohort_with_more_false_ones_than_may_drop_out_is_not_asked(false: set[int]) -> None:
    federation = ready(Shamir(server="malicious"), 3 if false == {1} else 5)
    federation.coordinator.false = frozenset(false)
    tamper(federation, lambda phase, requests, answers: pytest.fail("somebody was asked"))
    tolerated = {3: "no dropout", 5: "at most 1 dropout"}[federation.hospitals]
    with pytest.raises(ConfigurationError, match=f"shamir with these parameters tolerates {tolerated}, so") as error:
        federation.sum(data(federation.hospitals))
    assert str(error.value).startswith(
        f"proven false, and left out of this cohort of {federation.hospitals}: party {', '.join(map(str, false))}. "
    )
    assert federation.incidents == tuple(("release", party, FALSE_ANSWER) for party in sorted(false))


def forging(federation: LocalFederation, forge: Any, phase_name: str = "SendInput", genuine: bool = True) -> None:
    """Adds `forge(request)` to the answers in party 2's name."""

    def change(phase: Phase, requests: Any, answers: Any) -> Any:
        if phase.name != phase_name:
            return answers
        kept = answers if genuine else [one for one in answers if one[0] != 2]
        return [(2, forge(requests[2])), *kept]

    tamper(federation, change)


@pytest.mark.parametrize("struck", slow(["SendInput", "Enrol", "Adopt"]))
def test_every_flipped_bit_of_a_reply_is_noticed(struck: str) -> None:
    federation = LocalFederation(Plain(), 5)
    flips: list[int] = []

    def change(phase: Phase, requests: Any, answers: Any) -> Any:
        if phase.name != struck:
            return answers
        answer = dict(answers)[2]
        flips.append(8 * len(answer))
        return [*[(2, flip(answer, bit)) for bit in range(8 * len(answer))], *answers]

    tamper(federation, change)
    result = federation.sum(data())
    assert result.sum.vector.tolist() == [15, 1500]  # of all five: one answer held, and it was the genuine one
    assert (federation.coordinator.sessions.epoch, len(flips)) == (1, 1)
    if struck == "SendInput":
        assert [(name, party) for name, party, _ in result.incidents] == flips[0] * [("SendInput", 2)]


def test_two_different_signed_answers_exclude_their_sender() -> None:
    federation = ready(Plain())
    forging(federation, lambda request: signed(federation, 2, request, Input(np.array([7, 7], np.uint64))))
    result = federation.sum(data())
    assert result.sum.included == {1, 3, 4, 5}
    assert result.incidents == (("SendInput", 2, "equivocation: two different signed answers"),)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": SigningKey.generate(os.urandom)}, "AuthenticationError: the signature does not hold"),
        ({"sender": 3}, "BadMessage: a stale or misdirected answer"),
        ({"receiver": 3}, "BadMessage: a stale or misdirected answer"),
        ({"phase": "plain.Other"}, "BadMessage: a stale or misdirected answer: phase plain.Other"),
    ],
)
@pytest.mark.parametrize("genuine", [True, False])
def test_an_answer_that_is_not_what_was_asked_counts_for_nothing(changes: Any, reason: str, genuine: bool) -> None:
    federation = ready(Plain())
    forging(
        federation,
        lambda request: signed(federation, 2, request, Input(np.array([7, 7], np.uint64)), **changes),
        genuine=genuine,
    )
    result = federation.sum(data())
    assert result.sum.included == ({1, 2, 3, 4, 5} if genuine else {1, 3, 4, 5})
    assert [(name, party) for name, party, _ in result.incidents] == [("SendInput", 2)]
    assert result.incidents[0][2].startswith(reason)


def test_nobody_joins_in_the_middle_of_a_round() -> None:
    """An Enrolled message proves the identity inside it, which anybody can make: it answers Enrol, and nothing else."""
    federation, mallory = ready(Plain()), SigningKey.generate(os.urandom)

    def forge(request: bytes) -> bytes:
        session = envelope.read(request).header.session
        epoch = Epoch.of(session, federation.coordinator.sessions.identity.public)
        statement = Member.statement(2, epoch, bytes(32))
        member = Member(mallory.public, bytes(32), mallory.sign(statement))
        return signed(federation, 2, request, Enrolled(member), key=mallory)

    forging(federation, forge)
    result = federation.sum(data())
    assert result.sum.included == {1, 2, 3, 4, 5}
    assert "AuthenticationError" in result.incidents[0][2]


def test_an_answer_to_enrol_that_is_none() -> None:
    federation = LocalFederation(Plain(), 5)
    forging(federation, lambda request: signed(federation, 2, request, Adopted()), "Enrol", genuine=False)
    federation.enrol()
    assert sorted(federation.coordinator.roster) == [1, 3, 4, 5]


def test_a_reply_of_another_type_ends_the_round_and_names_its_sender() -> None:
    federation = ready(Plain())
    forging(federation, lambda request: signed(federation, 2, request, Shares({})), genuine=False)
    with pytest.raises(BadMessage, match="phase SendInput: party 2 sent Shares, Input was expected"):
        federation.sum(data())


def test_only_pinned_identities_join() -> None:
    federation = LocalFederation(Plain(), 5)
    identities = {
        party: SigningKey(codec.decode(kept, PartyState).identity).public for party, kept in federation.states.items()
    }
    pins = set(identities.values()) - {identities[4]}
    led = Coordinator(Plain(), federation.exchange, pins=pins)
    led.enrol([1, 2, 3, 4, 5])
    assert sorted(led.roster) == [1, 2, 3, 5]
    led = Coordinator(Plain(), federation.exchange, pins=[identities[1]], sessions=led.sessions)
    with pytest.raises(
        TooFewParties, match=r"phase Enrol: 1 of 5 .*party 2, 3, 4, 5: Enrol: .*its identity is not pinned"
    ):
        led.enrol([1, 2, 3, 4, 5])
    assert not led.roster


def test_sessions_rise_over_coordinators_that_share_them() -> None:
    federation = ready(Plain())
    first = federation.coordinator
    second = Coordinator(Plain(), federation.exchange, sessions=first.sessions)
    second.enrol(sorted(federation.states))
    assert first.sessions.epoch == 2
    stale = Coordinator(Plain(), federation.exchange, sessions=Sessions(first.sessions.identity))
    with pytest.raises(TooFewParties, match="Stale: enrolment into epoch 1; this party has been in epoch 2"):
        stale.enrol(sorted(federation.states))


@pytest.mark.parametrize("strategy", [Plain, *slow([Shamir])])
@pytest.mark.parametrize("kind", ["corrupt-reply", "corrupt-request", "delay", "drop", "lose"])
@pytest.mark.parametrize("phase", ["Enrol", "Adopt"])
def test_faults_at_enrolment_leave_a_federation_of_the_others(strategy: Any, phase: str, kind: Any) -> None:
    federation = LocalFederation(strategy(), 5, faults=[Fault(kind, phase, 3)])
    federation.enrol()
    assert sorted(federation.coordinator.roster) == [1, 2, 4, 5]
    inputs = {party: vector for party, vector in data().items() if party != 3}
    assert federation.sum(inputs).sum.vector.tolist() == [12, 1200]
    with pytest.raises(ConfigurationError, match=r"parties \[3\] are not enrolled"):
        federation.sum(data())


@pytest.mark.parametrize(
    ("protocol", "phase", "parties"),
    [
        (Plain(), "Enrol", (1, 2, 3)),
        (Shamir(), "Adopt", (1, 4, 5)),
        *slow(
            [
                (Paillier(key_bits=2048), "GenerateKey", (1,)),
                (Paillier(key_bits=2048, policy="fast"), "AdoptKey", (2, 3, 4)),
            ]
        ),
    ],
)
def test_a_set_up_that_failed_is_begun_anew(protocol: Any, phase: str, parties: tuple[int, ...]) -> None:
    federation = LocalFederation(protocol, 5, faults=[Fault("drop", phase, party) for party in parties])
    for _ in range(2):
        with pytest.raises(TooFewParties, match=f"phase {phase}"):
            federation.sum(data())
    federation.faults = ()
    assert federation.sum(data()).sum.vector.tolist() == [15, 1500]


def test_what_a_protocol_cannot_serve_is_refused_before_anybody_is_asked() -> None:
    asked: list[Any] = []

    def never(*arguments: Any) -> Any:
        asked.append(arguments)
        return []

    for protocol, parties, kind, text in (
        (Plain(value_bits=60), 9, HeadroomError, "9 values of 60 bits"),
        (Shamir(threshold=9), 5, ConfigurationError, "threshold is 9"),
        (Plain(floor=4), 3, ConfigurationError, "cohort of 3 is below the floor of 4"),
    ):
        led = Coordinator(protocol, never)
        with pytest.raises(kind, match=text):
            led.enrol(range(1, parties + 1))
    federation = ready(Plain(floor=4))
    federation.tap = never
    with pytest.raises(ConfigurationError, match="cohort of 3"):
        federation.sum(data(3))
    assert not asked


def test_refusals_tell_nothing_of_data() -> None:
    assert Refusal.of(DataError("patient 17")) == Refusal("DataError")
    assert Refusal.of(ValueError("patient 17")) == Refusal("ValueError")
    assert Refusal.of(BadMessage("of 3 bytes")) == Refusal("BadMessage: of 3 bytes")


def raised(make: Any, cause: Exception, suppressed: bool = False) -> Any:
    """The error that `make` builds while `cause` is handled."""
    try:
        try:
            raise cause
        except Exception as error:
            made = make(error)
            if suppressed:
                raise made from None
            raise made from error
    except Exception as error:
        return error


def test_refusals_repeat_nothing_that_another_library_said() -> None:
    missing = FileNotFoundError(2, "No such file or directory", "/data/ward.csv")
    for cause in (
        ValueError("row 17 is odd"),
        missing,
        KeyError("row 17"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x17"),
    ):
        for suppressed in (False, True):
            error = raised(lambda error: ConfigurationError(f"it failed: {error}"), cause, suppressed)
            assert Refusal.of(error) == Refusal("ConfigurationError")
            kept = raised(lambda error: ConfigurationError("it failed, so install it"), cause, suppressed)
            assert Refusal.of(kept) == Refusal("ConfigurationError: it failed, so install it")
            said = raised(
                lambda error: ConfigurationError(f"it failed: {error}", public="it failed"), cause, suppressed
            )
            assert Refusal.of(said) == Refusal("ConfigurationError: it failed")
    named = raised(lambda error: BadMessage(f"{error.filename} is missing"), missing)
    assert Refusal.of(named) == Refusal("BadMessage")
    deep = raised(lambda error: BadMessage(f"in it: {error}"), raised(lambda error: BadMessage(str(error)), missing))
    assert Refusal.of(deep) == Refusal("BadMessage")
    ours = raised(lambda error: BadMessage(f"in it: {error}"), ConfigurationError("clip is 0"))
    assert Refusal.of(ours) == Refusal("BadMessage: in it: clip is 0")


def test_in_a_simulation_a_refusal_tells_everything() -> None:
    error = DataError("row 17")
    assert Refusal.of(error, whole=True) == Refusal("DataError: row 17")
    error.__cause__ = ValueError("of patient 4711")
    assert Refusal.of(error, whole=True) == Refusal("DataError: row 17: of patient 4711")
    assert Refusal.of(ValueError(), whole=True) == Refusal("ValueError")


def test_a_round_that_failed_says_what_went_wrong_with_whom() -> None:
    federation = ready(Shamir())
    assert federation.coordinator.incidents == ()
    federation.faults = [Fault("drop", "ShareInput", party, 1) for party in (1, 2, 4)]
    with pytest.raises(TooFewParties):
        federation.sum(data())
    assert federation.coordinator.incidents == tuple(("ShareInput", party, NO_ANSWER) for party in (1, 2, 4))
    federation.faults = [Fault("drop", "Enrol", 5), Fault("lose", "Adopt", 2)]
    federation.enrol()
    assert set(federation.coordinator.incidents) == {("Enrol", 5, NO_ANSWER), ("Adopt", 2, NO_ANSWER)}
    assert set(federation.coordinator.roster) == {1, 3, 4}


def test_flows() -> None:
    closed = []

    def flow() -> Any:
        try:
            answers = yield from ask({1: SendInput(), 2: SendInput()}, Input, 1)
            return sorted(answers)
        finally:
            closed.append(True)

    reply = Input(np.zeros(1, np.uint64))
    assert run(flow(), lambda requests: {2: reply, 9: reply}) == [2]  # 9 was not asked
    with pytest.raises(ZeroDivisionError):
        run(flow(), lambda requests: 1 / 0)  # type: ignore[arg-type, return-value]
    assert closed == [True, True]
    assert transpose({1: {2: "a", 3: "b"}, 2: {3: "c"}}) == {2: {1: "a"}, 3: {1: "b", 2: "c"}}
    with pytest.raises(BadMessage, match=r"shapes \(\) and \(2,\)"):
        total([np.zeros(2, np.uint64), np.zeros((), np.uint64)])
    with pytest.raises(BadMessage, match="no vector"):
        total([])
    with pytest.raises(ConfigurationError, match="does not open with a 'Reference' line"):
        headings(type("Undocumented", (Plain,), {"__module__": __name__}))
