"""Paillier's cryptosystem (Eurocrypt 1999) with g = n + 1 and the noise of Damgård, Jurik and Nielsen (IJIS 9, 2010).

c = (1 + m n) h_s^a mod n^2, where h_s = (-x^2)^n mod n^2 is public and a is short: a fixed-base table raises h_s.
Ciphertexts multiply where plaintexts add, modulo n. The noise's policy names what it rests on:

conservative  a of ceil(|n| / 2) bits, as Damgård, Jurik and Nielsen propose; the default
fast          a of 256 bits up to |n| = 2048, 320 up to 3072, 384 up to 4096: a short-exponent assumption besides
standard      r^n for r uniform modulo n: decisional composite residuosity alone, and slow
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import gmpy2
from gmpy2 import mpz

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import modexp
from fedsec.primitives.randomness import Random, randbelow, randbits

Policy = Literal["conservative", "fast", "standard"]
POLICIES: tuple[Policy, ...] = ("conservative", "fast", "standard")
MINIMUM_BITS = 256  # what the arithmetic needs; no security is claimed below 2048

_FAST_BITS = {2048: 256, 3072: 320, 4096: 384}
_PRIME_ROUNDS = 40
_GCD_BATCH = 64
_SMALL_PRIMES = gmpy2.primorial(4000)


@dataclass(frozen=True)
class PublicKey:
    """The modulus n and h_s = (-x^2)^n mod n^2, in [1, n^2). A received key goes through `check` first."""

    n: int
    hs: int

    @property
    def bits(self) -> int:
        """|n|, in bits."""
        return self.n.bit_length()

    @property
    def nsquare(self) -> int:
        """n^2, the ciphertexts' modulus."""
        return self.n * self.n

    @property
    def plaintext_bits(self) -> int:
        """Every integer of so many bits is below n."""
        return self.bits - 1

    @property
    def ciphertext_bytes(self) -> int:
        """The fixed width of one ciphertext."""
        return (2 * self.bits + 7) // 8

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 (32 bytes) of n and h_s, big-endian, each `ciphertext_bytes` wide."""
        width = self.ciphertext_bytes
        return hashlib.sha256(self.n.to_bytes(width, "big") + self.hs.to_bytes(width, "big")).digest()

    def check(self) -> None:
        """Raise BadMessage unless the key has the structure that its holder must have given it, as far as one can see.

        n has at least 256 bits, is 1 modulo 4 (p = q = 3 modulo 4), no prime and no power; h_s is in range, prime to n,
        not 1 or -1, and has Jacobi symbol 1 as every -x^2 has. That n has two prime factors is not visible.
        """
        if self.bits < MINIMUM_BITS:
            raise BadMessage(f"public key: n has {self.bits} bits and at least {MINIMUM_BITS} are expected")
        if self.n % 4 != 1 or gmpy2.is_prime(self.n) or gmpy2.is_power(self.n):
            raise BadMessage("public key: n is not a product of two distinct primes that are 3 modulo 4")
        if not 1 < self.hs < self.nsquare - 1:
            raise BadMessage("public key: h_s is not between 1 and n^2 - 1")
        if gmpy2.gcd(self.hs, self.n) != 1 or gmpy2.jacobi(self.hs % self.n, self.n) != 1:
            raise BadMessage("public key: h_s is not the power of -x^2 for an x prime to n")


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """The primes p and q, both secret, and h_s of the public key.

    Raises ConfigurationError where p and q are not distinct primes that are 3 modulo 4 with gcd(p-1, q-1) = 2, or are
    too small: Damgård, Jurik and Nielsen need the squares modulo n to form one cyclic group.
    """

    p: int
    q: int
    hs: int

    def __post_init__(self) -> None:
        if self.p == self.q or gmpy2.gcd(self.p - 1, self.q - 1) != 2 or not all(map(_suits, (self.p, self.q))):
            raise ConfigurationError(
                "private key: p and q must be distinct primes, 3 modulo 4, with gcd(p - 1, q - 1) = 2, which noise by "
                "powers of h_s needs (Damgård, Jurik and Nielsen 2010); make a new key with `generate`"
            )
        if gmpy2.gcd(self.p * self.q, (self.p - 1) * (self.q - 1)) != 1 or self.public.bits < MINIMUM_BITS:
            raise ConfigurationError(f"private key: n must have {MINIMUM_BITS} bits and be prime to (p - 1)(q - 1)")

    @property
    def public(self) -> PublicKey:
        """The public key."""
        return PublicKey(self.p * self.q, self.hs)

    def __repr__(self) -> str:
        return f"PrivateKey(<redacted>, public={self.public.fingerprint.hex()})"


def generate(bits: int, rng: Random) -> PrivateKey:
    """Return a key with |n| = `bits` exactly, about a second at 3072.

    p and q are uniform among the primes that are 3 modulo 4 and whose two highest bits are set, with gcd(p-1, q-1) = 2
    and |p - q| > 2^(bits/2 - 100) (FIPS 186-5, A.1.3). An even number of at least 256 bits is accepted, which protects
    nothing: the strategies ask for 2048 or more. Raises ConfigurationError for other sizes.
    """
    if bits < MINIMUM_BITS or bits % 2:
        raise ConfigurationError(f"key size: {bits} bits; an even number of at least {MINIMUM_BITS} is needed")
    p = _prime(bits // 2, rng)
    while True:
        q = _prime(bits // 2, rng)
        if gmpy2.gcd(p - 1, q - 1) == 2 and abs(p - q) >> (bits // 2 - 100):
            return PrivateKey(p, q, noise_base(p * q, rng))


def noise_base(n: int, rng: Random) -> int:
    """Return h_s = (-x^2)^n mod n^2 for x uniform among the units modulo n."""
    x = _unit(n, rng)
    return int(gmpy2.powmod(-x * x % n, n, n * n))


def exponent_bits(public: PublicKey, policy: Policy) -> int:
    """Return the length of the noise's exponent. Raises ConfigurationError for a policy or size that has none."""
    if policy == "conservative":
        return (public.bits + 1) // 2
    if policy == "fast":
        for size, length in _FAST_BITS.items():
            if public.bits <= size:
                return length
        raise ConfigurationError(f"policy fast: n has {public.bits} bits and at most 4096 are expected")
    raise ConfigurationError(f"policy {policy!r}: no short exponent (choose from {', '.join(POLICIES)})")


