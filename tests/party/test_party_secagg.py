"""What a hospital under secagg refuses to a dishonest server: whatever would open more, or less, than one sum."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import BadMessage, ConfigurationError, FedsecError, OutOfPhase, PolicyError, TooFewParties
from fedsec.primitives.field import M61
from fedsec.primitives.key_agreement import AgreementKey
from fedsec.protocol.consistency import ConsistencyCheck, Survivors
from fedsec.strategies import secagg
from fedsec.strategies.secagg import (
    AdvertiseKeys,
    Masked,
    MaskInput,
    MaskKey,
    MaskReopened,
    OwnMaskKey,
    SecAgg,
    ShareKeys,
    Unmask,
)

A, B = b"\xaa" * 32, b"\xbb" * 32
"""Two models."""


class Round:
    """One session, led phase by phase by a server that may do as it likes."""

    def __init__(self, server: Any, session: Any = None, parties: Any = None) -> None:
        self.server, self.session = server, session or server.session()
        self.parties = list(parties or self.session.cohort)
        self.keys: dict[int, MaskKey] = {}
        self.shared: dict[int, Any] = {}
        self.outboxes: dict[int, Any] = {}
        self.masked: dict[int, Any] = {}
        self.signatures: dict[int, bytes] = {}

    def ask(self, party: int, message: Any) -> Any:
        return self.server.ask(party, message, self.session)

    def advertise(self) -> Round:
        self.keys = {party: self.ask(party, AdvertiseKeys()) for party in self.parties}
        return self

    def share(self) -> Round:
        self.shared = {party: self.ask(party, ShareKeys(self.keys)) for party in self.parties}
        self.outboxes = {party: reply.outbox for party, reply in self.shared.items()}
        return self

    def inbox(self, party: int) -> dict[int, bytes]:
        return {sender: outbox[party] for sender, outbox in self.outboxes.items() if party in outbox}

    def mask(self, *silent: int) -> Round:
        for party in sorted(set(self.parties) - set(silent)):
            self.masked[party] = self.ask(party, MaskInput(self.inbox(party)))
        return self

    def sign(self, survivors: Any = None) -> Round:
        told = frozenset(survivors or self.masked)
        self.signatures |= {party: self.ask(party, ConsistencyCheck(told)).signature for party in sorted(told)}
        return self

    def unmask(self, party: int, survivors: Any = None) -> Any:
        return self.ask(party, Unmask(frozenset(survivors or self.masked), self.signatures))


@pytest.fixture
def malicious(dishonest: Any) -> Any:
    """Before five hospitals that guard against it: four shares recover a secret."""
    return dishonest(SecAgg()).found()


@pytest.fixture
def semi_honest(dishonest: Any) -> Any:
    """Before five hospitals that trust its word on who survived: three shares recover a secret."""
    return dishonest(SecAgg(server="semi-honest")).found()


def test_of_no_hospital_are_both_shares_given(malicious: Any) -> None:
    """Neither in one answer, whoever is listed as surviving, nor in a second one."""
    lead = Round(malicious).advertise().share().mask(5).sign()
    given = lead.unmask(1)
    assert given.seeds.keys() == {1, 2, 3, 4} and given.keys.keys() == {5}
    for survivors in ([1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 5]):
        with pytest.raises(OutOfPhase):
            lead.unmask(1, survivors)


@pytest.mark.parametrize("repeated", range(5))
def test_no_phase_is_answered_twice(malicious: Any, repeated: int) -> None:
    lead = Round(malicious).advertise()
    again = [lambda: lead.ask(1, AdvertiseKeys())]
    lead.share()
    again.append(lambda: lead.ask(1, ShareKeys(lead.keys)))
    lead.mask()
    again.append(lambda: lead.ask(1, MaskInput(lead.inbox(1))))
    lead.sign()
    again.append(lambda: lead.ask(1, ConsistencyCheck(frozenset(lead.masked))))
    lead.unmask(1)
    again.append(lambda: lead.unmask(1))
    phase = SecAgg().requests().index(SecAgg().rounds()[repeated])
    with pytest.raises(OutOfPhase, match=f"phase {phase + 1} of session .* this party answered 7"):
        again[repeated]()


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_thresholds_that_let_few_open_are_refused_before_a_key_is_sent(dishonest: Any, threshold: int) -> None:
    server = dishonest(SecAgg(threshold=threshold)).found()
    with pytest.raises(ConfigurationError, match=f"threshold is {threshold}; it must exceed two thirds.* of 5"):
        server.ask(1, AdvertiseKeys(), server.session())
    if threshold < 3:
        server = dishonest(SecAgg(threshold=threshold, server="semi-honest")).found()
        with pytest.raises(ConfigurationError, match=f"threshold is {threshold}; it must exceed half.* of 5"):
            server.ask(1, AdvertiseKeys(), server.session())


def test_keys_that_nobody_signed_for_this_session_do_not_count(malicious: Any) -> None:
    """Replayed from another session, made by the server, or signed by another hospital: their owner is left out."""
    old = Round(malicious).advertise()
    made = AgreementKey(os.urandom(32)).public
    for forge in (
        lambda lead: old.keys[2],
        lambda lead: MaskKey(made, lead.keys[2].signature),
        lambda lead: MaskKey(made, bytes(64)),
        lambda lead: MaskKey(made, malicious.context_of(5, lead.session).sign(OwnMaskKey(made))),
        lambda lead: lead.keys[3],
    ):
        lead = Round(malicious).advertise()
        assert lead.ask(1, ShareKeys({**lead.keys, 2: forge(lead)})).outbox.keys() == {3, 4, 5}
        with pytest.raises(PolicyError, match="keys of 3 parties, this one among them; 4 are the fewest"):
            lead.ask(4, ShareKeys({**lead.keys, 2: forge(lead), 1: old.keys[1]}))


def test_the_keys_must_be_those_of_this_cohort_and_no_two_the_same(malicious: Any) -> None:
    def refused(change: dict[int, MaskKey], text: str, *without: int) -> None:
        lead = Round(malicious, malicious.session([1, 2, 3, 4])).advertise()
        keys = {party: key for party, key in {**lead.keys, **change}.items() if party not in without}
        with pytest.raises(PolicyError, match=text):
            lead.ask(1, ShareKeys(keys))

    other = MaskKey(AgreementKey(os.urandom(32)).public, bytes(64))
    refused({5: other}, r"keys of parties \[5\], who are not in this cohort")
    refused({1: other}, "do not contain the one that this party advertised")
    refused({}, "do not contain the one", 1)
    refused({}, "keys of 2 parties, this one among them; 3 are the fewest", 2, 4)
    lead = Round(malicious).advertise()
    copied = MaskKey(lead.keys[3].public, malicious.context_of(2, lead.session).sign(OwnMaskKey(lead.keys[3].public)))
    with pytest.raises(PolicyError, match="two parties advertise the same key"):
        lead.ask(1, ShareKeys({**lead.keys, 2: copied}))


def test_two_models_never_mix(semi_honest: Any, malicious: Any) -> None:
    for server, shown_a, opened in (
        (semi_honest, (1, 2), {3, 4, 5}),
        (semi_honest, (1, 3, 5), {1, 3, 5}),
        (semi_honest, (4,), {1, 2, 3, 5}),
        (malicious, (4,), {1, 2, 3, 5}),
        (malicious, (1, 2), set()),
        (malicious, (1, 3, 5), set()),
    ):
        session = server.session()
        sessions = {party: replace(session, model=A if party in shown_a else B) for party in session.cohort}
        flow = server.protocol.aggregate(session.cohort, None)
        if not opened:
            with pytest.raises(TooFewParties):
                server.run(flow, sessions)
            continue
        result = server.run(flow, sessions)
        assert result.included == opened
        assert result.vector.tolist() == sum(server.inputs[party] for party in opened).tolist()


def test_a_masked_input_of_one_s_own_shares_alone_is_not_sent(malicious: Any) -> None:
    for few in ((), (2,), (2, 3)):
        lead = Round(malicious).advertise().share()
        with pytest.raises(
            PolicyError, match=f"the shares of {len(few) + 1} parties could be opened; 4 are the fewest"
        ):
            lead.ask(1, MaskInput({party: lead.inbox(1)[party] for party in few}))


def test_shares_of_strangers_other_rounds_or_senders_do_not_count(malicious: Any) -> None:
    old, lead = Round(malicious).advertise().share(), Round(malicious).advertise().share()
    inbox = {**lead.inbox(1), 4: lead.inbox(1)[3], 9: lead.inbox(1)[2]}
    assert lead.ask(1, MaskInput(inbox)).digests.keys() == {4}
    assert lead.ask(1, MaskReopened(frozenset())).partners == {2, 3, 5}
    lead = Round(malicious).advertise().share()
    assert lead.ask(1, MaskInput({**lead.inbox(1), 2: old.inbox(1)[2], 3: b""})).digests.keys() == {2, 3}
    with pytest.raises(PolicyError, match="the shares of 3 parties"):
        lead.ask(1, MaskReopened(frozenset()))


@pytest.mark.parametrize("survivors", [(1, 2, 3), (2, 3, 4, 5), (), (1,)])
def test_survivors_are_at_least_t_with_oneself(malicious: Any, survivors: tuple[int, ...]) -> None:
    for ask in (
        lambda lead: lead.ask(1, ConsistencyCheck(frozenset(survivors))),
        lambda lead: lead.ask(1, Unmask(frozenset(survivors), {})),
    ):
        with pytest.raises(
            PolicyError, match=f"{len(survivors)} survivors; 4 of this cohort, with this party, are the fewest"
        ):
            ask(Round(malicious).advertise().share().mask())


def test_nobody_survives_whose_keys_this_party_does_not_have(malicious: Any) -> None:
    lead = Round(malicious, malicious.session([1, 2, 3, 4])).advertise().share().mask()
    with pytest.raises(PolicyError, match=r"parties \[5\] are listed as survivors and shared no keys"):
        lead.ask(1, ConsistencyCheck(frozenset({1, 2, 3, 4, 5})))


def test_two_quorums_are_seen_through(malicious: Any) -> None:
    """Whoever is told of other survivors than the rest finds too few signatures on its own list."""
    lead = Round(malicious).advertise().share().mask()
    one, other = frozenset({1, 2, 3, 4}), frozenset({2, 3, 4, 5})
    for party in (1, 2, 3):
        lead.signatures[party] = lead.ask(party, ConsistencyCheck(one)).signature
    for party in (4, 5):
        lead.signatures[party] = lead.ask(party, ConsistencyCheck(other)).signature
    with pytest.raises(PolicyError, match="3 survivors signed who survived; 4 signatures are needed"):
        lead.unmask(1, one)  # 4 signed another list
    with pytest.raises(PolicyError, match="the survivors are not those that this party signed"):
        lead.unmask(2, other)
    with pytest.raises(PolicyError, match="the survivors are not those that this party signed"):
        lead.unmask(3, {1, 2, 3, 4, 5})
    lead.signatures = {party: lead.signatures[party] for party in (1, 2, 3)}
    lead_again = Round(malicious).advertise().share().mask()
    lead_again.sign()
    lead_again.signatures = {party: lead_again.signatures[party] for party in (1, 2, 3)}
    with pytest.raises(PolicyError, match="3 survivors signed who survived; 4 signatures are needed"):
        lead_again.unmask(1)


def test_signatures_are_of_this_session_and_of_their_signers(malicious: Any) -> None:
    everyone = frozenset({1, 2, 3, 4, 5})
    old = Round(malicious).advertise().share().mask().sign()
    for forge in (
        lambda lead: {**lead.signatures, 3: old.signatures[3]},
        lambda lead: {**lead.signatures, 3: lead.signatures[2]},
        lambda lead: {**lead.signatures, 3: malicious.context_of(4, lead.session).sign(Survivors(everyone))},
    ):
        lead = Round(malicious).advertise().share().mask().sign()
        forged = forge(lead)
        lead.signatures = {party: forged[party] for party in (1, 2, 3, 4)}
        with pytest.raises(PolicyError, match="3 survivors signed who survived; 4 signatures are needed"):
            lead.unmask(1)
        lead.signatures = forged  # four others did sign
        assert lead.unmask(2).seeds.keys() == everyone


@pytest.mark.slow
def test_what_a_server_collects_with_two_quorums_opens_no_hospital_alone(malicious: Any) -> None:
    """All splits of who is told that hospital 5 survived: at no time are both of its secrets recovered."""
    for told in range(1 << 4):
        lead = Round(malicious).advertise().share().mask()
        seeds, keys = {}, {}
        for party in range(1, 5):
            survivors = frozenset({1, 2, 3, 4, 5} if told >> (party - 1) & 1 else {1, 2, 3, 4})
            try:
                lead.signatures[party] = lead.ask(party, ConsistencyCheck(survivors)).signature
                answer = lead.unmask(party, survivors)
            except FedsecError:
                continue
            seeds.update({party: answer.seeds[5]} if 5 in answer.seeds else {})
            keys.update({party: answer.keys[5]} if 5 in answer.keys else {})
        assert not seeds or not keys


def test_keys_that_are_none_leave_their_owner_out(semi_honest: Any) -> None:
    """A point of low order, or three bytes, duly signed."""
    for public in (bytes(32), b"key"):
        lead = Round(semi_honest).advertise()
        signature = semi_honest.context_of(4, lead.session).sign(OwnMaskKey(public))
        keys = {**lead.keys, 4: MaskKey(public, signature)}
        for party in (1, 2, 3, 5):
            lead.outboxes[party] = lead.ask(party, ShareKeys(keys)).outbox
        lead.outboxes[4] = lead.ask(4, ShareKeys(lead.keys)).outbox
        assert lead.ask(1, MaskInput(lead.inbox(1))).partners == {2, 3, 5}


def test_masks_are_of_one_pair_and_one_context(semi_honest: Any) -> None:
    """The same keys give another mask wherever anything about the session differs: the model, say."""
    session = semi_honest.session()
    contexts = [semi_honest.context_of(1, replace(session, model=model)).context for model in (A, B)]
    one, two, three = (AgreementKey(os.urandom(32)) for _ in range(3))
    masks = [secagg._shared_mask(one, other.public, context) for other in (two, three) for context in contexts]
    masks += [secagg._own_mask(bytes(32), context) for context in contexts]
    assert len(set(masks)) == 6
    assert secagg._shared_mask(two, one.public, contexts[0]) == masks[0]


def unmasked(lead: Round, openers: Any) -> Any:
    """The honest server's end of a round that was led so far, with the answers of `openers`."""
    protocol, cohort = lead.server.protocol, lead.session.cohort
    opened = {party: lead.unmask(party) for party in openers}
    return lambda: protocol._unmask(cohort, Masked(lead.masked, {}), lead.shared, lead.keys, opened), opened


