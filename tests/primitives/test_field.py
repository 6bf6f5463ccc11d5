"""Field arithmetic against Python integers, at the edges and at random; storage, and what it refuses."""

import itertools
import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.field import BLOCK, FIELDS, M31, M61, Field, product_plain
from tests.tiers import examples

pytestmark = pytest.mark.usefixtures("tier")
BOTH = pytest.mark.parametrize("field", [M31, M61], ids=["31", "61"])


def edges(field: Field) -> list[int]:
    p = field.p
    powers = [1 << i for i in range(field.bits)]
    return sorted({0, 1, 2, p - 1, p - 2, p // 2, p // 2 + 1, *powers, *(x - 1 for x in powers)})


def source(*draws: bytes) -> Callable[[int], bytes]:
    queue = list(draws)

    def rng(count: int) -> bytes:
        drawn = queue.pop(0)
        assert len(drawn) == count
        return drawn

    return rng


@BOTH
def test_edge_operands(field):
    values = np.array(edges(field), field.word)
    a, b = (x.reshape(-1) for x in np.meshgrid(values, values))
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    for result, expected in (
        (field.mul(a, b), [x * y % field.p for x, y in pairs]),
        (field.add(a, b), [(x + y) % field.p for x, y in pairs]),
        (field.sub(a, b), [(x - y) % field.p for x, y in pairs]),
    ):
        assert result.dtype == field.word and result.tolist() == expected


@BOTH
@settings(max_examples=examples(50))
@given(data=st.data())
def test_arithmetic_is_python_s(field, data):
    elements = st.lists(st.integers(0, field.p - 1), min_size=5, max_size=5)
    x, y = data.draw(elements), data.draw(elements)
    a, b = np.array(x, field.word), np.array(y, field.word)
    assert field.mul(a, b).tolist() == [i * j % field.p for i, j in zip(x, y, strict=True)]
    assert field.mul(a, -3).tolist() == [-3 * i % field.p for i in x]
    assert field.add(a, b).tolist() == [(i + j) % field.p for i, j in zip(x, y, strict=True)]
    assert field.sub(a, b).tolist() == [(i - j) % field.p for i, j in zip(x, y, strict=True)]


@BOTH
def test_mul_broadcasts(field):
    a, b = field.random((3, 1), os.urandom), field.random(4, os.urandom)
    expected = [[x * y % field.p for y in b.tolist()] for (x,) in a.tolist()]
    assert field.mul(a, b).tolist() == expected


@BOTH
def test_sum_of_the_largest_values(field):
    for count in (1, 2, 7, 8, 9, 15, 16, 30, 1000):
        total = field.sum([np.full((2, 3), field.p - 1, dtype=field.word)] * count)
        assert total.dtype == field.word
        assert np.array_equal(total, np.full((2, 3), -count % field.p, dtype=field.word)), count


@BOTH
def test_sum_over_blocks(field):
    rows = [field.random(BLOCK + 7, os.urandom) for _ in range(3)]
    expected = [sum(column) % field.p for column in zip(*(row.tolist() for row in rows), strict=True)]
    assert field.sum(iter(rows)).tolist() == expected
    assert field.sum(np.array(rows)).tolist() == expected
    assert field.sum(np.array(rows).T.copy().T).tolist() == expected  # rows that are not contiguous


@BOTH
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_product_is_python_s(field, data):
    r, m, d = (data.draw(st.integers(low, high)) for low, high in ((0, 5), (1, 11), (0, 12)))
    elements = st.one_of(st.integers(0, field.p - 1), st.sampled_from(edges(field)))
    weights = data.draw(st.lists(st.lists(elements, min_size=m, max_size=m), min_size=r, max_size=r))
    rows = data.draw(st.lists(st.lists(elements, min_size=d, max_size=d), min_size=m, max_size=m))
    got = field.product(np.array(weights, field.word).reshape(r, m), np.array(rows, field.word).reshape(m, d))
    assert got.dtype == field.word and got.shape == (r, d)
    assert got.tolist() == product_plain(weights, rows, field.p)


@pytest.mark.slow
@BOTH
def test_product_over_tiles(field):
    # The first row of weights meets the largest values everywhere, the second is zero.
    for height, width in itertools.product((1, 2, 3, 4, 5, 6, 7, 8, 66), (0, 1, 7, 1023, 1024, 1025, 2051)):
        weights = field.random((3, height), os.urandom)
        weights[0], weights[1] = field.p - 1, 0
        rows = field.random((height, width), os.urandom)
        rows[:, ::2] = field.p - 1
        got = field.product(weights, rows)
        assert got.tolist() == product_plain(weights.tolist(), rows.tolist(), field.p), (height, width)
        assert not got[1].any()


@BOTH
def test_product_of_the_largest_and_of_zero(field):
    extremes = (0, 1, field.p - 1)
    for height, w, x in itertools.product((1, 2, 3, 4, 6, 50, 1000), extremes, extremes):
        got = field.product(np.full((1, height), w, field.word), np.full((height, 9), x, field.word))
        assert got.tolist() == [[height * w * x % field.p] * 9], (height, w, x)


@BOTH
def test_product_into_writes_its_columns_only(field):
    weights, rows = field.random((2, 3), os.urandom), field.random((3, 5), os.urandom)
    weights.flags.writeable = rows.flags.writeable = False
    out = np.full((2, 9), 7, field.word)
    field.product_into(weights, rows, out, 3)
    assert np.array_equal(out[:, 3:8], field.product(weights, rows))
    assert (out[:, :3] == 7).all() and (out[:, 8:] == 7).all()


@BOTH
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_condense_is_python_s(field, data):
    m, d, r, s = (data.draw(st.integers(low, high)) for low, high in ((1, 3), (0, 21), (1, 3), (1, 9)))
    elements = st.one_of(st.integers(0, field.p - 1), st.sampled_from(edges(field)))
    factors = data.draw(st.lists(st.lists(elements, min_size=s, max_size=s), min_size=r, max_size=r))
    rows = data.draw(st.lists(st.lists(elements, min_size=d, max_size=d), min_size=m, max_size=m))
    sums, largest = field.condense(np.array(rows, field.word).reshape(m, d), np.array(factors, field.word))
    tiles = [[row[start : start + s] for start in range(0, d, s)] for row in rows]
    assert sums.dtype == field.word and sums.shape == (m, -(-d // s), r)
    assert sums.tolist() == [
        [[sum(f * x for f, x in zip(factor, tile, strict=False)) % field.p for factor in factors] for tile in row]
        for row in tiles
    ]
    assert largest == max(itertools.chain.from_iterable(rows), default=0)


@BOTH
def test_condense_sums_the_largest_values_over_long_tiles(field):
    for size, width in itertools.product((1023, 1024), (1, 1024, 1025, 2047)):
        factors, rows = np.full((2, size), field.p - 1, field.word), np.full((1, width), field.p - 1, field.word)
        sums, largest = field.condense(rows, factors)
        lengths = [min(size, width - start) for start in range(0, width, size)]
        assert (sums.tolist(), largest) == ([[[length] * 2 for length in lengths]], field.p - 1)


@BOTH
def test_condense_tells_of_values_that_are_not_below_p(field):
    for value in (field.p, field.p + 1, int(np.iinfo(field.word).max)):
        for place in range(5):
            rows = np.zeros((1, 5), field.word)
            rows[0, place] = value
            assert field.condense(rows, np.ones((1, 4), field.word))[1] == value


@BOTH
def test_inverse(field):
    for a in [1, 2, field.p - 1, field.p + 5, -3]:
        assert field.inverse(a) * a % field.p == 1
    with pytest.raises(ConfigurationError, match="zero"):
        field.inverse(field.p)


@BOTH
def test_random_masks_and_draws_p_again(field):
    full = (1 << 8 * field.word.itemsize) - 1
    first = np.array([full, 5, field.p, full - field.p, 7], field.word).tobytes()  # places 0 and 2 mask to p
    second = np.array([field.p, 11], field.word).tobytes()
    third = np.array([13], field.word).tobytes()
    assert field.random(5, source(first, second, third)).tolist() == [13, 5, 11, 0, 7]


@BOTH
def test_random_draws_block_by_block_and_again_within_a_block(field):
    first = np.zeros(BLOCK, field.word)
    first[3] = field.p
    draws = [first.tobytes(), np.array([9], field.word).tobytes(), np.array([1, 2], field.word).tobytes()]
    values = field.random(BLOCK + 2, source(*draws))
    assert (values[3], values[BLOCK:].tolist(), values[:BLOCK].sum()) == (9, [1, 2], 9)


@BOTH
def test_random_shapes(field):
    assert field.random((3, 4), os.urandom).shape == (3, 4)
    assert field.random(0, os.urandom).shape == (0,)
    assert field.random((2, 0), os.urandom).shape == (2, 0)
    values = field.random(100_000, os.urandom)
    assert values.dtype == field.word
    counts = np.bincount((values >> (field.bits - 6)).astype(int), minlength=64)
    statistic = float((((counts - 100_000 / 64) ** 2) / (100_000 / 64)).sum())
    assert counts.size == 64 and statistic < 154.4  # chi-square, 63 degrees, exceeded once in 10^9


@BOTH
def test_check(field):
    field.check(np.array([0, field.p - 1], field.word), "share")
    field.check(np.array([], field.word), "share")
    other = M61 if field == M31 else M31
    for bad in (np.zeros(2), np.zeros(2, np.int64), np.zeros(2, other.word), [1]):
        with pytest.raises(BadMessage, match=f"share: field elements are expected as an array of {field.word.name}"):
            field.check(bad, "share")
    for value in (field.p, (1 << 8 * field.word.itemsize) - 1):
        with pytest.raises(BadMessage, match="share: a value is not below"):
            field.check(np.array([1, value], field.word), "share")


@BOTH
def test_load_and_dump(field):
    width = field.word.itemsize
    values = [0, 1, 258, field.p - 1]
    data = b"".join(value.to_bytes(width, "little") for value in values)
    loaded = field.load(data, 4)
    assert loaded.dtype == field.word and loaded.tolist() == values
    assert field.dump(loaded) == data == field.dump(np.array(values, np.uint64))
    assert field.load(b"", 0).shape == (0,) and field.dump(field.load(b"", 0)) == b""
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(BadMessage, match=f"share 3: {len(wrong)} bytes came and {4 * width} are expected"):
            field.load(wrong, 4, "share 3")
    for value in (field.p, (1 << 8 * width) - 1):
        with pytest.raises(BadMessage, match="field elements: a value is not below"):
            field.load(value.to_bytes(width, "little"), 1)


def test_refused():
    assert FIELDS == {31: M31, 61: M61}
    assert (M31.word, M61.word) == (np.dtype("<u4"), np.dtype("<u8"))
    with pytest.raises(ConfigurationError, match="31 or 61"):
        Field(62)
    with pytest.raises(ConfigurationError, match="at least one"):
        M31.sum([])
    with pytest.raises(BadMessage, match="shapes differ"):
        M31.sum([M31.random(1, os.urandom), M31.random(2, os.urandom)])
