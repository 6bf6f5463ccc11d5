"""Sums of encrypted numbers with known factors, many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import gmpy2
from gmpy2 import mpz

from fedsec.primitives import modexp
from fedsec.primitives.paillier import PublicKey

Terms = Sequence[tuple[Any, int]]
Sum = tuple[Terms, int]
"""Numbers with their factors, and a constant."""


def inverses(numbers: Sequence[mpz], modulus: mpz) -> list[mpz]:
    """The inverse of each, by one inversion (Montgomery 1987)."""
    if not numbers:
        return []
    products = [mpz(1)]
    for number in numbers:
        products.append(products[-1] * number % modulus)
    rest, out = gmpy2.invert(products[-1], modulus), []
    for number, before in zip(reversed(numbers), reversed(products[:-1]), strict=True):
        out.append(rest * before % modulus)
        rest = rest * number % modulus
    return out[::-1]


def encrypted_sums(public: PublicKey, sums: Sequence[Sum]) -> list[mpz]:
    """constant + the sum of each ciphertext's number times its factor, encrypted, for each of `sums`.

    Without fresh noise. Sums of as many factors beyond 1 in size are computed side by side.
    """
    n, modulus = mpz(public.n), mpz(public.modulus)
    below = iter(inverses([mpz(c) for terms, _ in sums for c, factor in terms if factor < 0], modulus))
    out, alike = list[mpz](), defaultdict[int, list[tuple[int, list[tuple[mpz, int]]]]](list)
    for index, (terms, constant) in enumerate(sums):
        bases = [(next(below) if factor < 0 else mpz(c), abs(factor)) for c, factor in terms if factor]
        total = 1 + constant % n * n
        for base, size in bases:
            if size == 1:
                total = total * base % modulus
        out.append(total)
        if powers := [(base, size) for base, size in bases if size > 1]:
            alike[len(powers)].append((index, powers))
    for same in alike.values():
        columns = list(zip(*(powers for _, powers in same), strict=True))
        bases_of, exponents = ([[pair[which] for pair in column] for column in columns] for which in (0, 1))
        found = modexp.products_of_powers(bases_of, exponents, public.n, 2)
        for (index, _), power in zip(same, found, strict=True):
            out[index] = out[index] * power % modulus
    return [total % modulus for total in out]
