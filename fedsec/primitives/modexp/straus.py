"""Products of powers of several bases modulo one number, by GMP, one product after another."""

from __future__ import annotations

from collections.abc import Sequence

from gmpy2 import mpz


def multiply(terms: Sequence[tuple[mpz, int]], modulus: mpz) -> mpz:
    """The product of base^exponent, exponents above 0, squarings shared (Straus 1964): each base has a window."""
    total, rest = mpz(1), []
    for base, exponent in terms:
        if exponent == 1:
            total = total * base % modulus
        else:
            rest.append((base, exponent))
    if not rest:
        return total
    longest = max(exponent.bit_length() for _, exponent in rest)
    bits = 2 if len(rest) == 2 and longest <= 128 else 1 if longest <= 8 else 3 if longest <= 160 else 5
    if bits == 2:
        one, other = rest
        return total * _both(one, other, modulus) % modulus
    return total * _windows(rest, bits, longest, modulus) % modulus


def _windows(terms: Sequence[tuple[mpz, int]], bits: int, longest: int, modulus: mpz) -> mpz:
    tables = []
    for base, exponent in terms:
        table = [mpz(1), base]
        for _ in range((1 << bits) - 2):
            table.append(table[-1] * base % modulus)
        tables.append((table, exponent))
    total, mask = mpz(1), (1 << bits) - 1
    for low in range(-(-longest // bits) * bits - bits, -1, -bits):
        if total != 1:
            for _ in range(bits):
                total = total * total % modulus
        for table, exponent in tables:
            if digit := (exponent >> low) & mask:
                total = total * table[digit] % modulus
    return total


def _both(one: tuple[mpz, int], other: tuple[mpz, int], modulus: mpz) -> mpz:
    """Two bases and one table, of the products of their powers up to 3 (Shamir's trick)."""
    (a, m), (b, n) = one, other
    table = [mpz(1), a, a * a % modulus]
    table.append(table[2] * a % modulus)
    for _ in range(12):
        table.append(table[-4] * b % modulus)
    total = mpz(1)
    for low in range((max(m.bit_length(), n.bit_length()) - 1) // 2 * 2, -1, -2):
        if total != 1:
            total = total * total % modulus
            total = total * total % modulus
        if digit := (n >> low & 3) << 2 | (m >> low & 3):
            total = total * table[digit] % modulus
    return total
