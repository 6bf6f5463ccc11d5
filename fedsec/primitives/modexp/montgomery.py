"""Montgomery multiplication of several numbers side by side, in the vector registers, compiled by numba.

A number modulo n^k is k digits in base n, x = x_0 + x_1 n + ... + x_(k-1) n^(k-1); a digit is L limbs; a vector holds
the same limb of as many numbers as it has lanes. `like` is a tuple: its length is the number of lanes, and the type of
its elements says how 52 bits are multiplied (a type is all that numba compiles for, so one source serves all three).

float64   fma: two fused multiply-adds give both halves of a product, exactly, in any processor with such an
          instruction (N. Emmart, J. Luitjens, C. Weems, C. Woolley, ARITH 2018): limbs of 51 bits, kept as doubles.
uint64    ifma: the instructions VPMADD52LUQ and VPMADD52HUQ of AVX512-IFMA; limbs of 52 bits.
boolean   twin: products of 128 bits, anywhere and slowly, to test the others by.

Sums of half products stay in 64 bits until the end of a digit: nothing is carried in the inner loop. All kernels and
what they call are in this file, since numba's cache looks at the one file alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

from fedsec.primitives.mersenne import jit

Words = NDArray[np.uint64]
Like = tuple[Any, ...]

LIMB_BITS = {"fma": 51, "ifma": 52, "twin": 52}
KINDS = {"float64": "fma", "uint64": "ifma", "bool": "twin"}
WINDOW = 5  # bits of a common exponent that one product takes
OWN_WINDOW = 3  # bits of a window where every number has exponents of its own
LIMIT = 64  # alignment of scratch memory, in bytes

# fma: a b + HIGH is rounded to a multiple of 2^51; LOW less that, plus a b, is exact and an integer in the low 52 bits.
_HIGH, _LOW = 2.0**103, 2.0**103 + 2.0**52 + 2.0**51
HIGH_BITS, LOW_BITS = 0x466 << 52, 0x4338 << 48  # what each half product brings along, as doubles lie in memory
OFFSET = 1 << 62  # half products are signed in fma: sums start so high, that a logical shift carries


# What it decorates is compiled: its arguments are types, and the first of them is no argument.
vector: Callable[[Any], Any] = intrinsic


# Vectors


class Lanes(types.Type):
    """A vector of `count` 64-bit lanes; `kind` is how it multiplies."""

    def __init__(self, count: int, kind: str) -> None:
        self.count, self.kind = count, kind
        super().__init__(name=f"Lanes({count}, {kind})")

    @property
    def integers(self) -> ir.VectorType:
        return ir.VectorType(ir.IntType(64), self.count)

    @property
    def doubles(self) -> ir.VectorType:
        return ir.VectorType(ir.DoubleType(), self.count)

    def all(self, value: int) -> ir.Constant:
        return ir.Constant(self.integers, [value] * self.count)

    @property
    def mask(self) -> ir.Constant:
        return self.all((1 << LIMB_BITS[self.kind]) - 1)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, lanes.integers)  # type: ignore[no-untyped-call]


def _lanes(like: types.UniTuple) -> Lanes:
    return Lanes(like.count, KINDS[like.dtype.name])


def _pointer(context: Any, builder: ir.IRBuilder, lanes: Lanes, array: Any, value: Any, index: Any) -> Any:
    start = builder.mul(index, ir.Constant(index.type, lanes.count))
    address = builder.gep(context.make_array(array)(context, builder, value).data, [start])
    return builder.bitcast(address, lanes.integers.as_pointer())


@vector
def load(typing: Any, like: Any, array: Any, index: Any) -> Any:
    """The vector at `index`, counted in vectors."""
    lanes = _lanes(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, lanes, array, args[1], args[2]), align=8)

    return lanes(like, array, types.intp), generate


@vector
def gather(typing: Any, like: Any, array: Any, places: Any, index: Any) -> Any:
    """The vector of array[places[lane] + index], for uint64 in one dimension and int64 places."""
    lanes = _lanes(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[1]).data
        at = context.make_array(places)(context, builder, args[2]).data
        found = ir.Constant(lanes.integers, ir.Undefined)
        for lane in range(lanes.count):
            i = ir.Constant(ir.IntType(32), lane)
            start = builder.load(builder.gep(at, [i]))
            found = builder.insert_element(found, builder.load(builder.gep(data, [builder.add(start, args[3])])), i)
        return found

    return lanes(like, array, places, types.intp), generate


@vector
def store(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Set the vector at `index`, counted in vectors."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, lanes, array, args[0], args[1]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@vector
def splat(typing: Any, like: Any, word: Any) -> Any:
    """The vector with `word`, a uint64, in all lanes."""
    lanes = _lanes(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        nothing = ir.Constant(lanes.integers, ir.Undefined)
        first = builder.insert_element(nothing, args[1], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None))

    return lanes(like, types.uint64), generate


def _elementwise(emit: Callable[..., Any], arity: int) -> Any:
    """An operation on vectors of one type: `emit` gets the builder, the type and the values."""

    def typed(lanes: Lanes) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return emit(builder, lanes, *args)

        return lanes(*[lanes] * arity), generate

    by_arity = {1: lambda typing, a: typed(a), 2: lambda typing, a, b: typed(a), 3: lambda typing, a, b, c: typed(a)}
    return vector(by_arity[arity])


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, *args: Any) -> Any:
    """A call of an intrinsic of LLVM, all of whose arguments have the result's type."""
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [result] * len(args)), name)
    return builder.call(function, args)


