"""Every published vector of AES-128-CTR (RFC 3686), X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869) in cryptography's
own collection of them, through the functions that protocols call."""

from __future__ import annotations

import re
from pathlib import Path

import cryptography_vectors
import numpy as np
import pytest

from fedsec.primitives.key_agreement import AgreementKey, hkdf, shared_secret
from fedsec.primitives.prg import expand, keystream_u64, mask_into

FOLDER = Path(cryptography_vectors.__file__).parent


def vectors(name: str) -> list[dict[str, str]]:
    """The vectors of a file of `NAME = hexadecimal` lines, one after each COUNT."""
    found: list[dict[str, str]] = []
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
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
    seed, whole = key + counter, stream[: len(stream) // 8 * 8]
    words = np.frombuffer(whole, "<u8")
    assert np.array_equal(keystream_u64(seed, words.size), words)
    assert expand(seed)(len(stream)) == stream
    masked = np.zeros(words.size, np.uint64)
    mask_into(seed, masked, subtract=True)
    assert np.array_equal(masked, np.uint64(0) - words)


@pytest.mark.parametrize("vector", X25519, ids=lambda vector: vector["INPUT_SCALAR"][:8])
def test_x25519(vector: dict[str, str]) -> None:
    scalar, point = bytes.fromhex(vector["INPUT_SCALAR"]), bytes.fromhex(vector["INPUT_U"])
    assert shared_secret(AgreementKey(scalar), point).hex() == vector["OUTPUT_U"]


@pytest.mark.parametrize("vector", HKDF, ids=lambda vector: vector["L"])
def test_hkdf_sha256(vector: dict[str, str]) -> None:
    secret, salt, info = (bytes.fromhex(vector.get(name, "")) for name in ("IKM", "SALT", "INFO"))
    assert hkdf(secret, info, salt, int(vector["L"])).hex() == vector["OKM"]
