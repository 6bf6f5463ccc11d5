"""X25519 against RFC 7748, HKDF against RFC 5869, and the points that must be refused."""

import os

import pytest

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.key_agreement import AgreementKey, agree, hkdf, shared_secret

P = 2**255 - 19

# Points of order 1, 2, 4 and 8 (RFC 7748, section 6.1; cr.yp.to/ecdh.html#validate), and their larger encodings.
LOW_ORDER = [
    0,
    1,
    P - 1,
    P,
    P + 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]


def test_rfc_7748_section_6_1():
    alice = AgreementKey(bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    bob = AgreementKey(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert alice.public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert bob.public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    secret = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert shared_secret(alice, bob.public) == shared_secret(bob, alice.public) == secret
    bound = b"info" + alice.public + bob.public
    assert agree(bob, alice.public, b"info", b"salt", 40) == hkdf(secret, bound, b"salt", 40)


@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "derived"),
    [
        (
            b"\x0b" * 22,
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_rfc_5869_appendix_a(secret, salt, info, length, derived):
    assert hkdf(secret, info, salt, length).hex() == derived


def test_both_ends_agree_and_every_input_counts():
    a, b = AgreementKey.generate(os.urandom), AgreementKey.generate(os.urandom)
    key = agree(a, b.public, b"round 1", b"salt")
    assert key == agree(b, a.public, b"round 1", b"salt") and len(key) == 32
    others = {
        agree(a, b.public, b"round 2", b"salt"),
        agree(a, b.public, b"round 1", b"other"),
        agree(a, AgreementKey.generate(os.urandom).public, b"round 1", b"salt"),
    }
    assert key not in others and len(others) == 3


def test_another_encoding_of_the_same_key_agrees_on_another_key():
    a, b = AgreementKey.generate(os.urandom), AgreementKey.generate(os.urandom)
    other = b.public[:31] + bytes([b.public[31] | 0x80])
    assert shared_secret(a, other) == shared_secret(a, b.public)
    assert agree(a, other, b"") != agree(a, b.public, b"")


@pytest.mark.parametrize("point", LOW_ORDER)
def test_points_of_low_order_are_refused(point):
    with pytest.raises(BadMessage, match="low order"):
        agree(AgreementKey.generate(os.urandom), point.to_bytes(32, "little"), b"")


def test_sizes_and_redaction():
    key = AgreementKey.generate(os.urandom)
    for theirs in (b"", bytes(31), bytes(33)):
        with pytest.raises(BadMessage, match="32 are expected"):
            agree(key, theirs, b"")
    with pytest.raises(ConfigurationError, match="32 raw bytes"):
        AgreementKey(bytes(16))
    for length in (0, 8161):
        with pytest.raises(ConfigurationError, match="8160"):
            hkdf(b"secret", b"", length=length)
    assert len(hkdf(b"secret", b"", length=8160)) == 8160
    assert key.raw.hex() not in repr(key) and str(key.raw) not in repr(key)
    assert AgreementKey.generate(lambda count: b"\x07" * count).raw == b"\x07" * 32
