"""Keys to and from phe, the reference implementation. phe is GPLv3: it is imported only when a function here is called.

Ciphertexts need no conversion: both libraries use g = n + 1, so the integers are the same, where s is 1.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from fedsec.errors import ConfigurationError
from fedsec.primitives.paillier import PrivateKey, PublicKey, noise_base

if TYPE_CHECKING:
    from phe.paillier import PaillierPrivateKey, PaillierPublicKey

if find_spec("phe") is None:  # known at import, so that what stands on this file can be left out
    raise ModuleNotFoundError("No module named 'phe'", name="phe")


def to_phe_public(public: PublicKey) -> PaillierPublicKey:
    """Return phe's public key of the same n; h_s has no place there. Raises ConfigurationError unless s is 1."""
    if public.s != 1:
        raise ConfigurationError(f"s is {public.s}; phe has Paillier's own scheme only, s = 1")
    from phe.paillier import PaillierPublicKey

    return PaillierPublicKey(public.n)


def to_phe_private(private: PrivateKey) -> PaillierPrivateKey:
    """Return phe's private key of the same p and q. Raises ConfigurationError unless s is 1: phe knows no other."""
    if private.s != 1:
        raise ConfigurationError(f"s is {private.s}; phe has Paillier's own scheme only, s = 1")
    from phe.paillier import PaillierPrivateKey

    return PaillierPrivateKey(to_phe_public(private.public), private.p, private.q)


def from_phe_private(key: PaillierPrivateKey) -> PrivateKey:
    """Return our key of the same p and q, with the `noise_base` of n.

    Raises ConfigurationError, as `PrivateKey` does, unless p and q are 3 modulo 4 with gcd(p-1, q-1) = 2. phe does not
    ask for that, so about one in six of its keys passes; elsewhere powers of h_s might stay in a small subgroup.
    """
    p, q = int(key.p), int(key.q)
    return PrivateKey(p, q, noise_base(p * q))
