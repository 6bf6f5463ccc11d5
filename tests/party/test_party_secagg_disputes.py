"""Disputes under secagg before a dishonest server: what a hospital opens, and into how many vectors it puts x."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedsec.errors import OutOfPhase, PolicyError
from fedsec.party.party import PartyState
from fedsec.primitives.key_agreement import AgreementKey
from fedsec.primitives.prg import masks_into
from fedsec.protocol import State
from fedsec.protocol.complaints import Complaint, Opening, Reopen, Unopened
from fedsec.protocol.consistency import ConsistencyCheck
from fedsec.strategies import secagg
from fedsec.strategies.secagg import Complained, MaskedInput, MaskInput, MaskReopened, Progress, SecAgg, Unmask
from fedsec.wire import codec
from tests.party.test_party_secagg import Round
from tests.strategies.corrupt_parties import founded

EVERYONE = frozenset(range(1, 7))
NOBODY: frozenset[int] = frozenset()


@pytest.fixture
def lead() -> Round:
    """Before six hospitals that guard against it, five of whom recover a secret; all have shared their secrets."""
    return Round(founded(SecAgg(), 6)).advertise().share()


@pytest.fixture
def trusted() -> Round:
    """The same under a server that is trusted: four recover a secret."""
    return Round(founded(SecAgg(server="semi-honest"), 6)).advertise().share()


def me(lead: Round, party: int) -> Any:
    return lead.server.context_of(party, lead.session, step=secagg.ShareKeys)


def inner(lead: Round, party: int) -> Any:
    state = lead.server.state(party)
    return codec.decode(state.within, State)


def mask(lead: Round, party: int, spoilt: Mapping[int, bytes] = {}) -> Any:
    return lead.ask(party, MaskInput(lead.inbox(party) | dict(spoilt)))


def body(lead: Round, sender: int, receiver: int) -> bytes:
    seal = lead.outboxes[sender][receiver]
    opened: bytes = me(lead, receiver).unseal(sender, seal, secagg.ShareKeys, secagg.SHARES)
    return opened


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def reopening(lead: Round, accused: int, receivers: Collection[int], values: int = 2) -> Reopen:
    """A request of which every complaint holds; the receivers help this server."""
    sealed = {to: lead.outboxes[accused][to] for to in receivers}
    signatures = {to: me(lead, to).sign(Unopened(accused, digest(seal), values)) for to, seal in sealed.items()}
    return Reopen(sealed, signatures, dict.fromkeys(sealed, values))


def bodies(lead: Round, receiver: int, *senders: int) -> dict[str, dict[int, bytes]]:
    """What these opened to a receiver, under their own signatures."""
    shown = {sender: body(lead, sender, receiver) for sender in senders}
    signed = {sender: me(lead, sender).sign(Opening(receiver, digest(data))) for sender, data in shown.items()}
    return {"bodies": shown, "openings": signed}


def unmasked(lead: Round, party: int, reply: MaskedInput) -> list[int]:
    """The input, once all masks of this party are taken away by its own secrets."""
    state = inner(lead, party)
    seeds = pair_masks(lead, party, reply.partners)
    added, subtracted = secagg._by_sign(party, seeds)
    vector = reply.vector.copy()
    masks_into(vector, subtracted, [secagg._own_mask(state.seed, reply.context), *added])
    return [int(value) for value in vector]


def pair_masks(lead: Round, party: int, others: Collection[int]) -> dict[int, bytes]:
    own, context = AgreementKey(inner(lead, party).key), me(lead, party).context
    return {other: secagg._shared_mask(own, lead.keys[other].public, context) for other in sorted(others)}


def test_what_is_opened_is_what_was_sealed_to_who_complained_and_no_key(trusted: Round) -> None:
    opened = trusted.ask(3, reopening(trusted, 3, [1, 2]))
    assert opened.bodies == {to: body(trusted, 3, to) for to in (1, 2)}
    assert inner(trusted, 3).key not in b"".join(opened.bodies.values())
    for to, data in opened.bodies.items():
        me(trusted, to).verify(3, Opening(to, digest(data)), opened.signatures[to])


def test_seals_are_opened_to_fewer_than_recover_a_secret(lead: Round, trusted: Round) -> None:
    for led, most in ((lead, 3), (trusted, 3)):
        protocol = led.server.protocol
        assert most == protocol.openable(EVERYONE) == protocol.withstands(EVERYONE, protocol.server == "malicious")
        assert most < protocol.shares_needed(EVERYONE)
        kept = led.server.federation.states[6]
        assert len(led.ask(6, reopening(led, 6, range(1, most + 1))).bodies) == most
        led.server.federation.states[6] = kept
        with pytest.raises(PolicyError, match=f"{most + 1} parties complain; this party opens its seals to {most}"):
            led.ask(6, reopening(led, 6, range(1, most + 2)))


def test_a_server_that_spoils_a_seal_gets_nothing_opened(lead: Round) -> None:
    true = lead.outboxes[3][2]
    spoilt = true[:-1] + bytes([true[-1] ^ 1])
    complaint = mask(lead, 2, {3: spoilt})
    assert isinstance(complaint, Complaint) and complaint.digests == {3: digest(spoilt)}
    kept = lead.server.federation.states[3]
    for shown in (true, spoilt):
        lead.server.federation.states[3] = kept
        with pytest.raises(PolicyError, match="the complaint of party 2 does not hold"):
            lead.ask(3, Reopen({2: shown}, {2: complaint.signatures[3]}, {2: complaint.values}))
    for wrong in (reopening(lead, 3, [2], values=1), reopening(lead, 3, [2], values=3)):
        lead.server.federation.states[3] = kept
        with pytest.raises(PolicyError, match="the complaint of party 2 does not hold"):
            lead.ask(3, wrong)
    assert lead.ask(2, MaskReopened(NOBODY)).partners == EVERYONE - {2, 3}


def test_who_complained_masks_its_input_once_with_those_whose_shares_it_has(lead: Round) -> None:
    assert isinstance(mask(lead, 2, {3: b"", 6: b""}), Complaint)
    assert isinstance(inner(lead, 2), Complained)
    reply = lead.ask(2, MaskReopened(NOBODY, **bodies(lead, 2, 3, 6)))
    assert reply.partners == EVERYONE - {2}
    assert unmasked(lead, 2, reply) == lead.server.inputs[2].tolist()
    assert type(inner(lead, 2)) is Progress and inner(lead, 2).masked
    for again in (MaskReopened(NOBODY), MaskInput(lead.inbox(2))):
        with pytest.raises(OutOfPhase):
            lead.ask(2, again)


def test_what_is_reopened_is_kept_and_opened_at_the_end(lead: Round) -> None:
    mask(lead, 2, {3: b""})
    lead.masked = {party: mask(lead, party) for party in sorted(EVERYONE - {2})}
    lead.masked[2] = lead.ask(2, MaskReopened(NOBODY, **bodies(lead, 2, 3)))
    lead.sign()
    assert lead.unmask(2).seeds[3] == body(lead, 3, 2)[secagg.SHARE_BYTES :]


def test_a_body_that_its_sender_did_not_sign_or_that_is_no_share_is_not_taken(lead: Round) -> None:
    mask(lead, 2, {3: b""})
    kept, right = lead.server.federation.states[2], bodies(lead, 2, 3)
    data = right["bodies"][3]
    forged: list[dict[str, Any]] = [
        {"bodies": {3: data}},
        {"bodies": {3: data}, "openings": {3: me(lead, 2).sign(Opening(2, digest(data)))}},
        {"bodies": {3: data}, "openings": {3: me(lead, 3).sign(Opening(1, digest(data)))}},
        {"bodies": {3: data}, "openings": {3: me(lead, 3).sign(Opening(2, digest(data + b".")))}},
        *(
            {"bodies": {3: other}, "openings": {3: me(lead, 3).sign(Opening(2, digest(other)))}}
            for other in (data + b".", data[:-8], b"\xff" * len(data))
        ),
    ]
    for given in forged:
        lead.server.federation.states[2] = kept
        reply = lead.ask(2, MaskReopened(NOBODY, **given))
        assert reply.partners == EVERYONE - {2, 3} and unmasked(lead, 2, reply) == lead.server.inputs[2].tolist()
    lead.server.federation.states[2] = kept
    assert lead.ask(2, MaskReopened(NOBODY, **right)).partners == EVERYONE - {2}


def test_a_share_that_opened_is_not_replaced(lead: Round) -> None:
    mask(lead, 2, {3: b""})
    other = body(lead, 1, 2)
    signed = me(lead, 4).sign(Opening(2, digest(other)))
    reply = lead.ask(2, MaskReopened(NOBODY, bodies={4: other}, openings={4: signed}))
    assert inner(lead, 2).shares[4] == body(lead, 4, 2) and unmasked(lead, 2, reply) == lead.server.inputs[2].tolist()


def test_who_complained_signs_and_opens_nothing_before_it_has_masked_its_input(lead: Round) -> None:
    mask(lead, 2, {3: b""})
    for request in (ConsistencyCheck(EVERYONE), Unmask(EVERYONE, {})):
        with pytest.raises(OutOfPhase, match="this party has masked no input in this session"):
            lead.ask(2, request)


@pytest.mark.parametrize("party", [2, 5])
def test_a_mask_is_taken_away_with_all_that_belongs_to_its_dealer(trusted: Round, party: int) -> None:
    """Whose mask it gives away, that one's shares it never opens: neither as a survivor's nor as another's."""
    mask(trusted, party)
    given = trusted.ask(party, MaskReopened(frozenset({3})))
    assert given.seeds == pair_masks(trusted, party, {3})
    with pytest.raises(PolicyError, match=r"parties \[3\] are listed as survivors and shared no keys with this party"):
        trusted.ask(party, Unmask(EVERYONE, {}))
    trusted = Round(trusted.server).advertise().share()
    mask(trusted, party)
    trusted.ask(party, MaskReopened(frozenset({3})))
    opened = trusted.ask(party, Unmask(EVERYONE - {3}, {}))
    assert 3 not in opened.keys and 3 not in opened.seeds


