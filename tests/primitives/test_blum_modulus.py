"""The proof of a Paillier-Blum modulus: each equation by Python's integers, and moduli that nobody can prove."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from itertools import count, islice

import gmpy2
import pytest

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import blum_modulus
from fedsec.primitives.blum_modulus import FOURTH_ROOTS, NTH_ROOTS, TRIAL_BITS, challenges, proof_bytes, prove, verify
from fedsec.primitives.paillier import generate
from tests.tiers import slow

CONTEXT = b"session"
KEY = generate(512, os.urandom)
N = KEY.p * KEY.q
PROOF = prove(KEY.p, KEY.q, CONTEXT, os.urandom)


def numbers(n: int, proof: bytes) -> list[int]:
    width = (n.bit_length() + 7) // 8
    return [int.from_bytes(proof[at : at + width], "big") for at in range(0, len(proof), width)]


def joined(n: int, values: list[int]) -> bytes:
    return b"".join(value.to_bytes((n.bit_length() + 7) // 8, "big") for value in values)


def hashed(n: int, w: int, context: bytes) -> list[int]:
    """The challenges, from the words of the docstrings."""
    width = (n.bit_length() + 7) // 8
    seed = b"fedsec paillier-blum modulus" + hashlib.sha256(context).digest()
    seed += width.to_bytes(4, "big") + n.to_bytes(width, "big") + w.to_bytes(width, "big")
    streams = (hashlib.shake_256(seed + i.to_bytes(4, "big")).digest(width + 16) for i in range(136))
    return [int.from_bytes(stream, "big") % n for stream in streams]


@pytest.mark.parametrize("bits", [258, *slow([256, 510, 512, 1024])])
def test_every_equation_of_an_honest_proof_holds(bits: int) -> None:
    key = generate(bits, os.urandom)
    n, p, q = key.public.n, key.p, key.q
    proof = prove(p, q, CONTEXT, os.urandom)
    verify(n, proof, CONTEXT)
    w, *roots = numbers(n, proof)
    assert len(proof) == proof_bytes(bits) and len(roots) == FOURTH_ROOTS + NTH_ROOTS == 136
    assert NTH_ROOTS * TRIAL_BITS == FOURTH_ROOTS == 128
    ys = hashed(n, w, CONTEXT)
    assert challenges(n, w, CONTEXT) == (ys[:128], ys[128:])
    assert pow(w, (p - 1) // 2, p) * pow(w, (q - 1) // 2, q) in (p - 1, q - 1)  # a square modulo one of them alone
    for y, x in zip(ys[:128], roots[:128], strict=True):
        assert [y, -y % n, w * y % n, -w * y % n].count(pow(x, 4, n)) == 1
        assert pow(x, (p - 1) // 2, p) == 1 == pow(x, (q - 1) // 2, q)  # a square: which root it is tells nothing
    assert [pow(z, n, n) for z in roots[128:]] == ys[128:]


def test_proofs_are_new_and_bound_to_modulus_and_context() -> None:
    again = prove(KEY.p, KEY.q, CONTEXT, os.urandom)
    assert not set(numbers(N, again)) & set(numbers(N, PROOF))
    other = generate(512, os.urandom).public.n
    for n, context in ((N, b""), (N, CONTEXT + b"\0"), (other, CONTEXT)):
        with pytest.raises(BadMessage, match="proof of the modulus"):
            verify(n, PROOF, context)


@pytest.mark.parametrize("place", [0, 1, 64, 128, 129, 136])
def test_any_other_number_is_refused(place: int) -> None:
    values = numbers(N, PROOF)
    for wrong, words in (
        (0, "not between 0 and n"),
        (N, "not between 0 and n"),
        (values[place] + N, "not between|bytes"),
        (values[place] ^ 1, r"w is not -1|root \d+ does not hold"),
        (1, r"w is not -1|root \d+ does not hold"),
    ):
        if wrong.bit_length() <= 512:
            with pytest.raises(BadMessage, match=words):
                verify(N, joined(N, [*values[:place], wrong, *values[place + 1 :]]), CONTEXT)


def test_a_w_that_would_answer_everything_is_refused() -> None:
    """w = 0 makes 0 a root of wy, and a w of another symbol leaves the four candidates in fewer cosets."""
    for w in (KEY.p, 4, N - 4, KEY.p * 5):
        with pytest.raises(BadMessage, match="Jacobi symbol of w is not -1"):
            verify(N, joined(N, [w] + [1] * 136), CONTEXT)
    with pytest.raises(BadMessage, match="not between 0 and n"):
        verify(N, bytes(len(PROOF)), CONTEXT)
    for bad in (b"", PROOF[:-1], PROOF + b"\0"):
        with pytest.raises(BadMessage, match=f"{len(bad)} bytes came and {len(PROOF)} were expected"):
            verify(N, bad, CONTEXT)


def prime(above: int, modulo: int, residue: int) -> int:
    found = gmpy2.next_prime(above)
    while found % modulo != residue:
        found = gmpy2.next_prime(found)
    return int(found)


def root(value: int, k: int, powers: dict[int, int]) -> int | None:
    """A k-th root of a unit modulo the product of p^e, or None where there is none, for all p and e of `powers`.

    Where the k-th powers have an order that is prime to k, which these moduli are chosen for.
    """
    n, result = math.prod(p**e for p, e in powers.items()), 0
    for p, e in powers.items():
        part, order = p**e, p ** (e - 1) * (p - 1)
        while math.gcd(k, order) > 1:
            order //= math.gcd(k, order)
        if pow(value, order, part) != 1:
            return None
        found, rest = pow(value, pow(k, -1, order), part), n // part
        result += found * rest * pow(rest, -1, part)
    return result % n


def best(powers: dict[int, int]) -> tuple[int, int, int, bytes]:
    """How far one gets who knows n's factors, with the best of eight w.

    n, how many fourth and n-th roots exist, and a proof with these.
    """
    n, tried = math.prod(p**e for p, e in powers.items()), []
    for w in islice((w for w in count(2) if gmpy2.jacobi(w, n) == -1), 8):
        ys = hashed(n, w, CONTEXT)
        fourth = [first_root((y, -y % n, w * y % n, -w * y % n), powers) for y in ys[:128]]
        nth = [root(y, n, powers) for y in ys[128:]]
        proof = joined(n, [w, *(1 if x is None else x for x in (*fourth, *nth))])
        tried.append((n, 128 - fourth.count(None), 8 - nth.count(None), proof))
    return max(tried)


def first_root(candidates: Iterable[int], powers: dict[int, int]) -> int | None:
    return next((x for c in candidates if (x := root(c, 4, powers)) is not None), None)


@pytest.mark.slow
def test_whoever_knows_the_factors_of_an_honest_modulus_answers_all() -> None:
    """The prover of these tests is the same for every modulus: where it fails below, the modulus is to blame."""
    n, fourth, nth, proof = best({KEY.p: 1, KEY.q: 1})
    assert (n, fourth, nth) == (N, 128, 8)
    verify(n, proof, CONTEXT)


A, B, C = (prime(1 << bits, 4, 3) for bits in (130, 140, 150))
D, E = (prime(1 << bits, 8, 5) for bits in (131, 141))
LARGE = next(k for k in range(2, 10_000, 2) if gmpy2.is_prime(k * A + 1) and (k * A + 1) % 4 == 3) * A + 1
SMALL = 65539
OVER_SMALL = next(k for k in range(1 << 240, 1 << 241, 2) if gmpy2.is_prime(k * SMALL + 1) and k % 4 == 2) * SMALL + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("powers", "words"),
    [
        ({A: 1, B: 1, C: 1}, "fourth root"),
        ({A: 1, D: 1}, "fourth root"),
        ({D: 1, E: 1}, "fourth root"),
        ({A: 1, B: 1, D: 1, E: 1}, "fourth root"),
        ({A: 2, B: 1}, "n-th root"),
        ({A: 3}, "n-th root"),
        ({A: 1, LARGE: 1}, "n-th root"),
        ({SMALL: 1, OVER_SMALL: 1}, "n-th root"),
    ],
    ids=[
        "three primes",
        "one is 1 mod 4",
        "both are",
        "four primes",
        "p^2 q",
        "p^3",
        "p divides q - 1",
        "65539 divides q - 1",
    ],
)
def test_nobody_can_prove_another_modulus(powers: dict[int, int], words: str) -> None:
    n, fourth, nth, proof = best(powers)
    assert fourth < 128 or nth < 8
    if words == "fourth root":
        assert 0 < fourth < 100 and nth == 8  # half of them at most
    elif words == "n-th root":
        assert nth == 0
    with pytest.raises(BadMessage, match=f"proof of the modulus: .*{words}"):
        verify(n, proof, CONTEXT)


@pytest.mark.slow
def test_half_of_all_numbers_have_an_answer_where_n_has_three_primes() -> None:
    _, fourth, _, _ = best({A: 1, B: 1, C: 1})
    assert 30 <= fourth <= 98  # six standard deviations around 64


def test_moduli_that_anybody_sees_through_are_refused() -> None:
    square = A * A * D * D  # no number has symbol -1
    values = [2] + [1] * 136
    for n, words in (
        (15, "n has 4 bits and at least 256 are expected"),
        (2 * A * B, r"a prime factor below 2\^16"),
        (3 * A * B, r"a prime factor below 2\^16"),
        (65521 * A * B, r"a prime factor below 2\^16"),
        (prime(1 << 300, 4, 1), "n is prime"),
        (prime(1 << 300, 4, 3), "n is prime"),
        (square, "Jacobi symbol of w is not -1"),
        (-N, "n has 0 bits"),
    ):
        with pytest.raises(BadMessage, match=words):
            verify(n, joined(abs(n), values), CONTEXT)
    with pytest.raises(BadMessage, match="n: a value of type float"):
        verify(1e80, PROOF, CONTEXT)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_factor_that_a_hash_finds_is_refused() -> None:
    """A modulus with a factor of 17 bits: one number in 65,539 is a multiple of it."""
    n = SMALL * B * C
    w, context = next(w for w in range(2, n) if gmpy2.jacobi(w, n) == -1), 0
    while all(math.gcd(y, n) == 1 for y in hashed(n, w, context.to_bytes(4, "big"))):
        context += 1
    with pytest.raises(BadMessage, match="n has a factor that a hash finds"):
        verify(n, joined(n, [w] + [1] * 136), context.to_bytes(4, "big"))


def test_what_cannot_be_proven_is_refused_to_the_prover() -> None:
    small = [prime(1 << 60, 4, 3), prime(1 << 61, 4, 3)]
    for p, q, words in (
        (A, A, "distinct primes"),
        (A, D, "distinct primes"),
        (A, B + 4, "distinct primes"),
        (-A, -B, "distinct primes"),
        (*small, "256 bits"),
        (A, LARGE, r"prime to \(p - 1\)\(q - 1\)"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            prove(p, q, CONTEXT, os.urandom)


def test_a_root_that_was_computed_wrongly_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right modulo p and wrong modulo q, its fourth power minus y shares p with n."""
    right = blum_modulus._power
    monkeypatch.setattr(
        blum_modulus, "_power", lambda base, exponents, p, q: (right(base, exponents, p, q) + p) % (p * q)
    )
    with pytest.raises(BadMessage, match="fourth root 0 does not hold"):
        prove(KEY.p, KEY.q, CONTEXT, os.urandom)
