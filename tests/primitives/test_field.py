"""The compiled kernels against Python integers, at the edges and at random."""

import os
from collections.abc import Callable

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import mersenne
from fedsec.primitives.field import FIELDS, M31, M61, Field, horner_plain

BOTH = pytest.mark.parametrize("field", [M31, M61], ids=["31", "61"])


def edges(field: Field) -> list[int]:
    p = field.p
    powers = [1 << i for i in range(field.bits)]
    return sorted({0, 1, 2, p - 1, p - 2, p // 2, p // 2 + 1, *powers, *(x - 1 for x in powers)})


def array(values) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def source(*draws: bytes) -> Callable[[int], bytes]:
    queue = list(draws)

    def rng(count: int) -> bytes:
        drawn = queue.pop(0)
        assert len(drawn) == count
        return drawn

    return rng


@BOTH
def test_edge_operands(field):
    a, b = (array(x).reshape(-1) for x in np.meshgrid(array(edges(field)), array(edges(field))))
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    assert field.mul(a, b).tolist() == [x * y % field.p for x, y in pairs]
    assert field.add(a, b).tolist() == [(x + y) % field.p for x, y in pairs]
    assert field.sub(a, b).tolist() == [(x - y) % field.p for x, y in pairs]


@BOTH
@settings(max_examples=50)
@given(data=st.data())
def test_arithmetic_is_python_s(field, data):
    elements = st.lists(st.integers(0, field.p - 1), min_size=5, max_size=5)
    x, y = data.draw(elements), data.draw(elements)
    assert field.mul(array(x), array(y)).tolist() == [a * b % field.p for a, b in zip(x, y, strict=True)]
    assert field.mul(array(x), -3).tolist() == [-3 * a % field.p for a in x]
    assert field.add(array(x), array(y)).tolist() == [(a + b) % field.p for a, b in zip(x, y, strict=True)]
    assert field.sub(array(x), array(y)).tolist() == [(a - b) % field.p for a, b in zip(x, y, strict=True)]


@BOTH
@pytest.mark.parametrize("x", [0, 1, 2, 1000, (1 << 30) - 1, 1 << 30, -1, -2])
def test_horner(field, x):
    # The largest values at every place, so that a running value that overran 64 bits would show; 2^11 is a tile.
    x %= field.p
    rows = array([[field.p - 1] * 2050, field.random(2050, os.urandom), [field.p - 1] * 2050] * 3)
    rows[:, -1] = 0
    assert field.horner(rows, x).tolist() == horner_plain(rows.tolist(), x, field.p)
    assert field.horner(rows[:1], x).tolist() == rows[0].tolist()


@BOTH
def test_horner_of_the_largest_values(field):
    rows = np.full((40, 3), field.p - 1, dtype=np.uint64)
    for x in ((1 << 30) - 1, (1 << 30) - 3, field.p - 1, 3):
        assert field.horner(rows, x).tolist() == horner_plain(rows.tolist(), x, field.p)


@BOTH
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 30])
def test_sum_of_the_largest_values(field, count):
    rows = [np.full((2, 3), field.p - 1, dtype=np.uint64)] * count
    assert np.array_equal(field.sum(rows), np.full((2, 3), -count % field.p, dtype=np.uint64))


@BOTH
def test_sum_and_dot_over_blocks(field):
    rows = [field.random(40_000, os.urandom) for _ in range(3)]
    weights = [field.p - 1, 5, -7]
    columns = list(zip(*(row.tolist() for row in rows), strict=True))
    assert field.sum(iter(rows)).tolist() == [sum(column) % field.p for column in columns]
    expected = [sum(w * v for w, v in zip(weights, column, strict=True)) % field.p for column in columns]
    assert field.dot(weights, rows).tolist() == expected


@BOTH
def test_inverse(field):
    for a in [1, 2, field.p - 1, field.p + 5, -3]:
        assert field.inverse(a) * a % field.p == 1
    with pytest.raises(ConfigurationError, match="zero"):
        field.inverse(field.p)


@BOTH
def test_random_masks_and_draws_p_again(field):
    word = "<u4" if field.bits == 31 else "<u8"
    full = (1 << (32 if field.bits == 31 else 64)) - 1
    first = array([full, 5, field.p, full - field.p, 7]).astype(word).tobytes()  # places 0 and 2 mask to p
    second = array([field.p, 11]).astype(word).tobytes()
    third = array([13]).astype(word).tobytes()
    assert field.random(5, source(first, second, third)).tolist() == [13, 5, 11, 0, 7]


@BOTH
def test_random_shapes(field):
    assert field.random((3, 4), os.urandom).shape == (3, 4)
    assert field.random(0, os.urandom).shape == (0,)
    assert field.random((2, 0), os.urandom).shape == (2, 0)
    values = field.random(100_000, os.urandom)
    counts = np.bincount((values >> np.uint64(field.bits - 6)).astype(int), minlength=64)
    statistic = float((((counts - 100_000 / 64) ** 2) / (100_000 / 64)).sum())
    assert counts.size == 64 and statistic < 154.4  # chi-square, 63 degrees, exceeded once in 10^9


@BOTH
def test_check(field):
    field.check(array([0, field.p - 1]), "share")
    field.check(array([]), "share")
    for bad in (array([field.p]), array([2**64 - 1]), np.zeros(2), np.zeros(2, np.int64), [1]):
        with pytest.raises(BadMessage, match="share"):
            field.check(bad, "share")


def test_refused():
    assert FIELDS == {31: M31, 61: M61}
    with pytest.raises(ConfigurationError, match="31 or 61"):
        Field(62)
    with pytest.raises(ConfigurationError, match="at least one"):
        M31.sum([])
    with pytest.raises(BadMessage, match="shapes differ"):
        M31.sum([array([1]), array([1, 2])])


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    compile_with = numba.njit

    def refuse(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_with(**options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert mersenne.jit(lambda x: x + 1)(1) == 2