def noise(public: PublicKey, count: int, rng: Random, policy: Policy = "conservative") -> list[mpz]:
    """Return `count` fresh encryptions of 0, in [1, n^2): a secret until used, and used once. See `blind`.

    The first call for a key and policy builds a table that the process keeps, for two keys at most: 38 MB and half a
    second at 3072 bits, conservative. Raises ConfigurationError for an unknown policy.
    """
    if policy == "standard":
        return modexp.powers([_unit(public.n, rng) for _ in range(count)], public.n, public.nsquare)
    length = exponent_bits(public, policy)
    return _fixed_base(public, policy).powers([randbits(length, rng) for _ in range(count)])


def blind(public: PublicKey, plaintexts: Sequence[int], fresh: Sequence[int]) -> list[int]:
    """Return (1 + m n) f mod n^2 for each plaintext m in [0, n) and each f of `noise`, as many as plaintexts.

    Raises ConfigurationError where a plaintext is outside [0, n) or the counts differ.
    """
    if len(fresh) != len(plaintexts):
        raise ConfigurationError(f"noise: {len(fresh)} values for {len(plaintexts)} plaintexts; each needs its own")
    n, square = mpz(public.n), mpz(public.nsquare)
    if any(not 0 <= m < n for m in plaintexts):
        raise ConfigurationError("plaintexts: one is not in [0, n)")
    return [int((1 + n * m) * f % square) for m, f in zip(plaintexts, fresh, strict=True)]


