"""What hospital, witness and key holder under paillier refuse to a dishonest server."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
import pytest

from fedsec.errors import (
    AuthenticationError,
    BadMessage,
    ConfigurationError,
    FedsecError,
    OutOfPhase,
    PolicyError,
    TooFewParties,
)
from fedsec.party.journal import Journal
from fedsec.party.policy import Policy
from fedsec.primitives.blum_modulus import prove
from fedsec.primitives.ciphertexts import Ciphertexts, from_bytes, to_bytes
from fedsec.primitives.packing import pack
from fedsec.primitives.paillier import PublicKey, encrypt, noise_base
from fedsec.strategies._key_holder import INPUT, SUM, AdoptKey, Encrypt, GenerateKey, Key, Keys, Open, Product, Witness
from fedsec.strategies.paillier import Paillier
from fedsec.wire import codec
from fedsec.wire.envelope import SETUP

A, B = b"\xaa" * 32, b"\xbb" * 32
"""Two models."""


@pytest.fixture
def encrypted(paillier: Any) -> tuple[Any, Any, dict[int, Any]]:
    """A server, a session of all five, and their contributions in it."""
    session = paillier.session()
    return paillier, session, {party: paillier.ask(party, Encrypt(), session) for party in session.cohort}


def key(server: Any) -> PublicKey:
    held: PublicKey = server.protocol._public(kept(server, 2).public)
    return held


def kept(server: Any, party: int) -> Keys:
    """What a party keeps of the set-up."""
    return codec.decode(server.state(party).after_setup, Keys)


def blob_of(server: Any, session: Any, value: int = 7) -> bytes:
    """A contribution of one value that somebody made up: the key is public."""
    slots, public = server.protocol.slot_bits(range(1, 6)), key(server)
    plaintexts = pack(np.array([value], np.uint64), slots, public.plaintext_bits)
    return to_bytes(
        public,
        Ciphertexts(tuple(encrypt(public, plaintexts, os.urandom)), slots, 1, 1, server.context_of(1, session).context),
    )


def test_paillier_an_honest_round_and_a_second_opening(encrypted: Any) -> None:
    server, session, contributions = encrypted
    told = server.ask(2, Witness(contributions), session)
    request = Open(told.sealed, told.product, told.signature)
    assert server.ask(1, request, session).plaintexts
    for party, again in ((1, request), (2, Witness(contributions))):
        with pytest.raises(OutOfPhase, match="this party answered"):
            server.ask(party, again, session)


def test_paillier_nobody_but_the_witness_sees_a_single_ciphertext(encrypted: Any) -> None:
    """Ciphertexts are malleable: a hospital that saw another's could have the key holder open it inside its own."""
    server, session, contributions = encrypted
    told = server.ask(2, Witness(contributions), session)
    assert key(server).fingerprint not in codec.encode(told)  # nor does the server see the sum's
    for sender, contribution in contributions.items():
        assert key(server).fingerprint not in codec.encode(contribution)
        for reader in set(contributions) - {2}:
            with pytest.raises(AuthenticationError):
                server.context_of(reader, session).unseal(sender, contribution.sealed, Encrypt, INPUT)
        opened = server.context_of(2, session).unseal(sender, contribution.sealed, Encrypt, INPUT)
        assert key(server).fingerprint in opened


def test_paillier_opens_only_what_the_witness_signed(encrypted: Any) -> None:
    server, session, contributions = encrypted
    told = server.ask(2, Witness({party: contributions[party] for party in (1, 2, 3)}), session)
    single = blob_of(server, session)
    sealed = server.context_of(2, session, Witness).seal(1, single, SUM, os.urandom)  # as if the witness had sent it
    other = server.context_of(3, session, Witness).seal(1, single, SUM, os.urandom)
    forged = Product(hashlib.sha256(single).digest(), frozenset({1, 2, 3}))
    larger = replace(told.product, included=frozenset({1, 2, 3, 4}))
    cases = [
        (sealed, told.product, told.signature, "not the one that the witness signed"),
        (other, told.product, told.signature, "seal"),
        (contributions[4].sealed, told.product, told.signature, "seal"),
        (single, told.product, told.signature, "seal"),
        (sealed, forged, told.signature, "signature does not hold"),
        (sealed, forged, b"", "signature: 0 bytes"),
        (sealed, forged, server.key.sign(b"anything"), "signature does not hold"),
        (sealed, forged, contributions[4].signature, "signature does not hold"),
        (told.sealed, larger, told.signature, "signature does not hold"),
    ]
    for blob, claimed, signature, text in cases:
        kept = dict(server.federation.states)  # a refusal ends the phase for the session: each case starts anew
        with pytest.raises(AuthenticationError, match=text):
            server.ask(1, Open(blob, claimed, signature), session)
        server.federation.states = kept


