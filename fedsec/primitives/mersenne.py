"""Compiled kernels for the Mersenne fields of 2^31 - 1 and 2^61 - 1, without the interpreter's lock.

In these fields 2^bits = 1, so a product is reduced by adding its high bits to its low ones. Elements are uint32 in the
smaller field and uint64 in the larger one. Kernels that call each other stay in this one file: numba's cache compiles
again where a kernel's own file has changed, not where another's has.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.uint32] | NDArray[np.uint64]
Kernel = TypeVar("Kernel", bound=Callable[..., object])

_compiling = threading.Lock()
_waiting: list[Callable[[], None]] = []

LOADING = 1 << 22
"""Products of Python's integers that take as long as to load the compiler, which is about half a second."""


class _Tally:
    """The products that this process has computed on Python's integers."""

    products = 0


def compiled(products: int) -> bool:
    """Whether so many products are better computed by a kernel than on Python's integers; either gives the same.

    The products of a process are added up: one that computes little in all, as a hospital's app that starts anew for
    each message, never loads the compiler, and one that computes much soon does.
    """
    if _Tally.products < LOADING:
        _Tally.products += products
    return _Tally.products >= LOADING


class _Compiled:
    """A function that numba compiles at its first call, or at that of a kernel that calls it."""

    def __init__(self, function: Callable[..., object]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._dispatcher: Any = None

    def __call__(self, *arguments: object) -> object:
        return (self._dispatcher or self._made())(*arguments)

    def __getattr__(self, name: str) -> Any:
        """What numba's own object has: `_numba_type_`, by which another kernel finds it, and `inspect_asm`."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._made(), name)

    def _made(self) -> Any:
        import numba  # takes longer than all that a command line needs

        with _compiling:
            while _waiting:
                _waiting.pop()()
            if self._dispatcher is None:
                try:
                    self._dispatcher = numba.njit(nogil=True, cache=True)(self._function)
                except RuntimeError:
                    self._dispatcher = numba.njit(nogil=True)(self._function)
        return self._dispatcher


def always_compile() -> None:
    """Compute everything by kernels from now on: measurements are of a process that has computed long enough."""
    _Tally.products = LOADING


@contextmanager
def when_loaded(call: Callable[[], None]) -> Iterator[None]:
    """Within this context, call `call` once, when numba has been imported and before it compiles the next kernel."""
    _waiting.append(call)
    try:
        yield
    finally:
        if call in _waiting:
            _waiting.remove(call)


def jit(function: Kernel) -> Kernel:
    """Compile `function` with numba at its first call, without the interpreter's lock; numba is imported then.

    The machine code is cached on disk where numba finds a writable place, and compiled per process where it finds none
    (a read-only installation without a home directory).
    """
    return cast(Kernel, _Compiled(function))


P31, P61 = np.uint64((1 << 31) - 1), np.uint64((1 << 61) - 1)
_1, _3, _29, _30, _31, _32, _61 = (np.uint64(shift) for shift in (1, 3, 29, 30, 31, 32, 61))
_LOW29, _LOW30, _LOW32 = (np.uint64((1 << bits) - 1) for bits in (29, 30, 32))
_TILE = 1 << 10  # columns of a product worked on at once: four rows and a running sum stay in the first-level cache


@jit
def fold31(x: np.uint64) -> np.uint64:
    """Return a value below 2^34 that equals `x` modulo 2^31 - 1, and is at most 2^31 for x < 2^62."""
    return (x & P31) + (x >> _31)


@jit
def fold61(x: np.uint64) -> np.uint64:
    """Return a value below 2^61 + 8 that equals `x` modulo 2^61 - 1."""
    return (x & P61) + (x >> _61)


@jit
def mul31(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return ab mod p for a, b < p."""
    x = fold31(fold31(a * b))
    return min(x, x - P31)  # where x < p, the difference wraps to a larger value


@jit
def mul61(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return ab mod p for a, b < p, from products of 32-bit halves: 2^64 = 8 and 2^61 = 1 modulo p."""
    a1, a0, b1, b0 = a >> _32, a & _LOW32, b >> _32, b & _LOW32
    middle, low = a1 * b0 + a0 * b1, a0 * b0  # middle < 2^62: no carry is lost
    x = fold61(((a1 * b1) << _3) + (middle >> _29) + ((middle & _LOW29) << _32) + fold61(low))
    return min(x, x - P61)


@jit
def mul(a: np.uint64, b: np.uint64, p: np.uint64) -> np.uint64:
    return mul31(a, b) if p == P31 else mul61(a, b)


@jit
def multiply(a: Values, b: Values, p: np.uint64, out: Values) -> None:
    for i in range(out.size):
        out[i] = mul(np.uint64(a[i]), np.uint64(b[i]), p)


@jit
def accumulate(row: Values, p: np.uint64, total: NDArray[np.uint64]) -> None:
    """Add a row to a total, which stays at most p + 2."""
    bits = _31 if p == P31 else _61
    for i in range(total.size):
        x = total[i] + np.uint64(row[i])
        total[i] = (x & p) + (x >> bits)


@jit
def reduce(total: NDArray[np.uint64], p: np.uint64, out: Values) -> None:
    """Set out to total mod p, for a total at most p + 2."""
    for i in range(out.size):
        out[i] = min(total[i], total[i] - p)


@jit
def interpolate(sources: NDArray[np.uint64], targets: NDArray[np.uint64], p: np.uint64, out: Values) -> None:
    """Set out[j, i] to Lagrange's weight of source i at target j: the product over k != i of (t_j - x_k) / (x_i - x_k).

    Products of all factors before i and of all after it need no inverse of t_j - x_i, which may be 0.
    """
    m = sources.size
    scale = np.empty(m, np.uint64)
    for i in range(m):
        under = _1
        for k in range(m):
            if k != i:
                under = mul(under, (sources[i] + (p - sources[k])) % p, p)
        # Fermat: 1 / x = x^(p - 2).
        inverse, power, exponent = _1, under, p - np.uint64(2)
        while exponent:
            if exponent & _1:
                inverse = mul(inverse, power, p)
            power = mul(power, power, p)
            exponent >>= _1
        scale[i] = inverse
    before, factors = np.empty(m, np.uint64), np.empty(m, np.uint64)
    for j in range(targets.size):
        running = _1
        for i in range(m):
            before[i] = running
            factors[i] = (targets[j] + (p - sources[i])) % p
            running = mul(running, factors[i], p)
        running = _1
        for i in range(m - 1, -1, -1):
            out[j, i] = mul(mul(before[i], running, p), scale[i], p)
            running = mul(running, factors[i], p)


@jit
def product31(weights: Values, rows: Values, out: Values, at: int) -> None:
    """Set columns of `out`, shape (r, d), from `at` on to weights (r, m) times rows (m, n) modulo 2^31 - 1, m < 2^30.

    Two neighbouring values are one 64-bit word: vector multiplication reads its low half as it is, its high half after
    a shift.
    """
    r, m = weights.shape
    padded = np.zeros((r, m + 3), np.uint32)
    padded[:, :m] = weights
    size = min(_TILE, (rows.shape[1] | 7) + 1)  # even, and never 0
    half = size // 2
    tile, result = np.zeros((m + 3) * size, np.uint32), np.empty(size, np.uint32)
    words, total = tile.view(np.uint64), np.empty(size, np.uint64)
    for start in range(0, rows.shape[1], size):
        width = min(size, rows.shape[1] - start)
        for i in range(m):
            copy(rows[i, start : start + width], tile[i * size : i * size + width])
        for i in range(r):
            clear(total)
            for k in range(0, m, 4):
                if m - k > 2:
                    add_four31(padded[i, k : k + 4], words[k * half : (k + 4) * half], total)
                else:
                    add_two31(padded[i, k : k + 2], words[k * half : (k + 2) * half], total)
            join31(total, result.view(np.uint64))
            reduce31(result[:width], out[i, at + start : at + start + width])


@jit
def product61(weights: Values, rows: Values, out: Values, at: int) -> None:
    """Set columns of `out`, shape (r, d), from `at` on to weights (r, m) times rows (m, n) modulo 2^61 - 1."""
    r, m = weights.shape
    padded = np.zeros((r, m + 3), np.uint64)
    padded[:, :m] = weights
    size = min(_TILE, (rows.shape[1] | 7) + 1)  # even, and never 0
    words, total = np.zeros((m + 3) * size, np.uint64), np.empty(size, np.uint64)
    for start in range(0, rows.shape[1], size):
        width = min(size, rows.shape[1] - start)
        for i in range(m):
            halve61(rows[i, start : start + width], words[i * size : i * size + width])
        for i in range(r):
            clear(total)
            for k in range(0, m, 4):
                if m - k > 2:
                    add_four61(padded[i, k : k + 4], words[k * size : (k + 4) * size], total)
                else:
                    add_two61(padded[i, k : k + 2], words[k * size : (k + 2) * size], total)
            reduce(total[:width], P61, out[i, at + start : at + start + width])


@jit
def copy(row: Values, out: Values) -> None:
    for i in range(out.size):
        out[i] = row[i]


@jit
def clear(total: NDArray[np.uint64]) -> None:
    for i in range(total.size):
        total[i] = np.uint64(0)


@jit
def add_four31(weights: NDArray[np.uint32], words: NDArray[np.uint64], total: NDArray[np.uint64]) -> None:
    """Add four weighted rows to a total, low halves first: four products of values below p are below 2^64 together."""
    w0, w1, w2, w3 = np.uint64(weights[0]), np.uint64(weights[1]), np.uint64(weights[2]), np.uint64(weights[3])
    n = total.size // 2
    a, b, c, d = words[:n], words[n : 2 * n], words[2 * n : 3 * n], words[3 * n :]
    low, high = total[:n], total[n:]
    for j in range(n):
        low[j] += fold31(w0 * (a[j] & _LOW32) + w1 * (b[j] & _LOW32) + w2 * (c[j] & _LOW32) + w3 * (d[j] & _LOW32))
        high[j] += fold31(w0 * (a[j] >> _32) + w1 * (b[j] >> _32) + w2 * (c[j] >> _32) + w3 * (d[j] >> _32))


@jit
def add_two31(weights: NDArray[np.uint32], words: NDArray[np.uint64], total: NDArray[np.uint64]) -> None:
    w0, w1 = np.uint64(weights[0]), np.uint64(weights[1])
    n = total.size // 2
    a, b = words[:n], words[n:]
    low, high = total[:n], total[n:]
    for j in range(n):
        low[j] += fold31(w0 * (a[j] & _LOW32) + w1 * (b[j] & _LOW32))
        high[j] += fold31(w0 * (a[j] >> _32) + w1 * (b[j] >> _32))


@jit
def join31(total: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    """Set words to the totals, below 2^32 and congruent, as the rows' values lie in theirs."""
    n = words.size
    low, high = total[:n], total[n:]
    for j in range(n):
        words[j] = fold31(fold31(low[j])) | fold31(fold31(high[j])) << _32


@jit
def reduce31(values: NDArray[np.uint32], out: Values) -> None:
    """Set out to values mod p, for values below 2p: in 32 bits, where a vector holds twice as many."""
    for i in range(out.size):
        out[i] = min(values[i], np.uint32(values[i] - np.uint32(P31)))


@jit
def halve61(row: Values, words: NDArray[np.uint64]) -> None:
    """Set words to v0 + 2^32 v1 for the row's values v0 + 2^31 v1, v0 < 2^31 and v1 < 2^30: halves to multiply."""
    for i in range(words.size):
        words[i] = (row[i] << _1) - (row[i] & P31)


@jit
def join61(total: np.uint64, high: np.uint64, low: np.uint64, crossed: np.uint64) -> np.uint64:
    """Return total + sum of w v, below 2^61 + 8 and congruent, over at most four w = w0 + 2^31 w1 and v.

    `high` sums w1 v1, below 2^62; `low` sums w0 v0, below 2^64; `crossed` sums (w0 + w1)(v0 + v1) modulo 2^64. What
    Karatsuba (1962) takes from it, the sum of w0 v1 + w1 v0, is below 2^64 again, so wrapping does no harm.
    """
    middle = crossed - high - low
    return fold61(total + high + high + fold61(low) + (middle >> _30) + ((middle & _LOW30) << _31))


@jit
def add_four61(weights: NDArray[np.uint64], words: NDArray[np.uint64], total: NDArray[np.uint64]) -> None:
    """Add four weighted rows to a total below 2^61 + 8, which stays so. Masks tell the compiler: 32 bits will do."""
    w0, w1, w2, w3 = weights[0] & P31, weights[1] & P31, weights[2] & P31, weights[3] & P31
    u0, u1, u2, u3 = weights[0] >> _31 & P31, weights[1] >> _31 & P31, weights[2] >> _31 & P31, weights[3] >> _31 & P31
    s0, s1, s2, s3 = w0 + u0 & _LOW32, w1 + u1 & _LOW32, w2 + u2 & _LOW32, w3 + u3 & _LOW32
    n = total.size
    a, b, c, d = words[:n], words[n : 2 * n], words[2 * n : 3 * n], words[3 * n :]
    for j in range(n):
        a1, b1, c1, d1 = a[j] >> _32, b[j] >> _32, c[j] >> _32, d[j] >> _32
        high = u0 * a1 + u1 * b1 + u2 * c1 + u3 * d1
        low = w0 * (a[j] & _LOW32) + w1 * (b[j] & _LOW32) + w2 * (c[j] & _LOW32) + w3 * (d[j] & _LOW32)
        crossed = s0 * (a[j] + a1 & _LOW32) + s1 * (b[j] + b1 & _LOW32)
        crossed += s2 * (c[j] + c1 & _LOW32) + s3 * (d[j] + d1 & _LOW32)
        total[j] = join61(total[j], high, low, crossed)


@jit
def add_two61(weights: NDArray[np.uint64], words: NDArray[np.uint64], total: NDArray[np.uint64]) -> None:
    w0, w1 = weights[0] & P31, weights[1] & P31
    u0, u1 = weights[0] >> _31 & P31, weights[1] >> _31 & P31
    s0, s1 = w0 + u0 & _LOW32, w1 + u1 & _LOW32
    n = total.size
    a, b = words[:n], words[n:]
    for j in range(n):
        a1, b1 = a[j] >> _32, b[j] >> _32
        crossed = s0 * (a[j] + a1 & _LOW32) + s1 * (b[j] + b1 & _LOW32)
        total[j] = join61(total[j], u0 * a1 + u1 * b1, w0 * (a[j] & _LOW32) + w1 * (b[j] & _LOW32), crossed)


@jit
def condense31(rows: Values, factors: Values, out: Values) -> np.uint64:
    """Set out[i, k, j] to the sum of row j of factors, shape (r, s), times values k s to (k + 1) s of row i of `rows`.

    The last tile may be shorter. Returns the largest value: where it is not below p, `out` holds nothing.
    """
    r, size = factors.shape
    pairs, most = np.zeros((r + r % 2, size), np.uint64), np.uint64(0)  # an even number of rows: two are read at once
    pairs[:r] = factors
    for i in range(rows.shape[0]):
        for k in range(out.shape[1]):
            tile = rows[i, k * size : (k + 1) * size]
            for j in range(0, r, 2):
                one, other = dot31(pairs[j], pairs[j + 1], tile)
                out[i, k, j] = mul31(one, _1)
                if j + 1 < r:
                    out[i, k, j + 1] = mul31(other, _1)
            most = max(most, largest(tile))
    return most


@jit
def condense61(rows: Values, factors: Values, out: Values) -> np.uint64:
    """Do the same modulo 2^61 - 1."""
    r, size = factors.shape
    halves, most = np.empty((r, 3, size), np.uint64), np.uint64(0)
    for j in range(r):
        for i in range(size):
            low, high = factors[j, i] & P31, factors[j, i] >> _31
            halves[j, 0, i], halves[j, 1, i], halves[j, 2, i] = low, high, low + high
    for i in range(rows.shape[0]):
        for k in range(out.shape[1]):
            tile = rows[i, k * size : (k + 1) * size]
            for j in range(r):
                x = dot61(halves[j, 0], halves[j, 1], halves[j, 2], tile)
                out[i, k, j] = min(x, x - P61)
            most = max(most, largest(tile))
    return most


@jit
def largest(row: Values) -> np.uint64:
    most = row[0]
    for i in range(row.size):
        most = max(most, row[i])
    return np.uint64(most)


@jit
def dot31(f: NDArray[np.uint64], g: NDArray[np.uint64], row: Values) -> tuple[np.uint64, np.uint64]:
    """Return sums below 2^32 and congruent to that of f times a row, which may be shorter, and of g times the row.

    Four products of values below p are below 2^64 together. Masks tell the compiler: 32 bits will do.
    """
    n = row.size // 4
    a, b, c, d = row[:n], row[n : 2 * n], row[2 * n : 3 * n], row[3 * n : 4 * n]
    fa, fb, fc, fd = f[:n], f[n : 2 * n], f[2 * n : 3 * n], f[3 * n : 4 * n]
    ga, gb, gc, gd = g[:n], g[n : 2 * n], g[2 * n : 3 * n], g[3 * n : 4 * n]
    one, other = np.uint64(0), np.uint64(0)
    for j in range(n):
        v, w, x, y = np.uint64(a[j]), np.uint64(b[j]), np.uint64(c[j]), np.uint64(d[j])
        one += fold31((fa[j] & _LOW32) * v + (fb[j] & _LOW32) * w + (fc[j] & _LOW32) * x + (fd[j] & _LOW32) * y)
        other += fold31((ga[j] & _LOW32) * v + (gb[j] & _LOW32) * w + (gc[j] & _LOW32) * x + (gd[j] & _LOW32) * y)
    for j in range(4 * n, row.size):
        one += fold31(f[j] * np.uint64(row[j]))
        other += fold31(g[j] * np.uint64(row[j]))
    return fold31(one), fold31(other)


@jit
def dot61(low: NDArray[np.uint64], high: NDArray[np.uint64], both: NDArray[np.uint64], row: Values) -> np.uint64:
    """Return a sum below 2p and congruent to that of factors, low + 2^31 high, times a row, which may be shorter.

    `both` is low + high. Halves of the sum are added up apart, so no step waits for the one before to be reduced.
    """
    n = row.size // 4
    a, b, c, d = row[:n], row[n : 2 * n], row[2 * n : 3 * n], row[3 * n : 4 * n]
    la, lb, lc, ld = low[:n], low[n : 2 * n], low[2 * n : 3 * n], low[3 * n : 4 * n]
    ha, hb, hc, hd = high[:n], high[n : 2 * n], high[2 * n : 3 * n], high[3 * n : 4 * n]
    sa, sb, sc, sd = both[:n], both[n : 2 * n], both[2 * n : 3 * n], both[3 * n : 4 * n]
    lower, upper = np.uint64(0), np.uint64(0)
    for j in range(n):
        a0, b0, c0, d0 = a[j] & P31, b[j] & P31, c[j] & P31, d[j] & P31
        a1, b1, c1, d1 = a[j] >> _31 & P31, b[j] >> _31 & P31, c[j] >> _31 & P31, d[j] >> _31 & P31
        over = (ha[j] & P31) * a1 + (hb[j] & P31) * b1 + (hc[j] & P31) * c1 + (hd[j] & P31) * d1
        under = (la[j] & P31) * a0 + (lb[j] & P31) * b0 + (lc[j] & P31) * c0 + (ld[j] & P31) * d0
        crossed = (sa[j] & _LOW32) * (a0 + a1 & _LOW32) + (sb[j] & _LOW32) * (b0 + b1 & _LOW32)
        crossed += (sc[j] & _LOW32) * (c0 + c1 & _LOW32) + (sd[j] & _LOW32) * (d0 + d1 & _LOW32)
        x = join61(np.uint64(0), over, under, crossed)
        lower += x & _LOW32
        upper += x >> _32
    total = fold61(lower) + mul61(fold61(upper), _1 << _32)
    for j in range(4 * n, row.size):
        total = fold61(total + mul61(low[j] + (high[j] << _31), row[j]))
    return fold61(total)