def test_who_complained_does_without_those_who_are_closed(trusted: Round) -> None:
    mask(trusted, 2, {3: b""})
    reply = trusted.ask(2, MaskReopened(frozenset({6}), **bodies(trusted, 2, 3)))
    assert reply.partners == EVERYONE - {2, 6} and 6 not in inner(trusted, 2).shares
    assert unmasked(trusted, 2, reply) == trusted.server.inputs[2].tolist()


@pytest.mark.parametrize("complained", [False, True])
def test_as_many_masks_stay_as_it_takes(trusted: Round, complained: bool) -> None:
    """A server that closes all others would have the input bare."""
    mask(trusted, 2, {3: b""} if complained else {})
    kept = trusted.server.federation.states[2]
    for closed, left in (({4, 5, 6}, 2 if complained else 3), ({1, 4, 5, 6}, 1 if complained else 2)):
        trusted.server.federation.states[2] = kept
        with pytest.raises(PolicyError, match=f"the shares of {left} parties could be opened; 4 are the fewest"):
            trusted.ask(2, MaskReopened(frozenset(closed)))


@pytest.mark.parametrize("complained", [False, True])
def test_only_masks_that_it_shares_are_taken_away(trusted: Round, complained: bool) -> None:
    mask(trusted, 2, {3: b""} if complained else {})
    kept = trusted.server.federation.states[2]
    for closed in ({2}, {99}, {4, 99}, *([{3}] if complained else [])):
        trusted.server.federation.states[2] = kept
        with pytest.raises(PolicyError, match="are to be left out and share no mask with this party"):
            trusted.ask(2, MaskReopened(frozenset(closed)))