@pytest.mark.parametrize("openers", [(1, 2, 3), (1, 2, 3, 4)])
def test_false_shares_are_noticed_and_void_the_round(semi_honest: Any, openers: tuple[int, ...]) -> None:
    """With as many answers as are needed, and with more: no false share gives a wrong sum."""
    lead = Round(semi_honest).advertise().share().mask(5)
    finish, opened = unmasked(lead, openers)
    assert finish().tolist() == sum(semi_honest.inputs[party] for party in (1, 2, 3, 4)).tolist()
    honest = opened[2]
    for kind in ("seeds", "keys"):
        for owner, share in getattr(honest, kind).items():
            false = M61.dump((M61.load(share, 5) + np.uint64(1)) % np.uint64(M61.p))
            opened[2] = replace(honest, **{kind: {**getattr(honest, kind), owner: false}})
            with pytest.raises(BadMessage, match=f"party {owner}'s (seed|key) do not give|do not lie|is not 32 bytes"):
                finish()
    opened[2] = replace(honest, seeds={party: honest.seeds[party] for party in (1, 2, 3)})
    if len(openers) == 3:
        with pytest.raises(TooFewParties, match="shares of party 4's secret: 2 of 2 parties answered and 3"):
            finish()


def test_only_survivors_sign_who_survived(malicious: Any) -> None:
    lead = Round(malicious).advertise().share().mask(5).sign()
    signatures = {party: lead.signatures[party] for party in (1, 2, 3)}
    lead.signatures = {**signatures, 5: malicious.context_of(5, lead.session).sign(Survivors(frozenset({1, 2, 3, 4})))}
    with pytest.raises(PolicyError, match="3 survivors signed who survived; 4 signatures are needed"):
        lead.unmask(1)
