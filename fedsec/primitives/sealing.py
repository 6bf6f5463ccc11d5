"""AES-256-GCM envelopes (NIST SP 800-38D) under random 96-bit nonces, by pyca/cryptography."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedsec.errors import AuthenticationError, ConfigurationError
from fedsec.primitives.randomness import Random, randbytes

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD = NONCE_BYTES + TAG_BYTES


class Sealer:
    """Seals and unseals under one key, 32 bytes. Raises ConfigurationError for a key of another size."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"sealing key: {len(key)} bytes were given and {KEY_BYTES} are expected")
        self._cipher = AESGCM(key)

    def seal(self, plaintext: bytes, associated: bytes, rng: Random) -> bytes:
        """Return nonce || ciphertext || tag, 28 bytes (`OVERHEAD`) above `plaintext`; `associated` is bound, not sent.

        A random nonce serves at most 2^32 envelopes a key (SP 800-38D, section 8.3).
        """
        nonce = randbytes(NONCE_BYTES, rng)
        return nonce + self._cipher.encrypt(nonce, plaintext, associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Return the plaintext of `sealed`.

        Raises AuthenticationError where key, envelope or associated data differ from the sealing ones.
        """
        if len(sealed) < OVERHEAD:
            raise AuthenticationError(f"sealed envelope: {len(sealed)} bytes came and at least {OVERHEAD} are expected")
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except InvalidTag as error:
            raise AuthenticationError(
                "sealed envelope: it was changed, or sealed under another key or for another occasion"
            ) from error


def seal(key: bytes, plaintext: bytes, associated: bytes, rng: Random) -> bytes:
    """See Sealer.seal."""
    return Sealer(key).seal(plaintext, associated, rng)


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """See Sealer.unseal."""
    return Sealer(key).unseal(sealed, associated)
