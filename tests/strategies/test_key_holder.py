"""What `paillier`, `paillier_textbook` and `bfv` refuse to read, and keys that they do not take."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import phe
import pytest

from fedsec import catalog
from fedsec.cli.arguments import print_left_out
from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import paillier
from fedsec.strategies.paillier_textbook import HEADER, PaillierTextbook

SESSION, OTHER = b"\x01" * 32, b"\x02" * 32
CLIENTS = range(1, 5)
BUILT = {
    "paillier": {"key_bits": 2048},
    "paillier_textbook": {"key_bits": 256},
    **({"bfv": {}} if "bfv" in catalog.names() else {}),
}


def made(protocol: Any) -> tuple[bytes, bytes]:
    """The public key as a party keeps it, and the private one."""
    sent, proof, private = protocol.generate(SESSION, os.urandom)
    return protocol.adopt(sent, proof, SESSION), private


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name == "paillier" else []) for name in BUILT],
)
def sealed(request: Any) -> tuple[Any, bytes, bytes, bytes]:
    """A strategy, its keys, and the ciphertexts of one input."""
    protocol: Any = catalog.strategy(request.param)(**BUILT[request.param])
    public, private = made(protocol)
    x = np.arange(10, dtype=np.uint64)
    return protocol, public, private, protocol.encrypt(public, x, CLIENTS, SESSION, os.urandom)


def test_what_is_read_opens_to_what_was_encrypted(sealed: Any) -> None:
    protocol, public, private, blob = sealed
    batch, values = protocol.read(public, blob, CLIENTS, 1, SESSION)
    total = protocol.add(public, [batch, batch, batch], values, CLIENTS, SESSION)
    summed, values = protocol.read(public, total, CLIENTS, 3, SESSION)
    found = protocol.decode(protocol.decrypt(private, summed), values, CLIENTS, 3)
    assert found.tolist() == [3 * i for i in range(10)] and len(total) == len(blob)


def test_other_rounds_keys_and_lengths_are_refused(sealed: Any) -> None:
    protocol, public, _, blob = sealed
    other, _ = made(protocol)
    for arguments in (
        (public, blob, CLIENTS, 1, OTHER),
        (public, blob, CLIENTS, 2, SESSION),
        (other, blob, CLIENTS, 1, SESSION),
        (public, blob[:-1], CLIENTS, 1, SESSION),
        (public, blob + b"\0", CLIENTS, 1, SESSION),
        (public, blob[:50], CLIENTS, 1, SESSION),
        (public, b"", CLIENTS, 1, SESSION),
        (public, bytes(len(blob)), CLIENTS, 1, SESSION),
    ):
        with pytest.raises(BadMessage, match=r"blob|padd"):
            protocol.read(*arguments)


def test_any_flipped_byte_of_the_header_is_refused(sealed: Any) -> None:
    protocol, public, _, blob = sealed
    # One more value or one less may fill as many ciphertexts of packed values: there the signature is what holds.
    for place in set(range(80)) - ({13} if protocol.name == "paillier" else set()):
        changed = blob[:place] + bytes([blob[place] ^ 0x41]) + blob[place + 1 :]
        with pytest.raises(BadMessage):
            protocol.read(public, changed, CLIENTS, 1, SESSION)


def test_keys_that_are_none_are_refused(sealed: Any) -> None:
    protocol, _, private, _ = sealed
    sent, proof, _ = protocol.generate(SESSION, os.urandom)
    assert protocol.adopt(sent, proof, SESSION) == protocol.adopt(sent, proof, SESSION)
    for bad in (b"", b"\0", sent[:-9], sent + b"\0\1", bytes(len(sent)), b"\xff" * len(sent)):
        with pytest.raises(BadMessage, match="public key"):
            protocol.adopt(bad, proof, SESSION)
    with pytest.raises(BadMessage, match=r"public key|proof of the modulus"):  # it may be an odd number of that length
        protocol.adopt(private, proof, SESSION)


def test_keys_whose_proof_does_not_hold_are_refused(sealed: Any) -> None:
    protocol, *_ = sealed
    sent, proof, _ = protocol.generate(SESSION, os.urandom)
    _, another, _ = protocol.generate(SESSION, os.urandom)
    if protocol.name == "bfv":
        assert proof == b""
        with pytest.raises(BadMessage, match="a proof of 3 bytes came, and bfv has none"):
            protocol.adopt(sent, b"abc", SESSION)
        return
    for bad, context in ((proof, OTHER), (b"", SESSION), (proof[:-1], SESSION), (another, SESSION)):
        with pytest.raises(BadMessage, match="proof of the modulus"):
            protocol.adopt(sent, bad, context)


def test_noise_s_base_is_derived_and_has_no_place_in_a_message() -> None:
    """A key holder that would like h = 1, or an h of order two, finds no field for it."""
    protocol: Any = catalog.strategy("paillier")(key_bits=2048)
    sent, proof, private = protocol.generate(SESSION, os.urandom)
    kept = protocol.adopt(sent, proof, SESSION)
    n, square = int.from_bytes(sent, "big"), int.from_bytes(sent, "big") ** 2
    for h in (1, square - 1, 4):
        with pytest.raises(BadMessage, match="768 bytes came and 256 were expected, those of n alone"):
            protocol.adopt(sent + h.to_bytes(512, "big"), proof, SESSION)
    seed = b"fedsec noise base" + hashlib.sha256(SESSION).digest() + b"\1" + sent + bytes(4)
    x = int.from_bytes(hashlib.shake_256(seed).digest(256 + 16), "big") % n
    assert int.from_bytes(kept[256:], "big") == pow(-x * x % n, n, square)
    assert private.startswith(kept)
    assert paillier.noise_base(n, 1, SESSION) != paillier.noise_base(n, 1, OTHER)


def test_plaintexts_that_cannot_be_a_sum_are_refused(sealed: Any) -> None:
    protocol, public, private, blob = sealed
    batch, values = protocol.read(public, blob, CLIENTS, 1, SESSION)
    plaintexts = protocol.decrypt(private, batch)
    for bad, count in ((plaintexts[:-1], values), (plaintexts, values + 10_000), (plaintexts, -1), (b"", values)):
        with pytest.raises(BadMessage):
            protocol.decode(bad, count, CLIENTS, 1)


def test_textbook_ciphertexts_out_of_range_are_named() -> None:
    protocol = PaillierTextbook(key_bits=256)
    public, private = made(protocol)
    n, p = int.from_bytes(public, "big"), int.from_bytes(private[:16], "big")
    blob = protocol.encrypt(public, np.arange(3, dtype=np.uint64), CLIENTS, SESSION, os.urandom)
    for bad, words in (
        (0, "between"),
        (n, "prime to n"),
        (n * n, "between"),
        (5 * p, "prime to n"),
        (n * n + 1, "betw"),
    ):
        body = bad.to_bytes(64, "big")
        with pytest.raises(BadMessage, match=f"ciphertext 1: it is not .*{words}"):
            protocol.read(public, blob[: HEADER.size + 64] + body + blob[HEADER.size + 128 :], CLIENTS, 1, SESSION)


def test_the_textbook_takes_no_small_keys_outside_of_tests(_small_textbook_keys: int, monkeypatch: Any) -> None:
    assert _small_textbook_keys == 2048
    monkeypatch.setattr(PaillierTextbook, "minimum_key_bits", _small_textbook_keys)
    for bits in (1024, 2047, 2050, 9000):
        with pytest.raises(ConfigurationError, match=f"key_bits is {bits}"):
            PaillierTextbook(key_bits=bits)


def test_bfv_has_as_many_bits_as_it_can() -> None:
    kind: Any = catalog.strategy("bfv")
    assert kind().capacity(CLIENTS) == (1 << 34) - 1 and kind(capacity_bits=44).columns(CLIENTS, 5000) == 2
    assert kind(capacity_bits=45).columns(CLIENTS, 5000) == 1
    for parameters, words in (
        ({"capacity_bits": 24}, "above value_bits, 24"),
        ({"capacity_bits": 59}, "capacity_bits is 59; it must lie between 0 and 58"),
        ({"value_bits": 49}, "use at most 48, or set capacity_bits"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            kind(**parameters)


def test_a_missing_package_is_named(monkeypatch: Any, capsys: Any) -> None:
    there = catalog._built_in

    def missing(name: str) -> Any:
        if name == "bfv":
            raise ModuleNotFoundError("No module named 'tenseal'", name="tenseal")
        return there(name)

    monkeypatch.setattr(catalog, "_built_in", missing)
    catalog._fails.cache_clear()
    try:
        with pytest.raises(
            ConfigurationError, match=r"'bfv' needs tenseal, .* not installed: pip install 'fedsec\[bfv\]'"
        ):
            catalog.strategy("bfv")
        assert "bfv" not in catalog.names() and "paillier" in catalog.names()
        (said,) = catalog.left_out()
        assert said.startswith("strategy 'bfv' needs tenseal")
        print_left_out(quiet=False)
        assert "Left out: strategy 'bfv' needs tenseal" in capsys.readouterr().err
    finally:
        catalog._fails.cache_clear()


@pytest.mark.parametrize("chosen", [-100, 1 << 64, 1 << 63, 1 << 26])
def test_a_sum_that_no_textbook_inputs_have_is_refused(chosen: int) -> None:
    """One hospital encrypts what is no input: the sum is refused in words, not decoded."""
    protocol = PaillierTextbook(key_bits=256)
    public, private = made(protocol)
    key = phe.PaillierPublicKey(int.from_bytes(public, "big"))
    batch = [key.encrypt(chosen), key.encrypt(7)]
    with pytest.raises(BadMessage, match="a sum is"):
        protocol.decode(protocol.decrypt(private, batch), 2, CLIENTS, 2)


def test_bfv_keys_of_other_moduli_are_refused() -> None:
    kind: Any = catalog.strategy("bfv")
    small, proof, _ = kind(capacity_bits=34).generate(SESSION, os.urandom)
    with pytest.raises(BadMessage, match="moduli are not those of 4096 slots and 44 bits"):
        kind(capacity_bits=44).adopt(small, proof, SESSION)


def test_paillier_fast_is_refused_beyond_its_exponents() -> None:
    kind: Any = catalog.strategy("paillier")
    kind(key_bits=4096, policy="fast")
    with pytest.raises(ConfigurationError, match="key_bits is 4160; policy fast is for at most 4096"):
        kind(key_bits=4160, policy="fast")
