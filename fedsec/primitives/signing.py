"""Ed25519 signatures (RFC 8032), by pyca/cryptography."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedsec.errors import AuthenticationError, ConfigurationError
from fedsec.primitives.randomness import Random, randbytes

KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A private Ed25519 key: `raw` is its 32-byte seed, a secret.

    Raises ConfigurationError where `raw` is not 32 bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes) or len(self.raw) != KEY_BYTES:
            raise ConfigurationError(f"a signing key is {KEY_BYTES} raw bytes")

    @classmethod
    def generate(cls, rng: Random) -> SigningKey:
        """Return a key from 32 bytes of `rng`."""
        return cls(randbytes(KEY_BYTES, rng))

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return Ed25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`, deterministic as in RFC 8032."""
        return Ed25519PrivateKey.from_private_bytes(self.raw).sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(<redacted>, public={self.public.hex()})"


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Return where `signature` (64 bytes) is that of `message` under `public` (32 bytes).

    Raises AuthenticationError where it is not, or where key or signature have another form: never returns False.
    """
    if len(public) != KEY_BYTES:
        raise AuthenticationError(f"public signing key: {len(public)} bytes came and {KEY_BYTES} are expected")
    if len(signature) != SIGNATURE_BYTES:
        raise AuthenticationError(f"signature: {len(signature)} bytes came and {SIGNATURE_BYTES} are expected")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise AuthenticationError(f"the signature does not hold under the public key {public.hex()}") from error