def _halves(builder: ir.IRBuilder, lanes: Lanes, a: Any, b: Any) -> tuple[Any, Any]:
    """fma: the high and the low half of a product, as doubles that bring HIGH_BITS and LOW_BITS along."""

    def fma(*args: Any) -> Any:
        return _call(builder, f"llvm.fma.v{lanes.count}f64", lanes.doubles, *args)

    a, b = builder.bitcast(a, lanes.doubles), builder.bitcast(b, lanes.doubles)
    high = fma(a, b, ir.Constant(lanes.doubles, [_HIGH] * lanes.count))
    low = fma(a, b, builder.fsub(ir.Constant(lanes.doubles, [_LOW] * lanes.count), high))
    return builder.bitcast(high, lanes.integers), builder.bitcast(low, lanes.integers)


def _multiply_add(which: str) -> Callable[..., Any]:
    def emit(builder: ir.IRBuilder, lanes: Lanes, total: Any, a: Any, b: Any) -> Any:
        if lanes.kind == "fma":
            return builder.add(total, _halves(builder, lanes, a, b)[which == "l"])
        if lanes.kind == "ifma":
            name = f"llvm.x86.avx512.vpmadd52{which}.uq.{64 * lanes.count}"
            return _call(builder, name, lanes.integers, total, a, b)
        wide = ir.VectorType(ir.IntType(128), lanes.count)
        a, b = (builder.zext(builder.and_(x, lanes.mask), wide) for x in (a, b))
        shift = ir.Constant(wide, [LIMB_BITS[lanes.kind] * (which == "h")] * lanes.count)
        half = builder.trunc(builder.lshr(builder.mul(a, b), shift), lanes.integers)
        return builder.add(total, builder.and_(half, lanes.mask))

    return emit


def _pack(builder: ir.IRBuilder, lanes: Lanes, x: Any) -> Any:
    if lanes.kind != "fma":
        return x
    bits = builder.bitcast(builder.or_(x, lanes.all(0x433 << 52)), lanes.doubles)  # 2^52 + x
    return builder.bitcast(builder.fsub(bits, ir.Constant(lanes.doubles, [2.0**52] * lanes.count)), lanes.integers)


