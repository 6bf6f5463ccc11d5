"""Ed25519 against RFC 8032, and every way a signature fails."""

import os

import pytest

from fedsec.errors import AuthenticationError, ConfigurationError
from fedsec.primitives.signing import SigningKey, verify

# RFC 8032, section 7.1, tests 1 and 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("raw", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(raw, public, message, signature):
    key = SigningKey(bytes.fromhex(raw))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify(key.public, bytes.fromhex(signature), bytes.fromhex(message))


def test_generate_takes_its_bytes_from_rng():
    assert SigningKey.generate(lambda count: bytes(range(count))).raw == bytes(range(32))


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a_changed_signature_is_refused(position):
    key = SigningKey.generate(os.urandom)
    signature = bytearray(key.sign(b"message"))
    signature[position] ^= 1
    with pytest.raises(AuthenticationError, match="does not hold"):
        verify(key.public, bytes(signature), b"message")


def test_another_message_key_or_size_is_refused():
    key = SigningKey.generate(os.urandom)
    signature = key.sign(b"message")
    for public, signed, message in [
        (key.public, signature, b"massage"),
        (SigningKey.generate(os.urandom).public, signature, b"message"),
        (bytes(32), signature, b"message"),
        (b"\xff" * 32, signature, b"message"),
        (key.public[:31], signature, b"message"),
        (key.public, signature + b"\0", b"message"),
        (key.public, b"", b"message"),
    ]:
        with pytest.raises(AuthenticationError):
            verify(public, signed, message)


def test_a_key_is_32_bytes_and_redacted():
    for raw in (b"", bytes(31), bytes(33)):
        with pytest.raises(ConfigurationError, match="32 raw bytes"):
            SigningKey(raw)
    with pytest.raises(ConfigurationError, match="returned 3 bytes"):
        SigningKey.generate(lambda count: b"abc")
    key = SigningKey.generate(os.urandom)
    assert key.raw.hex() not in repr(key) and str(key.raw) not in repr(key)
