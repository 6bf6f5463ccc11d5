"""Paillier's cryptosystem with g = n + 1 (Eurocrypt 1999), as generalised by Damgård and Jurik (PKC 2001).

c = (1 + n)^m h_s^a mod n^(s+1), where m < n^s and h_s = (-x^2)^(n^s) mod n^(s+1) is public and a is short: a fixed-base
table raises h_s (Damgård, Jurik and Nielsen, IJIS 9, 2010). x is hashed from n and a context, so that nobody chooses
h_s: it is computed, never received. That n is well made is what `blum_modulus` proves. s = 1 is Paillier's own; with
s = 2 a plaintext is twice as long and a ciphertext half as long again. Ciphertexts multiply where plaintexts add,
modulo n^s. The noise's policy names what it rests on:

conservative  a of ceil(|n| / 2) bits, as Damgård, Jurik and Nielsen propose; the default
fast          a of 256 bits up to |n| = 2048, 320 up to 3072, 384 up to 4096: a short-exponent assumption besides
uniform       a of |n| + 64 bits: within 2^-64 of uniform among the powers of h_s, for who knows n's factors too
standard      r^(n^s) for r uniform modulo n: decisional composite residuosity alone, and slow

Plaintexts and ciphertexts are integers: int, mpz or numpy's. A float, a fraction or a bool is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import gmpy2
from gmpy2 import mpz

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import modexp
from fedsec.primitives.blum_modulus import hashed
from fedsec.primitives.integers import integer, integers
from fedsec.primitives.randomness import Random, randbelow, randbits

Policy = Literal["conservative", "fast", "uniform", "standard"]
POLICIES: tuple[Policy, ...] = ("conservative", "fast", "uniform", "standard")
MINIMUM_BITS = 256  # what the arithmetic needs; no security is claimed below 2048

LARGEST_S = 2

_FAST_BITS = {2048: 256, 3072: 320, 4096: 384}
MOST_FAST_BITS = max(_FAST_BITS)
_PRIME_ROUNDS = 40
_GCD_BATCH = 64
_SMALL_PRIMES = gmpy2.primorial(4000)


@dataclass(frozen=True)
class PublicKey:
    """The modulus n, h_s = (-x^2)^(n^s) modulo n^(s+1), and s.

    Of a key that is received, n goes through `blum_modulus.verify`, and h_s is computed by `noise_base`.
    """

    n: int
    hs: int
    s: int = 1

    @property
    def bits(self) -> int:
        """|n|, in bits."""
        return self.n.bit_length()

    @cached_property
    def modulus(self) -> int:
        """n^(s+1), the ciphertexts' modulus."""
        return int(self.n ** (self.s + 1))

    @cached_property
    def plaintexts(self) -> int:
        """n^s, the plaintexts' modulus."""
        return int(self.n**self.s)

    @property
    def plaintext_bits(self) -> int:
        """Every integer of so many bits is below n^s, whatever n of this size."""
        return self.s * (self.bits - 1)

    @property
    def ciphertext_bytes(self) -> int:
        """The fixed width of one ciphertext."""
        return ((self.s + 1) * self.bits + 7) // 8

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 (32 bytes) of n and h_s, big-endian, each `ciphertext_bytes` wide, and of s where it is not 1."""
        width = self.ciphertext_bytes
        both = self.n.to_bytes(width, "big") + self.hs.to_bytes(width, "big")
        return hashlib.sha256(both + (bytes([self.s]) if self.s > 1 else b"")).digest()

    def check(self) -> None:
        """Raise BadMessage unless the key has the structure that its holder must have given it, as far as one can see.

        n has at least 256 bits, is 1 modulo 4 (p = q = 3 modulo 4), no prime and no power; h_s is in range, prime to n,
        not 1 or -1, and has Jacobi symbol 1 as every -x^2 has. That n has two prime factors is not visible:
        `blum_modulus` proves it.
        """
        integers("public key: n, h_s and s", (self.n, self.hs, self.s), BadMessage)
        if not 1 <= self.s <= LARGEST_S:
            raise BadMessage(f"public key: s is {self.s} and 1 to {LARGEST_S} are expected")
        if self.bits < MINIMUM_BITS:
            raise BadMessage(f"public key: n has {self.bits} bits and at least {MINIMUM_BITS} are expected")
        if self.n % 4 != 1 or gmpy2.is_prime(self.n) or gmpy2.is_power(self.n):
            raise BadMessage("public key: n is not a product of two distinct primes that are 3 modulo 4")
        if not 1 < self.hs < self.modulus - 1:
            raise BadMessage(f"public key: h_s is not between 1 and n^{self.s + 1} - 1")
        if gmpy2.gcd(self.hs, self.n) != 1 or gmpy2.jacobi(self.hs % self.n, self.n) != 1:
            raise BadMessage("public key: h_s is not the power of -x^2 for an x prime to n")


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """The primes p and q, both secret, and h_s and s of the public key.

    Raises ConfigurationError where p and q are not distinct primes that are 3 modulo 4 with gcd(p-1, q-1) = 2, or are
    too small: Damgård, Jurik and Nielsen need the squares modulo n to form one cyclic group.
    """

    p: int
    q: int
    hs: int
    s: int = 1

    def __post_init__(self) -> None:
        integers("private key: p, q, h_s and s", (self.p, self.q, self.hs, self.s))
        if self.p == self.q or gmpy2.gcd(self.p - 1, self.q - 1) != 2 or not all(map(_suits, (self.p, self.q))):
            raise ConfigurationError(
                "private key: p and q must be distinct primes, 3 modulo 4, with gcd(p - 1, q - 1) = 2, which noise by "
                "powers of h_s needs (Damgård, Jurik and Nielsen 2010); make a new key with `generate`"
            )
        if gmpy2.gcd(self.p * self.q, (self.p - 1) * (self.q - 1)) != 1 or self.public.bits < MINIMUM_BITS:
            raise ConfigurationError(f"private key: n must have {MINIMUM_BITS} bits and be prime to (p - 1)(q - 1)")
        _check_s(self.s)

    @cached_property
    def public(self) -> PublicKey:
        """The public key."""
        return PublicKey(self.p * self.q, self.hs, self.s)

    def __repr__(self) -> str:
        return f"PrivateKey(<redacted>, public={self.public.fingerprint.hex()})"


def generate(bits: int, rng: Random, s: int = 1, context: bytes = b"") -> PrivateKey:
    """Return a key with |n| = `bits` exactly, about a second at 3072, and the `noise_base` of `context`.

    p and q are uniform among the primes that are 3 modulo 4 and whose two highest bits are set, with gcd(p-1, q-1) = 2
    and |p - q| > 2^(bits/2 - 100) (FIPS 186-5, A.1.3). An even number of at least 256 bits is accepted, which protects
    nothing: the strategies ask for 2048 or more. Raises ConfigurationError for other sizes, and for s not 1 or 2.
    """
    bits = integer("key size", bits)
    _check_s(s)
    if bits < MINIMUM_BITS or bits % 2:
        raise ConfigurationError(f"key size: {bits} bits; an even number of at least {MINIMUM_BITS} is needed")
    p = _prime(bits // 2, rng)
    while True:
        q = _prime(bits // 2, rng)
        if gmpy2.gcd(p - 1, q - 1) == 2 and abs(p - q) >> (bits // 2 - 100):
            return PrivateKey(p, q, noise_base(p * q, s, context), s)


def noise_base(n: int, s: int = 1, context: bytes = b"") -> int:
    """Return h_s = (-x^2)^(n^s) mod n^(s+1), the same to everybody who has n, s and `context`.

    x is the first unit modulo n that SHAKE-256 gives of them, so whoever made n did not choose h_s.
    """
    width = (n.bit_length() + 7) // 8
    seed = b"fedsec noise base" + hashlib.sha256(context).digest() + bytes([s]) + n.to_bytes(width, "big")
    drawn = (hashed(seed + i.to_bytes(4, "big"), n) for i in itertools.count())
    x = next(x for x in drawn if gmpy2.gcd(x, n) == 1)
    return int(gmpy2.powmod(-x * x % n, n**s, n ** (s + 1)))


def exponent_bits(public: PublicKey, policy: Policy) -> int:
    """Return the length of the noise's exponent. Raises ConfigurationError for a policy or size that has none."""
    if policy == "conservative":
        return (public.bits + 1) // 2
    if policy == "uniform":
        return public.bits + 64
    if policy == "fast":
        for size, length in _FAST_BITS.items():
            if public.bits <= size:
                return length
        raise ConfigurationError(f"policy fast: n has {public.bits} bits and at most 4096 are expected")
    raise ConfigurationError(f"policy {policy!r}: no short exponent (choose from {', '.join(POLICIES)})")