def _unpack(builder: ir.IRBuilder, lanes: Lanes, x: Any) -> Any:
    if lanes.kind != "fma":
        return x
    sums = builder.fadd(builder.bitcast(x, lanes.doubles), ir.Constant(lanes.doubles, [2.0**52] * lanes.count))
    return builder.and_(builder.bitcast(sums, lanes.integers), lanes.all((1 << 52) - 1))


def _quotient(builder: ir.IRBuilder, lanes: Lanes, total: Any, inverse: Any) -> Any:
    if lanes.kind != "fma":
        return _multiply_add("l")(builder, lanes, lanes.all(0), total, inverse)
    limb = _pack(builder, lanes, builder.and_(total, lanes.mask))
    return builder.and_(_halves(builder, lanes, limb, inverse)[1], lanes.mask)


def _carry(builder: ir.IRBuilder, lanes: Lanes, x: Any) -> Any:
    return builder.lshr(x, lanes.all(LIMB_BITS[lanes.kind]))


# total + the low, the high half of a b, for packed a and b
add_low = _elementwise(_multiply_add("l"), 3)
add_high = _elementwise(_multiply_add("h"), 3)
# an integer below 2^52 <-> the form in which it is multiplied
pack = _elementwise(_pack, 1)
unpack = _elementwise(_unpack, 1)
# total times inverse modulo the limb's size: an integer
quotient = _elementwise(_quotient, 2)
# what stays in a limb of a sum, and what goes on to the next one
remainder = _elementwise(lambda builder, lanes, x: builder.and_(x, lanes.mask), 1)
carry = _elementwise(_carry, 1)
_plus = _elementwise(lambda builder, lanes, a, b: builder.add(a, b), 2)
_minus = _elementwise(lambda builder, lanes, a, b: builder.sub(a, b), 2)


def _both_lanes(a: Any, b: Any) -> bool:
    return isinstance(a, Lanes) and a == b


overload(operator.add)(lambda a, b: (lambda a, b: _plus(a, b)) if _both_lanes(a, b) else None)
overload(operator.sub)(lambda a, b: (lambda a, b: _minus(a, b)) if _both_lanes(a, b) else None)


# Products


@jit
def head(like: Like, t0: Any, t1: Any, a0: Any, a1: Any, b: Words, n: Words, inverse: np.uint64) -> Any:
    """Two rows' quotients (packed, and as integers), and what the rows leave for the next two limbs.

    t0 and t1 are the sums of the rows' first two limbs, which the quotients times n make divisible by the limbs' size.
    """
    b0, b1 = load(like, b, 0), load(like, b, 1)
    n0, n1 = splat(like, n[0]), splat(like, n[1])
    by = splat(like, inverse)
    t0 = add_low(t0, a0, b0)
    q0 = quotient(t0, by)
    m0 = pack(q0)
    t1 = t1 + carry(add_low(t0, m0, n0))
    t1 = add_low(add_low(add_high(t1, a0, b0), a1, b0), a0, b1)
    t1 = add_low(add_high(t1, m0, n0), m0, n1)
    q1 = quotient(t1, by)
    m1 = pack(q1)
    r1 = carry(add_low(t1, m1, n0))
    r1 = add_low(add_high(add_high(r1, a1, b0), a0, b1), a1, b1)
    r1 = add_low(add_high(add_high(r1, m1, n0), m0, n1), m1, n1)
    r2 = add_high(add_high(splat(like, np.uint64(0)), a1, b1), m1, n1)
    return m0, m1, q0, q1, r1, r2