def test_paillier_opens_nothing_of_another_session_or_below_the_floor(encrypted: Any) -> None:
    server, session, contributions = encrypted
    told = server.ask(2, Witness(contributions), session)
    request = Open(told.sealed, told.product, told.signature)
    for other in (replace(session, model=A), server.session(), server.session(stage="evaluate")):
        with pytest.raises(FedsecError, match=r"signature does not hold|second session"):
            server.ask(1, request, other)
    for included, text in (
        (frozenset({1, 2}), "sum of 2 inputs is below the floor of 3"),
        (frozenset(), "of 0 inputs"),
    ):
        with pytest.raises(PolicyError, match=text):
            server.ask(1, replace(request, product=replace(told.product, included=included)), server.session())
    with pytest.raises(PolicyError, match=r"parties \[5, 9\] are not in this round's cohort"):
        beyond = replace(told.product, included=frozenset({1, 2, 3, 5, 9}))
        server.ask(1, replace(request, product=beyond), server.session([1, 2, 3, 4]))


def test_paillier_the_witness_leaves_out_what_does_not_hold(encrypted: Any) -> None:
    server, session, _ = encrypted
    old_session = server.session()
    old = {party: server.ask(party, Encrypt(), old_session) for party in session.cohort}
    session = server.session()
    fresh = {party: server.ask(party, Encrypt(), session) for party in session.cohort}
    cases: list[tuple[dict[int, Any], set[int]]] = [
        ({**fresh, 4: fresh[3]}, {4}),  # one input under two ids
        ({**fresh, 3: fresh[4], 4: fresh[3]}, {3, 4}),
        ({**fresh, 4: replace(fresh[4], signature=b"")}, {4}),
        ({**fresh, 4: replace(fresh[4], signature=fresh[3].signature)}, {4}),
        ({**fresh, 4: old[4]}, {4}),  # of another round
        ({**fresh, 4: replace(fresh[4], sealed=old[4].sealed)}, {4}),
        ({**fresh, 4: replace(fresh[4], sealed=blob_of(server, session))}, {4}),  # not sealed at all
    ]
    for changed, out in cases:
        kept = dict(server.federation.states)
        told = server.ask(2, Witness(changed), session)
        assert told.product.included == {1, 2, 3, 4, 5} - out
        product = server.context_of(1, session).unseal(2, told.sealed, Witness, SUM)
        assert from_bytes(key(server), product).addends == 5 - len(out)
        server.federation.states = kept
    for changed, text in (
        ({1: fresh[1], 2: fresh[2]}, "sum of 2 inputs is below the floor of 3"),
        ({}, "sum of 0 inputs"),
        ({**fresh, 3: old[3], 4: old[4], 5: old[5]}, "sum of 2 inputs is below the floor of 3"),
        ({**fresh, 9: fresh[4]}, r"parties \[9\] are not in this round's cohort"),
    ):
        kept = dict(server.federation.states)
        with pytest.raises(PolicyError, match=text):
            server.ask(2, Witness(changed), session)
        server.federation.states = kept


@pytest.mark.parametrize("shown_a", [*combinations(range(1, 6), 1), (2, 3), (1, 2, 3, 4), (1, 2, 5)])
def test_paillier_two_models_are_never_mixed(paillier: Any, shown_a: tuple[int, ...]) -> None:
    session = paillier.session()
    sessions = {party: replace(session, model=A if party in shown_a else B) for party in session.cohort}
    group = {party for party in sessions if sessions[party] == sessions[2]}
    flow = paillier.protocol.aggregate(sorted(sessions), paillier.coordinator.public)
    if len(group) >= 3 and 1 in group:
        assert paillier.run(flow, sessions).included == group
        return
    with pytest.raises(TooFewParties, match=r"phase (Witness|Open)"):
        paillier.run(flow, sessions)


def test_paillier_a_witness_that_includes_who_sent_nothing(encrypted: Any) -> None:
    server, session, contributions = encrypted
    told = server.ask(2, Witness(contributions), session)
    flow = server.protocol.aggregate(session.cohort, server.coordinator.public)
    next(flow)
    flow.send({party: contributions[party] for party in (1, 2, 4)})
    with pytest.raises(BadMessage, match=r"the witness included parties \[3, 5\], which sent nothing"):
        flow.send({2: told})


def test_paillier_each_role_answers_its_own_phase(encrypted: Any) -> None:
    server, session, contributions = encrypted
    with pytest.raises(PolicyError, match="party 2 is the witness, not party 1"):
        server.ask(1, Witness(contributions), server.session())
    told = server.ask(2, Witness(contributions), session)
    for party in (2, 3):
        with pytest.raises(OutOfPhase, match="does not hold the private key"):
            server.ask(party, Open(told.sealed, told.product, told.signature), server.session())
    with pytest.raises(PolicyError, match="party 1 is the key holder, not party 3"):
        server.ask(3, GenerateKey(), server.session(stage=SETUP))
    with pytest.raises(ConfigurationError, match="key_holder and witness are both party 1"):
        replace(server.protocol, witness=1)