def noise(public: PublicKey, count: int, rng: Random, policy: Policy = "conservative") -> list[mpz]:
    """Return `count` fresh encryptions of 0, in [1, n^(s+1)): a secret until used, and used once. See `NoisePool`.

    The first call for a key and policy builds a table that the process keeps, for two keys at most: some 48 MB and a
    fifth of a second at 3072 bits, conservative. Raises ConfigurationError for an unknown policy.
    """
    count = integer("noise: count", count)
    if count < 0:
        raise ConfigurationError(f"noise: {count} values were asked for; at least 0 are needed")
    if policy == "standard":
        units = [_unit(public.n, rng) for _ in range(count)]
        return modexp.powers(units, public.plaintexts, public.n, public.s + 1)
    return _fixed_base(public, policy).powers(_exponents(public, count, rng, policy))


def blind(public: PublicKey, plaintexts: Sequence[int], fresh: Sequence[int]) -> list[int]:
    """Return (1 + n)^m f mod n^(s+1) for each plaintext m in [0, n^s) and each f of `noise`, as many as plaintexts.

    Raises ConfigurationError where a plaintext is no integer or outside [0, n^s), or the counts differ.
    """
    plaintexts, fresh = integers("plaintexts", plaintexts), integers("noise", fresh)
    if len(fresh) != len(plaintexts):
        raise ConfigurationError(f"noise: {len(fresh)} values for {len(plaintexts)} plaintexts; each needs its own")
    if not plaintexts:
        return []
    n, powers = mpz(public.n), []
    for digits in _powers_of_g(public, plaintexts):
        powers.append(sum(digit * n**i for i, digit in enumerate(digits)))
    return [int(c) for c in modexp.product([powers, fresh], public.modulus)]


