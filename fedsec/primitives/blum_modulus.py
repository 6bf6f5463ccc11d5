"""A proof that n is a Paillier-Blum modulus: odd, a product of two primes that are 3 modulo 4, prime to phi(n).

Reference: R. Canetti, R. Gennaro, S. Goldfeder, N. Makriyannis and U. Peled, "UC Non-Interactive, Proactive, Threshold
ECDSA with Identifiable Aborts" (ePrint 2021/060), figure 16, by Fiat and Shamir's transform. The prover sends w with
Jacobi symbol -1; numbers y are hashed from w, n and a context; it answers each with a fourth root of y, -y, wy or -wy,
or with an n-th root of y.

Fourth roots: where n is square-free and no Blum integer, at most half of all y have one, and 128 are asked for. n-th
roots: where n has a factor in common with phi(n), this factor's smallest prime divides the index of the n-th powers. A
verifier that looks for prime factors below 2^16 itself needs eight of them, not 128, for an error of 2^-128 (S.
Goldberg, L. Reyzin, O. Sagga and F. Baldimtsi, Asiacrypt 2019). Either way who tries t hashes succeeds with probability
t 2^-128. In the random-oracle model the proof tells nothing else of p and q.

It does not show how large p and q are beyond 2^16, how they were drawn, or who else knows them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import gmpy2
from gmpy2 import mpz

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.integers import integer, integers
from fedsec.primitives.randomness import Random, randbelow

FOURTH_ROOTS = 128
NTH_ROOTS = 8
TRIAL_BITS = 16
"""Prime factors below 2^16 are looked for; NTH_ROOTS * TRIAL_BITS is the security level, as FOURTH_ROOTS is."""
MINIMUM_BITS = 256


def proof_bytes(bits: int) -> int:
    """The length of a proof for a modulus of so many bits: w and every root, each as long as the modulus."""
    return (1 + FOURTH_ROOTS + NTH_ROOTS) * _width(bits)


def prove(p: int, q: int, context: bytes, rng: Random) -> bytes:
    """Return the proof for n = pq, bound to `context`: w, fourth roots and n-th roots, big-endian, of one width.

    It is checked before it is returned: a root that is wrong modulo one of the primes only would give n's factors away.
    Raises ConfigurationError where p and q make no Paillier-Blum modulus of at least 256 bits.
    """
    p, q = map(mpz, integers("proof: p and q", (p, q)))
    n = int(p * q)
    if any(prime % 4 != 3 or not gmpy2.is_prime(prime) for prime in (p, q)) or p == q:
        raise ConfigurationError("proof: p and q must be distinct primes that are 3 modulo 4")
    if n.bit_length() < MINIMUM_BITS or gmpy2.gcd(n, (p - 1) * (q - 1)) != 1:
        raise ConfigurationError(f"proof: n = pq must have {MINIMUM_BITS} bits and be prime to (p - 1)(q - 1)")
    w = _of_symbol_minus_one(n, rng)
    fourth, nth = challenges(n, w, context)
    quarters = [gmpy2.invert(4, (prime - 1) // 2) for prime in (p, q)]  # squares have odd order (prime - 1) / 2
    inverses = [gmpy2.invert(n, prime - 1) for prime in (p, q)]
    roots = [_power(_residue(y, w, p, q), quarters, p, q) for y in fourth] + [_power(y, inverses, p, q) for y in nth]
    proof = b"".join(int(number).to_bytes(_width(n.bit_length()), "big") for number in (w, *roots))
    verify(n, proof, context)
    return proof


def verify(n: int, proof: bytes, context: bytes) -> None:
    """Raise BadMessage unless `proof` shows, for this `context`, that n is a Paillier-Blum modulus.

    n has at least 256 bits; some eight powers modulo n are computed. The error names the root that does not hold.
    """
    n = integer("public key: n", n, BadMessage)
    bits = n.bit_length() if n > 0 else 0
    if bits < MINIMUM_BITS:
        raise BadMessage(f"public key: n has {bits} bits and at least {MINIMUM_BITS} are expected")
    if gmpy2.gcd(n, _small_primes()) != 1:
        raise BadMessage(f"public key: n has a prime factor below 2^{TRIAL_BITS}; have the key holder make a new key")
    if gmpy2.is_prime(n):
        raise BadMessage("public key: n is prime, so anybody can decrypt; have the key holder make a new key")
    w, *roots = _numbers(n, proof)
    if gmpy2.jacobi(w, n) != -1:  # w = 0 would answer everything by roots that are 0
        raise BadMessage("proof of the modulus: the Jacobi symbol of w is not -1")
    fourth, nth = challenges(n, w, context)
    for i, (y, x) in enumerate(zip(fourth, roots[:FOURTH_ROOTS], strict=True)):
        if gmpy2.powmod(x, 4, n) not in _candidates(y, w, n):
            raise BadMessage(f"proof of the modulus: fourth root {i} does not hold for this n in this session")
    for i, (y, z) in enumerate(zip(nth, roots[FOURTH_ROOTS:], strict=True)):
        if gmpy2.powmod(z, n, n) != y:
            raise BadMessage(f"proof of the modulus: n-th root {i} does not hold for this n in this session")


def challenges(n: int, w: int, context: bytes) -> tuple[list[int], list[int]]:
    """Return the numbers that need a fourth root and those that need an n-th root, by SHAKE-256 of n, w and context.

    Raises BadMessage where one is not prime to n, since it gives a factor away; by chance that happens to nobody.
    """
    width = _width(n.bit_length())
    numbers = width.to_bytes(4, "big") + n.to_bytes(width, "big") + int(w).to_bytes(width, "big")
    seed = b"fedsec paillier-blum modulus" + hashlib.sha256(context).digest() + numbers
    drawn = [hashed(seed + i.to_bytes(4, "big"), n) for i in range(FOURTH_ROOTS + NTH_ROOTS)]
    total = mpz(1)
    for y in drawn:
        total = total * y % n
    if gmpy2.gcd(total, n) != 1:
        raise BadMessage("public key: n has a factor that a hash finds; have the key holder make a new key")
    return drawn[:FOURTH_ROOTS], drawn[FOURTH_ROOTS:]


def hashed(seed: bytes, n: int) -> int:
    """Return a number in [0, n), within 2^-128 of uniform: SHAKE-256 of `seed`, 16 bytes longer than n, modulo n."""
    return int.from_bytes(hashlib.shake_256(seed).digest(_width(n.bit_length()) + 16), "big") % n


def _numbers(n: int, proof: bytes) -> list[mpz]:
    width, expected = _width(n.bit_length()), proof_bytes(n.bit_length())
    if len(proof) != expected:
        raise BadMessage(f"proof of the modulus: {len(proof)} bytes came and {expected} were expected")
    numbers = [mpz(int.from_bytes(proof[at : at + width], "big")) for at in range(0, expected, width)]
    if not all(0 < number < n for number in numbers):
        raise BadMessage("proof of the modulus: a number is not between 0 and n")
    return numbers


def _candidates(y: int, w: int, n: int) -> tuple[mpz, ...]:
    """Of a Blum integer exactly one of these is a square, and so a fourth power: (-1)^a w^b y for bits a and b."""
    turned = mpz(w) * y % n
    return mpz(y), n - mpz(y), turned, n - turned


def _residue(y: int, w: int, p: mpz, q: mpz) -> mpz:
    return next(c for c in _candidates(y, w, int(p * q)) if gmpy2.jacobi(c, p) == 1 == gmpy2.jacobi(c, q))


def _power(base: int | mpz, exponents: list[mpz], p: mpz, q: mpz) -> mpz:
    """Return the number modulo pq that is base^exponent modulo each of p and q, by their exponents."""
    by_p, by_q = (gmpy2.powmod(base, e, prime) for e, prime in zip(exponents, (p, q), strict=True))
    return by_q + q * ((by_p - by_q) * gmpy2.invert(q, p) % p)


def _of_symbol_minus_one(n: int, rng: Random) -> int:
    while True:
        w = randbelow(n, rng)
        if gmpy2.jacobi(w, n) == -1:
            return w


def _width(bits: int) -> int:
    return (bits + 7) // 8


@lru_cache(maxsize=1)
def _small_primes() -> mpz:
    return gmpy2.primorial(1 << TRIAL_BITS)
