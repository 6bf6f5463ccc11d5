"""Shares against the plain twin, the uniformity of what fewer parties see, and every refused input."""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.field import M31, M61
from fedsec.primitives.prg import expand
from fedsec.primitives.shamir import combine, combine_plain, lagrange, split, split_plain

BOTH = pytest.mark.parametrize("field", [M31, M61], ids=["31", "61"])


def array(values) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@BOTH
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_threshold_shares_reconstruct_and_twins_agree(field, data):
    points = data.draw(st.lists(st.integers(1, field.p - 1), min_size=2, max_size=6, unique=True))
    threshold = data.draw(st.integers(2, len(points)))
    secret = data.draw(st.lists(st.integers(0, field.p - 1), max_size=8))
    seed = data.draw(st.binary(min_size=32, max_size=32))
    shares = split(array(secret), points, threshold, field, expand(seed))
    assert {point: share.tolist() for point, share in shares.items()} == split_plain(
        secret, points, threshold, field, expand(seed)
    )
    assert combine(shares, threshold, field).tolist() == secret
    for subset in itertools.islice(itertools.combinations(points, threshold), 10):
        some = {point: shares[point] for point in subset}
        assert combine(some, threshold, field).tolist() == secret == combine_plain(some, threshold, field)


@BOTH
@pytest.mark.parametrize("size", [1, 32_767, 32_768, 32_769, 70_000])
def test_blocks_join(field, size):
    secret, seed = field.random(size, os.urandom), os.urandom(32)
    shares = split(secret, [1, 2, 3], 2, field, expand(seed))
    plain = split_plain(secret.tolist(), [1, 2, 3], 2, field, expand(seed))
    assert {point: share.tolist() for point, share in shares.items()} == plain
    assert np.array_equal(combine(shares, 2, field), secret)


@BOTH
def test_the_empty_vector(field):
    shares = split(array([]), [1, 2, 3], 2, field, os.urandom)
    assert all(share.shape == (0,) for share in shares.values())
    assert combine(shares, 2, field).shape == (0,)


@BOTH
@pytest.mark.parametrize("value", [0, 1, -1])
def test_fewer_shares_are_uniform_over_the_whole_range(field, value):
    # 64 equal cells of [0, p) for each share of a constant secret, and for pairs of shares below threshold 3.
    size = 64_000
    secret = np.full(size, value % field.p, dtype=np.uint64)
    shares = split(secret, [1, 2, 5], 3, field, os.urandom)
    cells = {point: (share >> np.uint64(field.bits - 6)).astype(int) for point, share in shares.items()}
    for cell in cells.values():
        assert chi_square(cell, 64) < 154.4  # 63 degrees, exceeded once in 10^9
    for a, b in itertools.combinations(cells.values(), 2):
        assert chi_square(a // 8 * 8 + b // 8, 64) < 154.4


def chi_square(cells: np.ndarray, count: int) -> float:
    expected = cells.size / count
    return float(((np.bincount(cells, minlength=count) - expected) ** 2 / expected).sum())


@BOTH
def test_coefficients_are_drawn_per_value(field):
    drawn = []

    def rng(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    shares = split(array([5] * 1000), [1, 2, 3, 4], 4, field, rng)
    assert sum(drawn) == 3 * 1000 * (4 if field.bits == 31 else 8)
    assert len(set(shares[1].tolist())) > 990


@BOTH
def test_shares_add(field):
    a, b = field.random(50, os.urandom), field.random(50, os.urandom)
    left, right = split(a, [1, 2, 3], 2, field, os.urandom), split(b, [1, 2, 3], 2, field, os.urandom)
    total = {point: field.add(left[point], right[point]) for point in left}
    assert np.array_equal(combine(total, 2, field), field.add(a, b))


def test_lagrange_against_shamir_s_formula():
    assert lagrange([1, 2], 0, M31) == [2, M31.p - 1]
    assert lagrange([1, 2, 3], 0, M61) == [3, M61.p - 3, 1]


@BOTH
@pytest.mark.parametrize("point", [1, 2, 3, 4])
def test_a_further_share_must_fit(field, point):
    shares = split(field.random(20, os.urandom), [1, 2, 3, 4], 3, field, os.urandom)
    shares[point][7] = (int(shares[point][7]) + 1) % field.p
    with pytest.raises(BadMessage, match="share of point 4: it does not lie"):
        combine(shares, 3, field)


@BOTH
@pytest.mark.parametrize(
    ("points", "threshold", "words"),
    [
        ([0, 1, 2], 2, "at least 1"),
        ([-1, 1, 2], 2, "at least 1"),
        ([1, 2, 2], 2, "twice"),
        (["p", 1], 2, "below"),
        ([1, 2, 3], 4, "at most 3"),
        ([1, 2, 3], 1, "at least 2"),
        ([1, 2, 3], 0, "at least 2"),
        ([], 2, "at most 0"),
    ],
)
def test_split_refuses(field, points, threshold, words):
    points = [field.p if point == "p" else point for point in points]
    for function, secret in ((split, array([1])), (split_plain, [1])):
        with pytest.raises(ConfigurationError, match=words):
            function(secret, points, threshold, field, os.urandom)


@BOTH
def test_split_refuses_secrets_outside_the_field(field):
    for secret in (array([field.p]), array([[1]]), np.array([1]), np.array([1.0])):
        with pytest.raises(ConfigurationError, match="secret"):
            split(secret, [1, 2], 2, field, os.urandom)


@BOTH
def test_combine_refuses(field):
    one, two = array([1, 2]), array([3, 4])
    cases = [
        ({1: one}, "1 came and 2 are needed"),
        ({}, "0 came"),
        ({0: one, 1: two}, "point 0"),
        ({1: one, field.p: two}, "points are at least 1"),
        ({1: one, 2: array([3])}, "shape"),
        ({1: one, 2: array([[3, 4]])}, "shape"),
        ({1: one, 2: array([3, field.p])}, "modulus"),
        ({1: one, 2: np.array([3, 4])}, "uint64"),
    ]
    for shares, words in cases:
        with pytest.raises(BadMessage, match=words):
            combine(shares, 2, field)
    with pytest.raises(ConfigurationError, match="threshold"):
        combine({1: one, 2: two}, 1, field)