@jit
def reduce(like: Like, a: Words, b: Words, n: Words, inverse: np.uint64, total: Words, quotients: Words) -> None:
    """Add a b to `total`, 2L limbs, and a multiple of n that makes the lower half 0; L is even and at least 4.

    P. L. Montgomery, Math. Comp. 44 (1985), two limbs of a at a time. The quotients of the next two rows, a long chain
    of dependent steps, start as soon as their limbs are there, beside the rest of these rows.
    """
    size = n.size
    zero = splat(like, np.uint64(0))
    a0, a1 = load(like, a, 0), load(like, a, 1)
    m0, m1, q0, q1, r1, r2 = head(like, load(like, total, 0), load(like, total, 1), a0, a1, b, n, inverse)
    for i in range(0, size, 2):
        store(quotients, i, q0)
        store(quotients, i + 1, q1)
        bj, nj = load(like, b, 2), splat(like, n[2])
        t0 = add_low(add_low(load(like, total, i + 2) + r1, a0, bj), m0, nj)
        r1 = add_low(add_low(add_high(add_high(r2, a0, bj), m0, nj), a1, bj), m1, nj)
        r2 = add_high(add_high(zero, a1, bj), m1, nj)
        bj, nj = load(like, b, 3), splat(like, n[3])
        t1 = add_low(add_low(load(like, total, i + 3) + r1, a0, bj), m0, nj)
        r1 = add_low(add_low(add_high(add_high(r2, a0, bj), m0, nj), a1, bj), m1, nj)
        r2 = add_high(add_high(zero, a1, bj), m1, nj)
        if i + 2 < size:
            a2, a3 = load(like, a, i + 2), load(like, a, i + 3)
            m2, m3, q0, q1, s1, s2 = head(like, t0, t1, a2, a3, b, n, inverse)
        else:
            store(total, i + 2, t0)
            store(total, i + 3, t1)
            a2, a3, m2, m3, s1, s2 = a0, a1, m0, m1, zero, zero
        for j in range(4, size):
            bj, nj = load(like, b, j), splat(like, n[j])
            t = load(like, total, i + j) + r1
            store(total, i + j, add_low(add_low(t, a0, bj), m0, nj))
            r1 = add_low(add_low(add_high(add_high(r2, a0, bj), m0, nj), a1, bj), m1, nj)
            r2 = add_high(add_high(zero, a1, bj), m1, nj)
        store(total, i + size, load(like, total, i + size) + r1)
        store(total, i + size + 1, load(like, total, i + size + 1) + r2)
        a0, a1, m0, m1, r1, r2 = a2, a3, m2, m3, s1, s2


@jit
def accumulate(like: Like, a: Words, b: Words, total: Words) -> None:
    """Add a b to `total`, 2L limbs, for an even L, two limbs of a at a time."""
    size = a.size // len(like)
    zero = splat(like, np.uint64(0))
    for i in range(0, size, 2):
        a0, a1 = load(like, a, i), load(like, a, i + 1)
        r1, r2 = zero, zero
        for j in range(size):
            bj = load(like, b, j)
            store(total, i + j, add_low(load(like, total, i + j) + r1, a0, bj))
            r1 = add_low(add_high(r2, a0, bj), a1, bj)
            r2 = add_high(zero, a1, bj)
        store(total, i + size, load(like, total, i + size) + r1)
        store(total, i + size + 1, load(like, total, i + size + 1) + r2)


