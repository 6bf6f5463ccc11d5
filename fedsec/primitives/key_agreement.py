"""X25519 (RFC 7748) with HKDF-SHA256 (RFC 5869), by pyca/cryptography."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.randomness import Random, randbytes

KEY_BYTES = 32
MAXIMUM_DERIVED_BYTES = 255 * 32  # RFC 5869, section 2.3


@dataclass(frozen=True, repr=False)
class AgreementKey:
    """A private X25519 key: `raw` is its 32-byte scalar before clamping, a secret.

    Raises ConfigurationError where `raw` is not 32 bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes) or len(self.raw) != KEY_BYTES:
            raise ConfigurationError(f"a key agreement key is {KEY_BYTES} raw bytes")

    @classmethod
    def generate(cls, rng: Random) -> AgreementKey:
        """Return a key from 32 bytes of `rng`."""
        return cls(randbytes(KEY_BYTES, rng))

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self.private.public_key().public_bytes_raw()

    @functools.cached_property
    def private(self) -> X25519PrivateKey:
        """The key as pyca has it; loading it costs as much as using it once."""
        return X25519PrivateKey.from_private_bytes(self.raw)

    def __repr__(self) -> str:
        return f"AgreementKey(<redacted>, public={self.public.hex()})"


def shared_secret(mine: AgreementKey, theirs: bytes) -> bytes:
    """Return X25519's 32-byte shared secret: not uniform, so never a key by itself; see `agree`.

    Raises BadMessage where `theirs` is not 32 bytes, or is a point of low order: every peer's secret would then be zero
    (RFC 7748, section 6.1).
    """
    if len(theirs) != KEY_BYTES:
        raise BadMessage(f"public agreement key: {len(theirs)} bytes came and {KEY_BYTES} are expected")
    try:
        secret = mine.private.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise BadMessage(f"public agreement key {theirs.hex()}: a point of low order, which agrees on zero") from error
    if not any(secret):
        raise BadMessage(f"public agreement key {theirs.hex()}: a point of low order, which agrees on zero")
    return secret


def check_public(public: bytes) -> None:
    """Raise BadMessage, as `shared_secret` does, for a public key that no peer could use."""
    shared_secret(AgreementKey(bytes(range(KEY_BYTES))), public)


def hkdf(secret: bytes, info: bytes, salt: bytes = b"", length: int = 32) -> bytes:
    """Return `length` bytes derived from `secret` by HKDF-SHA256 (RFC 5869), for the purpose that `info` names.

    Raises ConfigurationError for a length outside 1 to 8160 bytes.
    """
    if not 1 <= length <= MAXIMUM_DERIVED_BYTES:
        raise ConfigurationError(f"derived key: {length} bytes; 1 to {MAXIMUM_DERIVED_BYTES} can be derived")
    return HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info).derive(secret)


def agree(mine: AgreementKey, theirs: bytes, info: bytes, salt: bytes = b"", length: int = 32) -> bytes:
    """Return the `length`-byte key that both ends derive: agree(a, B) = agree(b, A) for equal `info` and `salt`.

    The two public keys, in order, end HKDF's info: X25519 alone takes several encodings for one point (RFC 7748,
    section 6.1), so a relay could change a key unnoticed. Raises as `shared_secret` and `hkdf` do.
    """
    return derive(shared_secret(mine, theirs), mine.public, theirs, info, salt, length)


def derive(secret: bytes, mine: bytes, theirs: bytes, info: bytes, salt: bytes = b"", length: int = 32) -> bytes:
    """`agree` from the shared secret of two public keys: who derives several keys computes the secret once."""
    first, second = sorted((mine, theirs))
    return hkdf(secret, info + first + second, salt, length)
