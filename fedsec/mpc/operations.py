"""What roles do with arrays of words beside numpy's operators: at once, or recorded where the arrays are traced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsec.mpc import ring_kernels
from fedsec.mpc.ring_kernels import DIGITS
from fedsec.mpc.tape import Traced

Array = Any
"""uint64, or `Traced`."""


def words_of(size: int) -> int:
    """Words that hold so many bits."""
    return -(-size // 64)


def add_dot(out: Array, x: Array, y: Array) -> None:
    """Add x @ y to out modulo 2^64: x is [n, k], y [k, m] and out [n, m]."""
    if isinstance(out, Traced):
        tape, (n, k), m = out.tape, x.shape, y.shape[1]
        x, y = tape.ordered(x), tape.ordered(y)
        tape.emit(ring_kernels.DOT, n * k * m, out, tape.start(x), tape.start(y), numbers=(n, m))
    else:
        ring_kernels.dot_into(out, np.ascontiguousarray(x), np.ascontiguousarray(y))


def dot(x: Array, y: Array) -> Array:
    """x @ y modulo 2^64."""
    out = _zeros(x, (x.shape[0], y.shape[1]))
    add_dot(out, x, y)
    return out


def add_product(out: Array, x: Array, y: Array) -> None:
    """Add x * y to out, element by element."""
    if isinstance(out, Traced):
        out.tape.element_wise(ring_kernels.ADD_PRODUCT, x, y, out)
    else:
        out += x * y


def opened(c: Array, shift: int, wrap: Array, above: Array, first: bool) -> tuple[Array, Array, Array]:
    """See kernels.opened: the public part, the sign and the share, of the shape of c."""
    out = _empty(c, (3, *c.shape))
    if isinstance(c, Traced):
        tape = c.tape
        c, wrap, above = tape.ordered(c), tape.ordered(wrap), tape.ordered(above)
        places = tape.start(c), tape.start(wrap), tape.start(above)
        tape.emit(ring_kernels.OPENED, c.size, out, *places, numbers=(int(first),), scalar=shift)
    else:
        values, one, other = (np.ascontiguousarray(x).reshape(-1) for x in (c, wrap, above))
        ring_kernels.opened(values, np.uint64(shift), one, other, np.uint64(first), out.reshape(-1))
    return out[0], out[1], out[2]


def halves(r: Array, shift: int) -> tuple[Array, Array]:
    """See kernels.halves: the wrap bit's term and the rest, of the shape of r."""
    wrap, above = _empty(r, r.shape), _empty(r, r.shape)
    if isinstance(r, Traced):
        r = r.tape.ordered(r)
        r.tape.emit(ring_kernels.HALVES, r.size, wrap, r.tape.start(r), r.tape.start(above), scalar=shift)
    else:
        ring_kernels.halves(np.ascontiguousarray(r).reshape(-1), np.uint64(shift), wrap.reshape(-1), above.reshape(-1))
    return wrap, above


def one_hot(r: Array) -> Array:
    """See kernels.one_hot: [4, size]."""
    if isinstance(r, Traced):
        out, r = r.tape.new((4, r.size)), r.tape.ordered(r)
        r.tape.emit(ring_kernels.ONE_HOT, r.size, out, r.tape.start(r))
        return out
    hot = np.empty((4, r.size), np.uint64)
    ring_kernels.one_hot(np.ascontiguousarray(r).reshape(-1), hot.reshape(-1))
    return hot


def look_up(c: Array, tables: Array) -> tuple[Array, Array]:
    """See kernels.look_up: [digits, words] of less and of equal."""
    out = _zeros(c, (2, DIGITS, words_of(c.size)))
    if isinstance(c, Traced):
        c.tape.emit(ring_kernels.LOOK_UP, c.size, out, c.tape.start(c), c.tape.start(tables))
    else:
        less, equal = out.reshape(2, -1)
        ring_kernels.look_up(c, np.ascontiguousarray(tables).reshape(-1), less, equal)
    return out[0], out[1]


def top_bits(values: Array) -> Array:
    """The highest bits, [words]."""
    out = _zeros(values, (words_of(values.size),))
    if isinstance(values, Traced):
        values = values.tape.ordered(values)
        values.tape.emit(ring_kernels.TOP, values.size, out, values.tape.start(values))
    else:
        ring_kernels.top_bits(np.ascontiguousarray(values).reshape(-1), out)
    return out


def unpack(words: Array, size: int) -> Array:
    """Each row of [rows, words] as [rows, size] of 0 and 1."""
    if isinstance(words, Traced):
        tape, out = words.tape, words.tape.new((words.shape[0], size))
        for bits, row in zip(words, out, strict=True):
            tape.emit(ring_kernels.UNPACK, size, row, tape.start(bits))
        return out
    found = np.empty((words.shape[0], size), np.uint64)
    for bits, row in zip(words, found, strict=True):
        ring_kernels.unpack(np.ascontiguousarray(bits), row)
    return found


def stack(parts: Sequence[Array]) -> Array:
    """Arrays of one shape along a new first axis."""
    if not isinstance(parts[0], Traced):
        return np.stack(parts)
    tape = parts[0].tape
    out = tape.new((len(parts), *parts[0].shape))
    for row, part in zip(out, parts, strict=True):
        tape.copy_to(row, part)
    return out


def room(shapes: Sequence[tuple[int, ...]], like: Array) -> tuple[Array, list[Array]]:
    """An array of one dimension whose values are not set, and its parts of these shapes; traced where `like` is."""
    whole = _empty(like, (sum(map(math.prod, shapes)),))
    return whole, separated(whole, shapes)


def joined(parts: Sequence[Array]) -> Array:
    """All words in order, in one dimension."""
    if not parts or not isinstance(parts[0], Traced):
        return np.concatenate([np.empty(0, np.uint64), *[part.reshape(-1) for part in parts]])
    tape, place = parts[0].tape, 0
    out = tape.new((sum(part.size for part in parts),))
    for part in parts:
        tape.copy_to(out[place : place + part.size], part)
        place += part.size
    return out


def separated(whole: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """The inverse of `joined`."""
    out, place = [], 0
    for shape in shapes:
        size = math.prod(shape)
        out.append(whole[place : place + size].reshape(shape))
        place += size
    return out


def _empty(like: Array, shape: tuple[int, ...]) -> Array:
    return like.tape.new(shape) if isinstance(like, Traced) else np.empty(shape, np.uint64)


def _zeros(like: Array, shape: tuple[int, ...]) -> Array:
    if not isinstance(like, Traced):
        return np.zeros(shape, np.uint64)
    out = like.tape.new(shape)
    like.tape.emit(ring_kernels.ZERO, out.size, out, 0)
    return out