@jit
def double(like: Like, x: Words, out: Words) -> None:
    """Set out to 2x, limb by limb with carries."""
    c = splat(like, np.uint64(0))
    for j in range(x.size // len(like)):
        limb = unpack(load(like, x, j))
        t = limb + limb + c
        store(out, j, pack(remainder(t)))
        c = carry(t)


@jit
def multiply(
    like: Like,
    a: Words,
    b: Words,
    twice: Words,
    n: Words,
    inverse: np.uint64,
    starts: Words,
    scratch: Words,
    out: Words,
) -> None:
    """Set out to a b / R modulo n^k: k digits of L limbs each, packed; out is another array than a and b.

    With x = x_0 + x_1 n + ..., digit t of a product is the sum of all a_u b_(t-u), less the multiple of n that made
    digit t - 1 divisible by R: so n^k is never reduced by, and half or more of a product is not computed at all
    (k = 2: 5 products of digits where the modulus n^2 takes 8). Where `twice` is not empty, it is 2a and b is a.

    starts is (k, 2L) words: what a digit's limbs begin with, so that in the end all that comes along is gone, and in
    all but the first digit a multiple of n that is no less than R. Digits below 2n give digits below 2n.
    """
    lanes, size = len(like), n.size
    step = size * lanes
    total, quotients = scratch[: 2 * step], scratch[2 * step : 3 * step]
    square = twice.size > 0
    for t in range(starts.shape[0]):
        for j in range(2 * size):
            begin = splat(like, starts[t, j])
            if t > 0 and j < size:
                begin = begin - load(like, quotients, j)
            store(total, j, begin)
        last = t // 2 if square else t
        for u in range(last + 1):
            v = t - u
            right = twice if square and u != v else b
            x, y = a[u * step : (u + 1) * step], right[v * step : (v + 1) * step]
            if u < last:
                accumulate(like, x, y, total)
            else:
                reduce(like, x, y, n, inverse, total, quotients)
        c = splat(like, np.uint64(0))
        for j in range(size):
            limb = load(like, total, size + j) + c
            store(out, t * size + j, pack(remainder(limb)))
            c = carry(limb)


@jit
def aligned(words: int) -> Words:
    """Uninitialised memory that starts with a cache line."""
    whole = np.empty(words + 8, np.uint64)
    at = (-(whole.ctypes.data >> 3)) & 7
    return whole[at : at + words]


# Batches: arrays of groups of as many numbers as there are lanes, from `start` to `stop`


@jit
def fixed_base(
    like: Like,
    table: Words,
    digits: NDArray[np.uint8],
    factors: Words,
    n: Words,
    inverse: np.uint64,
    starts: Words,
    start: int,
    stop: int,
) -> None:
    """Multiply factors, (groups, words), by the product of table[i, digits[number, i]] over all i, divided by R."""
    lanes, words = len(like), factors.shape[1]
    scratch, entry = aligned(3 * n.size * lanes), aligned(words)
    running, result = aligned(words), aligned(words)
    none, rows, places = np.empty(0, np.uint64), table.reshape(-1), np.empty(lanes, np.int64)
    size = table.shape[2]
    for group in range(start, stop):
        running[:] = factors[group]
        for i in range(digits.shape[1]):
            for lane in range(lanes):
                places[lane] = (i * table.shape[1] + digits[group * lanes + lane, i]) * size
            for j in range(size):
                store(entry, j, gather(like, rows, places, j))
            multiply(like, running, entry, none, n, inverse, starts, scratch, result)
            running, result = result, running
        factors[group] = running


@jit
def multiples(
    like: Like, steps: Words, table: Words, n: Words, inverse: np.uint64, starts: Words, start: int, stop: int
) -> None:
    """Set table[number, j], for j from 1, to the j-th power of that number of steps, (groups, words)."""
    lanes, words = len(like), steps.shape[1]
    scratch, none = aligned(3 * n.size * lanes), np.empty(0, np.uint64)
    running, result = aligned(words), aligned(words)
    for group in range(start, stop):
        running[:] = steps[group]
        for j in range(1, table.shape[1]):
            if j > 1:
                multiply(like, running, steps[group], none, n, inverse, starts, scratch, result)
                running, result = result, running
            for lane in range(lanes):
                for i in range(table.shape[2]):
                    table[group * lanes + lane, j, i] = running[i * lanes + lane]


@jit
def common_exponent(
    like: Like,
    bases: Words,
    windows: NDArray[np.uint8],
    one: Words,
    n: Words,
    inverse: np.uint64,
    starts: Words,
    square_starts: Words,
    start: int,
    stop: int,
) -> None:
    """Raise bases, (groups, words) and times R, to the exponent with these windows, highest first; times R no longer.

    `one` is R, and 1, as a number is in one lane: (2, k L) words.
    """
    words, step = bases.shape[1], n.size * len(like)
    scratch, twice, none = aligned(3 * step), aligned(words), np.empty(0, np.uint64)
    powers, unit = aligned((1 << WINDOW) * words), aligned(words)
    running, result = aligned(words), aligned(words)
    for j in range(one.shape[1]):
        store(powers, j, splat(like, one[0, j]))
        store(unit, j, splat(like, one[1, j]))
    table = (1 << WINDOW) - 1
    for group in range(start, stop):
        # First the table, then WINDOW squarings and a product for every window but the first, and R divided away last;
        # all by one call, which is compiled once.
        for i in range(table + (windows.size - 1) * (WINDOW + 1) + 1):
            at = i - table
            squaring = 0 <= at < (windows.size - 1) * (WINDOW + 1) and at % (WINDOW + 1) < WINDOW
            if at == 0:
                running[:] = powers[windows[0] * words : (windows[0] + 1) * words]
            left, right, out, begins = running, unit, result, starts
            if at < 0:
                left, right, out = powers[i * words : (i + 1) * words], bases[group], powers[(i + 1) * words :]
            elif squaring:
                right, begins = running, square_starts
                for digit in range(0, words, step):
                    double(like, running[digit : digit + step], twice[digit : digit + step])
            elif at < (windows.size - 1) * (WINDOW + 1):
                window = windows[1 + at // (WINDOW + 1)]
                right = powers[window * words : (window + 1) * words]
            multiply(like, left, right, twice if squaring else none, n, inverse, begins, scratch, out)
            if at >= 0:
                running, result = result, running
        bases[group] = running


@jit
def own_exponents(
    like: Like,
    bases: Words,
    windows: NDArray[np.uint8],
    one: Words,
    n: Words,
    inverse: np.uint64,
    starts: Words,
    square_starts: Words,
    start: int,
    stop: int,
) -> None:
    """Set bases[0] to the products of powers of all bases, (bases, groups, words), each number with its own exponents.

    bases are times R, the results no longer; windows: (bases, numbers, windows), of OWN_WINDOW bits, highest first.
    Squarings are shared by all bases of a number (Straus 1964). `one` is as in common_exponent.
    """
    lanes, words, step = len(like), bases.shape[2], n.size * len(like)
    count, most, entries = bases.shape[0], windows.shape[2], 1 << OWN_WINDOW
    scratch, twice, none = aligned(3 * step), aligned(words), np.empty(0, np.uint64)
    powers, unit, entry = aligned(count * entries * words), aligned(words), aligned(words)
    running, result, places = aligned(words), aligned(words), np.empty(lanes, np.int64)
    for j in range(one.shape[1]):
        store(unit, j, splat(like, one[1, j]))
        for base in range(count):
            store(powers[base * entries * words :], j, splat(like, one[0, j]))
    table, turn = count * (entries - 2), OWN_WINDOW + count
    for group in range(start, stop):
        for base in range(count):
            at = (base * entries + 1) * words
            powers[at : at + words] = bases[base, group]
        running[:] = powers[:words]
        # The tables, then for every window its squarings and a product for each base, and R divided away last; all by
        # one call, which is compiled once.
        for i in range(table + most * turn + 1):
            at, place = i - table, (i - table) % turn
            squaring = 0 <= at < most * turn and place < OWN_WINDOW
            left, right, out, begins = running, unit, result, starts
            if at < 0:
                low = (i // (entries - 2) * entries + i % (entries - 2) + 1) * words
                left, right = powers[low : low + words], bases[i // (entries - 2), group]
                out = powers[low + words : low + 2 * words]
            elif squaring:
                right, begins = running, square_starts
                for digit in range(0, words, step):
                    double(like, running[digit : digit + step], twice[digit : digit + step])
            elif at < most * turn:
                base = place - OWN_WINDOW
                for lane in range(lanes):
                    window = windows[base, group * lanes + lane, at // turn]
                    places[lane] = (base * entries + window) * words + lane
                for j in range(words // lanes):
                    store(entry, j, gather(like, powers, places, j * lanes))
                right = entry
            multiply(like, left, right, twice if squaring else none, n, inverse, begins, scratch, out)
            if at >= 0:
                running, result = result, running
        bases[0, group] = running


@jit
def shifted(
    like: Like,
    columns: Words,
    bits: int,
    one: Words,
    n: Words,
    inverse: np.uint64,
    starts: Words,
    square_starts: Words,
    start: int,
    stop: int,
) -> None:
    """Set columns[0], (columns, groups, words), to the product of columns[j]^(2^(bits j)) over all j (Horner's rule).

    columns are times R, the results no longer. `one` is 1 as a number is in one lane.
    """
    words, step, turn = columns.shape[2], n.size * len(like), bits + 1
    scratch, twice, none = aligned(3 * step), aligned(words), np.empty(0, np.uint64)
    running, result, unit = aligned(words), aligned(words), aligned(words)
    for j in range(one.size):
        store(unit, j, splat(like, one[j]))
    most = (columns.shape[0] - 1) * turn
    for group in range(start, stop):
        running[:] = columns[columns.shape[0] - 1, group]
        for i in range(most + 1):
            squaring = i < most and i % turn < bits
            right, begins = running, square_starts
            if squaring:
                for digit in range(0, words, step):
                    double(like, running[digit : digit + step], twice[digit : digit + step])
            else:
                begins = starts
                right = columns[columns.shape[0] - 2 - i // turn, group] if i < most else unit
            multiply(like, running, right, twice if squaring else none, n, inverse, begins, scratch, result)
            running, result = result, running
        columns[0, group] = running


@jit
def products(
    like: Like, columns: Words, scale: Words, n: Words, inverse: np.uint64, starts: Words, start: int, stop: int
) -> None:
    """Set columns[0] to the products over all columns, (columns, groups, words), times `scale`, a number in one lane.

    A product of m factors has been divided by R m times, so `scale` is R^m.
    """
    lanes, words = len(like), columns.shape[2]
    scratch, none = aligned(3 * n.size * lanes), np.empty(0, np.uint64)
    running, result, last = aligned(words), aligned(words), aligned(words)
    for j in range(scale.size):
        store(last, j, splat(like, scale[j]))
    for group in range(start, stop):
        running[:] = columns[0, group]
        for i in range(1, columns.shape[0] + 1):
            factor = columns[i, group] if i < columns.shape[0] else last
            multiply(like, running, factor, none, n, inverse, starts, scratch, result)
            running, result = result, running
        columns[0, group] = running


@jit
def split(words: Words, bits: int, out: Words) -> None:
    """Set out, (groups, L, lanes), to limbs of `bits` bits of numbers that are little-endian rows of `words`."""
    lanes = out.shape[2]
    low = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for number in range(words.shape[0]):
        for j in range(out.shape[1]):
            at, shift = (j * bits) >> 6, (j * bits) & 63
            limb = np.uint64(0)
            if at < words.shape[1]:
                limb = words[number, at] >> np.uint64(shift)
                if shift + bits > 64 and at + 1 < words.shape[1]:
                    limb |= words[number, at + 1] << np.uint64(64 - shift)
            out[number // lanes, j, number % lanes] = limb & low


@jit
def join(limbs: Words, bits: int, out: Words) -> None:
    """Set out, rows of little-endian words, to the numbers of `limbs`, (groups, L, lanes): what `split` undoes."""
    lanes = limbs.shape[2]
    for number in range(out.shape[0]):
        for at in range(out.shape[1]):
            out[number, at] = 0
        for j in range(limbs.shape[1]):
            limb = limbs[number // lanes, j, number % lanes]
            at, shift = (j * bits) >> 6, (j * bits) & 63
            if at < out.shape[1]:
                out[number, at] |= limb << np.uint64(shift)
            if shift + bits > 64 and at + 1 < out.shape[1]:
                out[number, at + 1] |= limb >> np.uint64(64 - shift)
