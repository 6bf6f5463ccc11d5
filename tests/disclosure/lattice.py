"""Short vectors of a lattice by the algorithm of Lenstra, Lenstra and Lovász (1982), in exact fractions."""

from __future__ import annotations

from fractions import Fraction

Row = list[int]


def reduced(basis: list[Row], delta: Fraction = Fraction(3, 4)) -> list[Row]:
    """An LLL-reduced basis of the same lattice; its first vector is short."""
    basis, place = [list(row) for row in basis], 1
    shares, norms = _orthogonal(basis)
    while place < len(basis):
        for before in reversed(range(place)):
            if times := round(shares[place][before]):
                basis[place] = [a - times * b for a, b in zip(basis[place], basis[before], strict=True)]
                shares, norms = _orthogonal(basis)
        if norms[place] >= (delta - shares[place][place - 1] ** 2) * norms[place - 1]:
            place += 1
        else:
            basis[place - 1], basis[place] = basis[place], basis[place - 1]
            shares, norms = _orthogonal(basis)
            place = max(place - 1, 1)
    return basis


def _orthogonal(basis: list[Row]) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Gram and Schmidt's coefficients, and the squared norms of their vectors."""
    vectors: list[list[Fraction]] = []
    shares, norms = [], []
    for row in basis:
        vector, own = [Fraction(each) for each in row], []
        for other, norm in zip(vectors, norms, strict=True):
            own.append(sum((a * b for a, b in zip(row, other, strict=True)), Fraction(0)) / norm)
            vector = [a - own[-1] * b for a, b in zip(vector, other, strict=True)]
        vectors.append(vector)
        norms.append(sum((each * each for each in vector), Fraction(0)))
        shares.append(own)
    return shares, norms


def common_denominator(values: list[Fraction], precision: int) -> int:
    """A small number D for which each D·value is nearly whole, if there is one; values are known to 2^-precision."""
    scale, size = 1 << precision, len(values)
    basis = [[1, *(round(scale * value) for value in values)]]
    basis += [[0, *(scale * int(row == column) for column in range(size))] for row in range(size)]
    return abs(reduced(basis)[0][0])
