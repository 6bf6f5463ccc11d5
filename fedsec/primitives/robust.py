"""Opening shares of which some are false: those are found and corrected, as the errors of a Reed-Solomon code are.

Of m shares of polynomials of degree < t, up to e = (m - t) // 2 points may be false, each in whichever columns it
likes. Polynomials that m - e points agree with are the only ones: two sets of such points share m - 2e >= t points. So
if no more than e points are false, what is opened is right, and no other points are found false
(R. J. McEliece, D. V. Sarwate, On sharing secrets and Reed-Solomon codes, CACM 24(9), 1981). With m = t + 1 a false
share is detected and not corrected; with m = t it is not even detected.

Whether all points agree is seen in what the first t give for each further one. Long shares are condensed before that,
to sums of a tile of columns with random factors, the same for all: such sums are shares of one more secret. Where a
column of the tile is off, they agree with probability 1/p all the same (R. Freivalds, Probabilistic machines can use
less running time, IFIP Congress 1977).

`combine_plain` computes the same on Python integers, column by column, by another algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedsec.errors import BadMessage
from fedsec.primitives.field import Field
from fedsec.primitives.lagrange import interpolation
from fedsec.primitives.mersenne import Values
from fedsec.primitives.prg import expand
from fedsec.primitives.shamir import blocks, check_shares, check_values, columns_of, secret_points

TILE, CHECKS = 1 << 10, {31: 2, 61: 1}
"""Columns that are condensed at once, and to how many sums by the field's bits: a tile that is off is missed with
probability p^-2 or p^-1, and the factors stay in the first-level cache."""
CACHED, TILES = 1 << 21, 2
"""Bytes of shares that are worked on at once, which stay in cache, and the fewest tiles: a block has its own cost."""


@dataclass(frozen=True)
class Opened:
    """A secret, shape (count,), and the points whose shares are not on the polynomials that it was read from."""

    secret: Values
    off: frozenset[int]


def radius(shares: int, threshold: int) -> int:
    """Return e, how many of so many shares may be false."""
    return max(shares - threshold, 0) // 2


def combine(
    shares: Mapping[int, Values], threshold: int, field: Field, count: int, pack: int = 1, seed: bytes = b""
) -> Opened:
    """Return the secret, from `threshold` or more shares of shape (ceil(count / pack),), and whose shares are false.

    seed: 32 bytes that nobody could foresee who made shares. With them, shares of more than TILE columns are condensed
    before they are compared, and a lie is used with probability p^-2 or p^-1 for each liar; without, all columns are.

    Where points disagree, the first such column is decoded, and the points found false are left out from its block on;
    in the blocks before it all points agreed. Raises BadMessage, which names no point, where more than `radius` shares
    are false, and otherwise as `shamir.combine` does.
    """
    points = check_shares(shares, threshold, field, count, pack)
    out: Values = np.empty((pack, columns_of(count, pack)), dtype=field.word)
    room, trusted = radius(len(points), threshold), points
    condensed = bool(seed) and len(points) > threshold and out.shape[1] > TILE
    factors = field.random((CHECKS[field.bits], TILE), expand(seed)) if condensed else None
    height = len(points) + pack
    most = max(CACHED // (height * field.word.itemsize) // TILE, TILES) * TILE
    for start, memory in blocks(height, out.shape[1], field, most):
        part, values = slice(start, start + memory.shape[1]), memory[len(points) :]
        while True:
            rows = memory[: len(trusted)]
            for row, point in zip(rows, trusted, strict=True):
                row[:] = shares[point][part]
            column, largest = _column_off(rows, trusted, threshold, field, factors)
            if largest >= field.p:
                check_values(shares, field)
            if column is None:
                break
            false = locate(trusted, rows[:, column].tolist(), threshold, field)
            if not 0 < len(false) <= room - (len(points) - len(trusted)):
                raise void(len(points), threshold)
            trusted = [point for point in trusted if point not in false]
        weights = interpolation(tuple(trusted[:threshold]), secret_points(pack), field)
        field.product_into(weights, rows[:threshold], values, 0)
        out[:, part] = values
    return Opened(out.reshape(-1)[:count], frozenset(points).difference(trusted))


def _column_off(
    rows: Values, points: Sequence[int], threshold: int, field: Field, factors: Values | None
) -> tuple[int | None, int]:
    """Return the first column that is seen not to lie on one polynomial of degree < t, and the largest value."""
    if factors is None:
        return _first_off(rows, points, threshold, field), int(rows.max())
    sums, largest = field.condense(rows, factors)
    place = _first_off(sums.reshape(len(rows), -1), points, threshold, field)
    if place is None:
        return None, largest
    tile = place // len(factors) * TILE
    found = _first_off(rows[:, tile : tile + TILE].copy(), points, threshold, field)
    return (None if found is None else tile + found), largest


def _first_off(rows: Values, points: Sequence[int], threshold: int, field: Field) -> int | None:
    """Return the first column where the first t values give other further ones."""
    base, further = tuple(points[:threshold]), tuple(points[threshold:])
    if not further:
        return None
    expected = field.product(interpolation(base, further, field), rows[:threshold])
    differ = np.asarray((expected != rows[threshold:]).any(axis=0))
    return int(differ.argmax()) if differ.any() else None


def void(shares: int, threshold: int) -> BadMessage:
    """Return the error for shares of which too many are false."""
    most = radius(shares, threshold)
    return BadMessage(
        f"shares: {shares} came, {threshold} open the secret, and they are not on one polynomial; "
        + (f"more than {most} are false" if most else f"to correct one, {threshold + 2} are needed")
        + ", and nothing proves which"
    )


def locate(points: Sequence[int], values: Sequence[int], threshold: int, field: Field) -> frozenset[int]:
    """Return the points whose values are off the one polynomial of degree < t that all but `radius` of them are on.

    Empty where there is none, and where no value is off. For f of degree < t and k + 1 <= m - t, x^(k+1) f(x) is 0 at
    0 and interpolated by m points: with Lagrange's weights w, the syndromes sum_i w_i x_i^(k+1) y_i are 0. The values
    that are off make them a sum of powers of their points, which the shortest recurrence gives
    (J. L. Massey, IEEE Transactions on Information Theory 15(1), 1969).
    """
    p = field.p
    terms = [w * y % p for w, y in zip(interpolation(tuple(points), (0,), field)[0].tolist(), values, strict=True)]
    syndromes = []
    for _ in range(len(points) - threshold):
        terms = [term * point % p for term, point in zip(terms, points, strict=True)]
        syndromes.append(sum(terms) % p)
    recurrence, length = _shortest_recurrence(syndromes, field)
    # Its characteristic polynomial has the points that are off as roots, each once.
    off = frozenset(point for point in points if _horner(recurrence, point, p) == 0)
    return off if len(off) == length <= radius(len(points), threshold) else frozenset()


def _shortest_recurrence(sequence: Sequence[int], field: Field) -> tuple[list[int], int]:
    """Return 1, c_1, ..., c_L, and L, with s_n + c_1 s_(n-1) + ... + c_L s_(n-L) = 0 for all n >= L, and L least."""
    p = field.p
    current, earlier = [1], [1]
    length, gap, scale = 0, 1, 1  # gap and scale: how long ago `earlier` was given up, and for which discrepancy
    for n, value in enumerate(sequence):
        discrepancy = (
            value + sum(current[i] * sequence[n - i] for i in range(1, min(length, len(current) - 1) + 1))
        ) % p
        if discrepancy == 0:
            gap += 1
            continue
        factor = discrepancy * field.inverse(scale) % p
        shifted = [0] * gap + [factor * c % p for c in earlier]
        size = max(len(current), len(shifted))
        changed = [(a - b) % p for a, b in zip(_padded(current, size), _padded(shifted, size), strict=True)]
        if 2 * length <= n:
            length, earlier, scale, gap = n + 1 - length, current, discrepancy, 1
        else:
            gap += 1
        current = changed
    return _padded(current, length + 1)[: length + 1], length


def _padded(values: Sequence[int], size: int) -> list[int]:
    return [*values, *[0] * (size - len(values))]


def _horner(coefficients: Sequence[int], x: int, p: int) -> int:
    """The value at x of the polynomial with these coefficients, highest first."""
    value = 0
    for coefficient in coefficients:
        value = (value * x + coefficient) % p
    return value


def combine_plain(
    shares: Mapping[int, Sequence[int]], threshold: int, field: Field, count: int, pack: int = 1
) -> tuple[list[int], frozenset[int]]:
    """Return what `combine` does, on Python integers, decoding column by column: the reference."""
    points, p = sorted(shares), field.p
    most = radius(len(points), threshold)
    rows: list[list[int]] = [[] for _ in range(pack)]
    off: set[int] = set()
    for column in zip(*(shares[point] for point in points), strict=True):
        polynomial = welch_berlekamp(points, [int(value) for value in column], threshold, most, field)
        if polynomial is None:
            raise void(len(points), threshold)
        off |= {x for x, y in zip(points, column, strict=True) if _horner(polynomial[::-1], x, p) != int(y)}
        for row, point in zip(rows, secret_points(pack), strict=True):
            row.append(_horner(polynomial[::-1], point, p))
    if len(off) > most:
        raise void(len(points), threshold)
    return [value for row in rows for value in row][:count], frozenset(off)


def welch_berlekamp(
    points: Sequence[int], values: Sequence[int], threshold: int, most: int, field: Field
) -> list[int] | None:
    """Return the coefficients, lowest first, of the polynomial of degree < t that is off at `most` points at most.

    None where there is none. E is monic of degree `most` and 0 where the polynomial f is off, so Q = f E satisfies
    Q(x) = y E(x) at all points: m linear equations (E. R. Berlekamp, L. R. Welch, US patent 4 633 470, 1986, as in
    P. Gemmell, M. Sudan, Information Processing Letters 43(4), 1992). Any solution has f = Q / E.
    """
    p, size = field.p, threshold + most
    equations = [
        [*(pow(x, i, p) for i in range(size)), *(-y * pow(x, i, p) % p for i in range(most)), y * pow(x, most, p) % p]
        for x, y in zip(points, values, strict=True)
    ]
    solution = _solve(equations, field)
    if solution is None:
        return None
    found = _divide(solution[:size], [*solution[size:], 1], p)
    if found is None:
        return None
    agreeing = sum(_horner(found[::-1], x, p) == y for x, y in zip(points, values, strict=True))
    return found if agreeing >= len(points) - most else None


def _solve(equations: list[list[int]], field: Field) -> list[int] | None:
    """A solution of linear equations, the last entry of each its right side; unknowns that are free are 0."""
    p, rows, unknowns = field.p, [list(row) for row in equations], len(equations[0]) - 1
    pivots: list[int] = []
    for column in range(unknowns):
        done = len(pivots)
        pivot = next((i for i in range(done, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        inverse = field.inverse(rows[done][column])
        rows[done] = [value * inverse % p for value in rows[done]]
        for i, row in enumerate(rows):
            if i != done and row[column]:
                rows[i] = [(a - row[column] * b) % p for a, b in zip(row, rows[done], strict=True)]
        pivots.append(column)
    if any(row[-1] for row in rows[len(pivots) :]):
        return None
    solution = [0] * unknowns
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = row[-1]
    return solution


def _divide(over: Sequence[int], under: Sequence[int], p: int) -> list[int] | None:
    """The quotient of two polynomials, lowest coefficients first, `under` monic; None where a remainder is left."""
    rest, quotient = list(over), [0] * (len(over) - len(under) + 1)
    for i in range(len(quotient) - 1, -1, -1):
        quotient[i] = rest[i + len(under) - 1]
        for k, coefficient in enumerate(under):
            rest[i + k] = (rest[i + k] - quotient[i] * coefficient) % p
    return None if any(rest) else quotient