def encrypt(public: PublicKey, plaintexts: Sequence[int], rng: Random, policy: Policy = "conservative") -> list[int]:
    """Return one ciphertext in [1, n^(s+1)) for each plaintext in [0, n^s). Raises as `noise` and `blind` do."""
    plaintexts = integers("plaintexts", plaintexts)
    if policy == "standard":
        return blind(public, plaintexts, noise(public, len(plaintexts), rng, policy))
    factors = _powers_of_g(public, plaintexts)
    exponents = _exponents(public, len(plaintexts), rng, policy)
    return [int(c) for c in _fixed_base(public, policy).powers(exponents, factors)]


_POOLS: weakref.WeakSet[NoisePool] = weakref.WeakSet()


class NoisePool:
    """Noise made before it is needed, in idle time; each value is handed out once.

    What was made before a fork is dropped in the child, and a pool cannot be copied or pickled: two holders of one
    value would encrypt under the same noise, and the quotient of two such ciphertexts gives the difference away.
    """

    def __init__(self, public: PublicKey, rng: Random, policy: Policy = "conservative") -> None:
        self._public, self._rng, self._policy = public, rng, policy
        self._made: list[mpz] = []
        self._process, self._lock = os.getpid(), threading.Lock()
        _POOLS.add(self)

    def __len__(self) -> int:
        """The values that are there."""
        return len(self._made) if self._process == os.getpid() else 0

    def fill(self, count: int) -> None:
        """Make `count` values more. Raises ConfigurationError as `noise` does."""
        fresh = noise(self._public, count, self._rng, self._policy)
        with self._lock:
            self._own()
            self._made += fresh

    def encrypt(self, plaintexts: Sequence[int]) -> list[int]:
        """As `encrypt`, by the values that are there, and by new ones where they are too few."""
        plaintexts = integers("plaintexts", plaintexts)  # before any value is taken: each is used once
        with self._lock:
            self._own()
            at = max(0, len(self._made) - len(plaintexts))
            ready, self._made = self._made[at:], self._made[:at]
        missing = noise(self._public, len(plaintexts) - len(ready), self._rng, self._policy)
        return blind(self._public, plaintexts, ready + missing)

    def _own(self) -> None:
        if self._process != os.getpid():
            self._made, self._process = [], os.getpid()

    def _forget(self) -> None:
        self._made, self._process, self._lock = [], os.getpid(), threading.Lock()

    def __repr__(self) -> str:
        return f"NoisePool(<{len(self)} values>)"

    def __reduce__(self) -> str:
        raise TypeError("a pool of noise cannot be copied or pickled: its values are used once")


def _after_fork() -> None:
    """What a parent has made is the parent's: process ids alone do not tell, in a namespace of their own."""
    for pool in _POOLS:
        pool._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def decrypt(private: PrivateKey, ciphertexts: Sequence[int]) -> list[int]:
    """Return the plaintexts, in [0, n^s), of ciphertexts in (0, n^(s+1)), by p and q apart (Paillier 1999, section 7).

    Raises BadMessage, naming the place, for one that is out of range or not prime to n.
    """
    ciphertexts = _in_range(private.public, ciphertexts)
    p, q, s = mpz(private.p), mpz(private.q), private.s
    modulo_p, modulo_q = _logarithms(ciphertexts, p, q, s), _logarithms(ciphertexts, q, p, s)
    big, other = p**s, q**s
    inverse = gmpy2.invert(other, big)
    return [int(b + other * ((a - b) * inverse % big)) for a, b in zip(modulo_p, modulo_q, strict=True)]