def test_who_did_not_complain_gives_its_input_once(lead: Round) -> None:
    """Not even where its state is rolled back to before its answer: two vectors with x would tell of it."""
    with pytest.raises(OutOfPhase, match="this party has masked no input in this session"):
        lead.ask(1, MaskReopened(NOBODY))
    before = lead.server.federation.states[2]
    assert isinstance(mask(lead, 2), MaskedInput)
    answered = lead.server.state(2)
    with pytest.raises(OutOfPhase, match="this party has not complained in this session"):
        lead.ask(2, MaskReopened(NOBODY, **bodies(lead, 2, 3)))
    rolled_back = replace(codec.decode(before, PartyState), progress=answered.progress)
    lead.server.federation.states[2] = codec.encode(rolled_back)
    with pytest.raises(OutOfPhase, match="this party has masked no input in this session"):
        lead.ask(2, MaskReopened(NOBODY))


def test_disputes_are_over_once_survivors_are_signed(lead: Round) -> None:
    lead.mask().sign()
    for party, request in ((1, MaskReopened(frozenset({3}))), (3, reopening(lead, 3, [1]))):
        with pytest.raises(OutOfPhase):
            lead.ask(party, request)


def test_a_list_that_too_few_can_sign_is_signed_by_nobody_who_took_a_mask_away(lead: Round) -> None:
    """Hospitals 1 to 3 gave away their masks with 6: of a list with 6 only 4 to 6 sign, and five must."""
    lead.mask()
    for party in (1, 2, 3):
        lead.ask(party, MaskReopened(frozenset({6})))
        with pytest.raises(PolicyError, match="shared no keys with this party"):
            lead.ask(party, ConsistencyCheck(EVERYONE))
    for party in (4, 5, 6):
        lead.signatures[party] = lead.ask(party, ConsistencyCheck(EVERYONE)).signature
    with pytest.raises(PolicyError, match="3 survivors signed who survived; 5 signatures are needed"):
        lead.ask(4, Unmask(EVERYONE, lead.signatures))


def test_the_state_of_a_dispute_holds_no_input_in_clear(lead: Round) -> None:
    mask(lead, 2, {3: b""})
    state = inner(lead, 2)
    assert "redacted" in repr(state)
    assert not np.array_equal(state.vector, lead.server.inputs[2].astype(np.uint32))
