"""AES-256-GCM against its designers' vectors, and every way an envelope fails."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.errors import AuthenticationError, ConfigurationError
from fedsec.primitives.sealing import OVERHEAD, seal, unseal


def test_mcgrew_and_viega_case_16():
    # "The Galois/Counter Mode of Operation", appendix B, test case 16: AES-256 with associated data.
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = seal(key, plaintext, associated, lambda count: nonce)
    assert sealed[:12] == nonce
    assert sealed[12:-16].hex() == (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    )
    assert sealed[-16:].hex() == "76fc6ece0f4e1768cddf8853bb2d551b"


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_is_sealed_is_unsealed(plaintext, associated):
    key = bytes(32)
    sealed = seal(key, plaintext, associated, os.urandom)
    assert len(sealed) == len(plaintext) + OVERHEAD == len(plaintext) + 28
    assert unseal(key, sealed, associated) == plaintext


def test_nonces_are_drawn_anew():
    assert seal(bytes(32), b"same", b"", os.urandom) != seal(bytes(32), b"same", b"", os.urandom)


def test_every_change_is_refused():
    key = os.urandom(32)
    sealed = seal(key, b"plaintext", b"associated", os.urandom)
    for i in range(len(sealed)):
        changed = bytearray(sealed)
        changed[i] ^= 0x80
        with pytest.raises(AuthenticationError):
            unseal(key, bytes(changed), b"associated")
    for length in (0, 11, 27, 28, len(sealed) - 1):
        with pytest.raises(AuthenticationError):
            unseal(key, sealed[:length], b"associated")
    for other_key, associated in ((key, b"associates"), (key, b""), (os.urandom(32), b"associated")):
        with pytest.raises(AuthenticationError, match="changed"):
            unseal(other_key, sealed, associated)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_key_is_32_bytes(size):
    with pytest.raises(ConfigurationError, match="32 are expected"):
        seal(bytes(size), b"", b"", os.urandom)
    with pytest.raises(ConfigurationError, match="32 are expected"):
        unseal(bytes(size), bytes(28), b"")