def add(public: PublicKey, batches: Sequence[Sequence[int]]) -> list[int]:
    """Return the ciphertexts of the sums, position by position: one product modulo n^(s+1) per addend.

    Raises ConfigurationError for no batches, and BadMessage where their lengths differ.
    """
    return [int(c) for c in modexp.product(batches, public.modulus)]


def validate(public: PublicKey, ciphertexts: Sequence[int]) -> None:
    """Raise BadMessage, naming the place, unless every ciphertext is in (0, n^(s+1)) and prime to n (64 at a time)."""
    ciphertexts = _in_range(public, ciphertexts)
    n = mpz(public.n)
    for start in range(0, len(ciphertexts), _GCD_BATCH):
        total = mpz(1)
        for c in ciphertexts[start : start + _GCD_BATCH]:
            total = total * c % n
        if gmpy2.gcd(total, n) != 1:
            first = next(i for i in range(start, len(ciphertexts)) if gmpy2.gcd(ciphertexts[i], n) != 1)
            raise BadMessage(f"ciphertext {first}: it is not prime to n")


def _in_range(public: PublicKey, ciphertexts: Sequence[int]) -> list[int]:
    modulus, found = public.modulus, integers("ciphertexts", ciphertexts, BadMessage)
    for i, c in enumerate(found):
        if not 0 < c < modulus:
            raise BadMessage(f"ciphertext {i}: it is not between 0 and n^{public.s + 1}")
    return found


def _check_s(s: int) -> None:
    if type(s) is not int or not 1 <= s <= LARGEST_S:
        raise ConfigurationError(f"s is {s!r}: 1 is Paillier's cryptosystem, 2 Damgård and Jurik's next one")


def _exponents(public: PublicKey, count: int, rng: Random, policy: Policy) -> list[int]:
    length = exponent_bits(public, policy)
    return [randbits(length, rng) for _ in range(count)]


def _powers_of_g(public: PublicKey, plaintexts: Sequence[int]) -> list[tuple[int | mpz, ...]]:
    """Return (1 + n)^m mod n^(s+1), as s + 1 digits in base n, of each plaintext: its binomial series.

    With m = a + b n: 1 + a n + (b + a (a - 1) / 2) n^2, up to n^s.
    """
    n = mpz(public.n)
    if any(not 0 <= m < public.plaintexts for m in plaintexts):
        raise ConfigurationError(f"plaintexts: one is not in [0, n^{public.s})")
    if public.s == 1:
        return [(1, m) for m in plaintexts]
    pairs = (gmpy2.f_divmod(mpz(m), n) for m in plaintexts)
    return [(1, a, (b + a * (a - 1) // 2) % n) for b, a in pairs]


def _fixed_base(public: PublicKey, policy: Policy) -> modexp.FixedBase:
    return _table(public, exponent_bits(public, policy), modexp.engine().name)


@lru_cache(maxsize=2)
def _table(public: PublicKey, length: int, engine: str) -> modexp.FixedBase:
    return modexp.engine(engine).fixed_base(public.hs, public.n, public.s + 1, length)


def _logarithms(ciphertexts: Sequence[int], p: mpz, q: mpz, s: int) -> list[mpz]:
    """Return the plaintexts modulo p^s.

    c^(p-1) = (1 + n)^M modulo p^(s+1), where M = m (p - 1), since noise to the p - 1 is 1 there. Of
    L = (c^(p-1) - 1) / p = M q + M (M - 1) / 2 q^2 p modulo p^2 the second term needs M modulo p alone (Damgård and
    Jurik 2001, theorem 1, with p for n).
    """
    big = p**s
    scale, back = gmpy2.invert(q, big), gmpy2.invert(p - 1, big)
    result = []
    for i, power in enumerate(modexp.powers([mpz(c) % (big * p) for c in ciphertexts], p - 1, p, s + 1)):
        quotient, remainder = gmpy2.f_divmod(power - 1, p)
        if remainder:
            raise BadMessage(f"ciphertext {i}: it is not prime to n")
        found = quotient * scale % big
        if s == 2:
            low = found % p
            found = (found - low * (low - 1) // 2 % p * q * p) % big
        result.append(found * back % big)
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