def encrypt(public: PublicKey, plaintexts: Sequence[int], rng: Random, policy: Policy = "conservative") -> list[int]:
    """Return one ciphertext in [1, n^2) for each plaintext in [0, n). Raises as `noise` and `blind` do."""
    return blind(public, plaintexts, noise(public, len(plaintexts), rng, policy))


def decrypt(private: PrivateKey, ciphertexts: Sequence[int]) -> list[int]:
    """Return the plaintexts, in [0, n), of ciphertexts in (0, n^2) (Paillier 1999, section 7: by p and q apart).

    Raises BadMessage, naming the place, for one that is out of range or not prime to n.
    """
    p, q, square = mpz(private.p), mpz(private.q), private.public.nsquare
    for i, c in enumerate(ciphertexts):
        if not 0 < c < square:
            raise BadMessage(f"ciphertext {i}: it is not between 0 and n^2")
    modulo_p, modulo_q = _logarithms(ciphertexts, p, q), _logarithms(ciphertexts, q, p)
    inverse = gmpy2.invert(q, p)
    return [int(b + q * ((a - b) * inverse % p)) for a, b in zip(modulo_p, modulo_q, strict=True)]


def add(public: PublicKey, batches: Sequence[Sequence[int]]) -> list[int]:
    """Return the ciphertexts of the sums, position by position: one product modulo n^2 per addend.

    Raises ConfigurationError for no batches, and BadMessage where their lengths differ.
    """
    return [int(c) for c in modexp.product(batches, public.nsquare)]


def validate(public: PublicKey, ciphertexts: Sequence[int]) -> None:
    """Raise BadMessage, naming the place, unless every ciphertext is in (0, n^2) and prime to n (in batches of 64)."""
    n, square = mpz(public.n), public.nsquare
    for i, c in enumerate(ciphertexts):
        if not 0 < c < square:
            raise BadMessage(f"ciphertext {i}: it is not between 0 and n^2")
    for start in range(0, len(ciphertexts), _GCD_BATCH):
        total = mpz(1)
        for c in ciphertexts[start : start + _GCD_BATCH]:
            total = total * c % n
        if gmpy2.gcd(total, n) != 1:
            first = next(i for i in range(start, len(ciphertexts)) if gmpy2.gcd(ciphertexts[i], n) != 1)
            raise BadMessage(f"ciphertext {first}: it is not prime to n")


@lru_cache(maxsize=2)
def _fixed_base(public: PublicKey, policy: Policy) -> modexp.FixedBase:
    return modexp.FixedBase(public.hs, public.nsquare, exponent_bits(public, policy))


def _logarithms(ciphertexts: Sequence[int], p: mpz, q: mpz) -> list[mpz]:
    """Return the plaintexts modulo p: L_p(c^(p-1)) / L_p(g^(p-1)), where L_p(u) = (u - 1) / p and the latter is -q."""
    scale = gmpy2.invert(-q, p)
    result = []
    for i, power in enumerate(modexp.powers([mpz(c) % (p * p) for c in ciphertexts], p - 1, p * p)):
        quotient, remainder = gmpy2.f_divmod(power - 1, p)
        if remainder:
            raise BadMessage(f"ciphertext {i}: it is not prime to n")
        result.append(quotient * scale % p)
    return result


def _unit(n: int, rng: Random) -> int:
    while True:
        x = randbelow(n, rng)
        if gmpy2.gcd(x, n) == 1:
            return x


def _suits(prime: int) -> bool:
    return prime > 0 and prime % 4 == 3 and bool(gmpy2.is_prime(prime))


def _prime(bits: int, rng: Random) -> int:
    """Return a prime, 3 modulo 4, with its two highest bits set: a product of two then has twice `bits` exactly."""
    while True:
        candidate = mpz(randbits(bits, rng) | (3 << (bits - 2)) | 3)
        if gmpy2.gcd(candidate, _SMALL_PRIMES) == 1 and gmpy2.is_prime(candidate, _PRIME_ROUNDS):
            return int(candidate)