def test_paillier_the_key_is_the_key_holder_s(paillier: Any) -> None:
    public, random = paillier.coordinator.public, os.urandom(64)
    for signature in (random, paillier.key.sign(b"key"), b""):
        with pytest.raises(AuthenticationError, match="signature"):
            paillier.ask(3, AdoptKey(public, b"", signature), paillier.session(stage=SETUP))
    assert key(paillier).bits == 2048


@pytest.fixture
def deployed(dishonest: Any, tmp_path: Path) -> Any:
    """Before five hospitals with a roster and no key yet, as a deployment has them: all pinned, with a journal."""
    server = dishonest(Paillier(key_bits=2048, policy="fast"))
    pinned = frozenset(server.identity(party).public for party in server.inputs)
    server.federation.policy = Policy(trusts_server=True, server=server.key.public, hospitals=pinned)
    server.federation.journal = Journal(tmp_path / "journal")
    return server.found()


@pytest.mark.slow
def test_paillier_a_key_holder_chooses_no_noise(deployed: Any, paillier: Any) -> None:
    """Whatever the key holder signs: h has no place, and without a proof for this session nothing is encrypted."""
    secret = paillier.protocol._private(kept(paillier, 1).private)
    n, prime = secret.p * secret.q, 2**2048 - 1942289
    assert gmpy2.is_prime(prime)
    for public, words in (
        (n.to_bytes(256, "big") + (1).to_bytes(512, "big"), "768 bytes came and 256 were expected, those of n alone"),
        (n.to_bytes(256, "big") + (n**2 - 1).to_bytes(512, "big"), "those of n alone"),
        (prime.to_bytes(256, "big"), "n is prime"),
        ((2**2047).to_bytes(256, "big"), r"a prime factor below 2\^16"),
        ((3 * 2**2046 + 3).to_bytes(256, "big"), r"a prime factor below 2\^16"),
        ((n + 2).to_bytes(256, "big"), "public key|proof of the modulus"),
        ((n >> 2).to_bytes(256, "big"), "2046 bits; 2048 were agreed"),
    ):
        session = deployed.session(stage=SETUP)
        holder = deployed.context_of(1, session)
        proof = prove(secret.p, secret.q, deployed.protocol._setup_context(holder), os.urandom)
        with pytest.raises(BadMessage, match=words):
            deployed.ask(3, AdoptKey(Key(public), proof, holder.sign(Key(public))), session)
        with pytest.raises(OutOfPhase, match="Encrypt before a key was adopted"):
            deployed.ask(3, Encrypt(), deployed.session())
    assert [field.name for field in codec.schema(Key)] == ["public"]


@pytest.mark.slow
def test_paillier_a_proof_holds_in_its_session_for_its_holder_alone(deployed: Any, paillier: Any) -> None:
    secret = paillier.protocol._private(kept(paillier, 1).private)
    n = secret.p * secret.q
    public, another = Key(n.to_bytes(256, "big")), replace(deployed.protocol, key_holder=2, witness=1)
    earlier = deployed.protocol._setup_context(deployed.context_of(1, deployed.session(stage=SETUP)))
    for other in (lambda _: earlier, another._setup_context, lambda me: me.context, lambda _: b""):
        session = deployed.session(stage=SETUP)
        holder = deployed.context_of(1, session)
        proof = prove(secret.p, secret.q, other(holder), os.urandom)
        with pytest.raises(BadMessage, match="proof of the modulus: fourth root 0 does not hold for this n"):
            deployed.ask(3, AdoptKey(public, proof, holder.sign(public)), session)
    session = deployed.session(stage=SETUP)
    holder = deployed.context_of(1, session)
    context = deployed.protocol._setup_context(holder)
    request = AdoptKey(public, prove(secret.p, secret.q, context, os.urandom), holder.sign(public))
    for party in (3, 4):
        deployed.ask(party, request, session)
        h = int.from_bytes(kept(deployed, party).public[256:], "big")
        assert h == noise_base(n, 1, context) != noise_base(n, 1, earlier)


def test_paillier_a_pinned_key_holder_is_no_other(dishonest: Any) -> None:
    server = dishonest(Paillier(key_holder_identity="ab" * 32)).found()
    for party, request in ((1, GenerateKey()), (3, AdoptKey(Key(b""), b"", b""))):
        with pytest.raises(PolicyError, match="party 1 is not the key holder whose identity the terms name"):
            server.ask(party, request, server.session(stage=SETUP))
