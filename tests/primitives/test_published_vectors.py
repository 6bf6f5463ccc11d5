"""Every published vector of AES-128-CTR (RFC 3686), X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869) in cryptography's
own collection of them, through the functions that protocols call."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cryptography_vectors import open_vector_file

from fedsec.primitives.key_agreement import AgreementKey, hkdf, shared_secret
from fedsec.primitives.prg import MANY, expand, keystream_plain, keystream_u64, masks_into


def vectors(name: str) -> list[dict[str, str]]:
    """The vectors of a file of `NAME = hexadecimal` lines, one after each COUNT."""
    found: list[dict[str, str]] = []
    with open_vector_file(name, "r") as file:
        lines = file.read().splitlines()
    for line in lines:
        match = re.fullmatch(r"(\w+)\s*=\s*(\S*)", line.strip())
        if match and match[1].upper() == "COUNT":
            found.append({})
        elif match and found:
            found[-1][match[1].upper()] = match[2]
    return found


AES = vectors("ciphers/AES/CTR/aes-128-ctr.txt")
X25519 = vectors("asymmetric/X25519/rfc7748.txt")
HKDF = vectors("KDF/rfc-5869-HKDF-SHA256.txt")


def test_there_are_vectors() -> None:
    assert len(AES) >= 3 and len(X25519) >= 3 and len(HKDF) >= 3


@pytest.mark.parametrize("vector", AES, ids=lambda vector: vector["IV"])
def test_aes_128_ctr(vector: dict[str, str]) -> None:
    key, counter, plain, cipher = (bytes.fromhex(vector[name]) for name in ("KEY", "IV", "PLAINTEXT", "CIPHERTEXT"))
    stream = bytes(one ^ other for one, other in zip(plain, cipher, strict=True))
    seed, words = key + counter, np.frombuffer(stream[: len(stream) // 8 * 8], "<u8")
    assert np.array_equal(keystream_u64(seed, words.size), words)
    assert keystream_plain(seed, words.size) == words.tolist()
    assert expand(seed)(len(stream)) == stream


@pytest.mark.parametrize("dtype", ["<u8", "<u4"])  # of 4 bytes, words reach the end of the longest vector
@pytest.mark.parametrize("times", [1, MANY + 1])  # few streams and many take different ways
@pytest.mark.parametrize("vector", AES, ids=lambda vector: vector["IV"])
def test_masks_of_aes_128_ctr(vector: dict[str, str], times: int, dtype: str) -> None:
    key, counter, plain, cipher = (bytes.fromhex(vector[name]) for name in ("KEY", "IV", "PLAINTEXT", "CIPHERTEXT"))
    size = len(plain) // np.dtype(dtype).itemsize
    before, ciphered = (np.frombuffer(text, dtype, size) for text in (plain, cipher))
    added, subtracted = np.zeros(size, dtype), np.zeros(size, dtype)
    masks_into(added, [key + counter] * times, [])
    masks_into(subtracted, [], [key + counter] * times)
    assert np.array_equal(added, (before ^ ciphered) * added.dtype.type(times))
    assert not np.any(added + subtracted)


@pytest.mark.parametrize("vector", X25519, ids=lambda vector: vector["INPUT_SCALAR"][:8])
def test_x25519(vector: dict[str, str]) -> None:
    scalar, point = bytes.fromhex(vector["INPUT_SCALAR"]), bytes.fromhex(vector["INPUT_U"])
    assert shared_secret(AgreementKey(scalar), point).hex() == vector["OUTPUT_U"]


@pytest.mark.parametrize("vector", HKDF, ids=lambda vector: vector["L"])
def test_hkdf_sha256(vector: dict[str, str]) -> None:
    secret, salt, info = (bytes.fromhex(vector.get(name, "")) for name in ("IKM", "SALT", "INFO"))
    assert hkdf(secret, info, salt, int(vector["L"])).hex() == vector["OKM"]
