"""Shares and masks against the plain twins, privacy as algebra and as statistics, and every refused input."""

import itertools
import math
import os
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import prg
from fedsec.primitives.field import BLOCK, M31, M61
from fedsec.primitives.lagrange import interpolation, interpolation_plain
from fedsec.primitives.shamir import (
    SHARE_BYTES,
    combine,
    combine_plain,
    combine_secret,
    combine_secrets,
    expand_share,
    mask,
    mask_plain,
    split,
    split_plain,
    split_secret,
    split_secrets,
)
from tests.tiers import examples, exhaustive

BOTH = pytest.mark.parametrize("field", [M31, M61], ids=["31", "61"])

# Word 471002297 * 4 + 1 of the stream of AES-128 under the zero key is 2^31 - 1 modulo 2^31: this stream's word 5.
REJECTED_AT = 5
REJECTED = bytes(16) + (471_002_297 - 1).to_bytes(16, "big")


def array(values, field) -> np.ndarray:
    return np.array(values, dtype=field.word)


def new_seeds(points) -> dict[int, bytes]:
    return {point: os.urandom(32) for point in points}


def lists(shares) -> dict[int, list[int]]:
    return {point: share.tolist() for point, share in shares.items()}


def everyone(shares, seeds, count, field) -> dict[int, np.ndarray]:
    """All shares: those that were computed and those that are seeds."""
    return {**shares, **{point: expand_share(seed, count, field) for point, seed in seeds.items()}}


@st.composite
def settings_of(draw, field, seeded_by_pack=True):
    """Points, threshold, pack and the seeds of some of the points, in any order."""
    pack = draw(st.integers(1, 4))
    point = st.one_of(st.integers(1, 20), st.integers(field.p - pack - 3, field.p - pack))
    points = draw(st.lists(point, min_size=pack + 1, max_size=pack + 5, unique=True))
    threshold = draw(st.integers(pack + 1, len(points)))
    seeded = draw(st.permutations(points))[: threshold - pack if seeded_by_pack else threshold]
    seed = st.binary(min_size=32, max_size=32)
    return points, threshold, pack, {point: draw(seed) for point in seeded}


@BOTH
@settings(max_examples=examples(60))
@given(data=st.data())
def test_any_threshold_shares_reconstruct_and_twins_agree(field, data):
    points, threshold, pack, seeds = data.draw(settings_of(field))
    secret = data.draw(st.lists(st.integers(0, field.p - 1), max_size=9))
    shares = split(array(secret, field), points, threshold, field, seeds, pack)
    assert lists(shares) == split_plain(secret, points, threshold, field, seeds, pack)
    assert list(shares) == [point for point in points if point not in seeds]
    everything = everyone(shares, seeds, math.ceil(len(secret) / pack), field)
    assert combine(everything, threshold, field, len(secret), pack).tolist() == secret
    for subset in itertools.islice(itertools.combinations(points, threshold), 10):
        some = {point: everything[point] for point in subset}
        assert combine(some, threshold, field, len(secret), pack).tolist() == secret
        assert combine_plain(some, threshold, field, len(secret), pack) == secret


@BOTH
@settings(max_examples=examples(60))
@given(data=st.data())
def test_masks_are_opened_by_any_threshold_pieces_and_twins_agree(field, data):
    points, threshold, pack, seeds = data.draw(settings_of(field, seeded_by_pack=False))
    count = data.draw(st.integers(0, 9))
    value, shares = mask(points, threshold, count, field, seeds, pack)
    plain_value, plain_shares = mask_plain(points, threshold, count, field, seeds, pack)
    assert (value.tolist(), lists(shares)) == (plain_value, plain_shares)
    assert value.dtype == field.word and value.shape == (count,)
    everything = everyone(shares, seeds, math.ceil(count / pack), field)
    for subset in itertools.islice(itertools.combinations(points, threshold), 10):
        some = {point: everything[point] for point in subset}
        assert np.array_equal(combine(some, threshold, field, count, pack), value)
        assert combine_plain(some, threshold, field, count, pack) == plain_value


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("count", [BLOCK + 1, 2 * BLOCK + 5, *exhaustive([BLOCK - 1, BLOCK])])
@pytest.mark.parametrize("pack", [1, 2])
def test_blocks_join(field, count, pack):
    size = pack * count - pack + 1
    secret, points = field.random(size, os.urandom), [1, 2, 3, 4]
    seeds = new_seeds([4])
    shares = split(secret, points, pack + 1, field, seeds, pack)
    assert lists(shares) == split_plain(secret.tolist(), points, pack + 1, field, seeds, pack)
    everything = everyone(shares, seeds, count, field)
    assert np.array_equal(combine(everything, pack + 1, field, size, pack), secret)
    seeds = new_seeds(points[: pack + 1])
    value, pieces = mask(points, pack + 1, size, field, seeds, pack)
    assert (value.tolist(), lists(pieces)) == mask_plain(points, pack + 1, size, field, seeds, pack)


@pytest.mark.slow
def test_a_rejected_value_is_drawn_again_in_every_place_alike():
    """Splitting draws block by block, expanding in one call: a value drawn again must not tell them apart."""
    words = np.frombuffer(prg.expand(REJECTED)(4 * 8), "<u4") & np.uint32(M31.p)
    assert words[REJECTED_AT] == M31.p and (np.delete(words, REJECTED_AT) < M31.p).all()
    size = BLOCK + 9
    stream = np.frombuffer(prg.expand(REJECTED)(4 * (size + 1)), "<u4") & np.uint32(M31.p)
    first = stream[:BLOCK].copy()
    first[REJECTED_AT] = stream[BLOCK]
    expected = np.concatenate([first, stream[BLOCK + 1 :]])
    assert np.array_equal(expand_share(REJECTED, size, M31), expected)
    secret = M31.random(size, os.urandom)
    shares = split(secret, [1, 2, 3], 2, M31, {2: REJECTED})
    assert np.array_equal(combine({**shares, 2: expected}, 2, M31, size), secret)
    value, shares = mask([1, 2, 3], 2, size, M31, {1: REJECTED, 2: bytes(range(32))})
    assert np.array_equal(combine({**shares, 1: expected}, 2, M31, size), value)


@BOTH
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64])
def test_secrets_of_any_unsigned_type(field, dtype):
    secret = np.arange(200, dtype=dtype)[::2]
    seeds = new_seeds([1])
    everything = everyone(split(secret, [1, 2, 3], 2, field, seeds), seeds, 100, field)
    assert combine(everything, 2, field, 100).tolist() == secret.tolist()


@BOTH
def test_the_empty_vector(field):
    seeds = new_seeds([1])
    shares = split(array([], field), [1, 2, 3], 2, field, seeds)
    assert all(share.shape == (0,) for share in shares.values())
    assert combine(everyone(shares, seeds, 0, field), 2, field, 0).shape == (0,)


@BOTH
def test_a_mask_whose_shares_are_all_seeds(field):
    seeds = new_seeds([1, 2])
    value, shares = mask([1, 2], 2, 5, field, seeds)
    assert shares == {}
    assert np.array_equal(combine(everyone({}, seeds, 5, field), 2, field, 5), value)


def rank(matrix: list[list[int]], p: int) -> int:
    """The rank mod p, by Gaussian elimination."""
    rows, found = [list(row) for row in matrix], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, p)
        for i in range(found + 1, len(rows)):
            factor = rows[i][column] * inverse % p
            rows[i] = [(a - factor * b) % p for a, b in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found


@BOTH
@pytest.mark.parametrize(
    ("n", "private", "pack"), [(2, 1, 1), (3, 2, 1), (5, 2, 2), (7, 3, 3), (8, 1, 6), (12, 6, 4), (20, 9, 8)]
)
def test_privacy_of_split_is_a_bijection(field, n, private, pack):
    """For fixed secrets, T seeded shares map one to one to the shares of any T parties: those are as uniform."""
    points = list(range(1, n + 1))
    draw = random.Random(f"{field.bits} {n} {private} {pack}")
    for _ in range(30):
        seeded, seen = draw.sample(points, private), draw.sample(points, private)
        weights = interpolation((*range(0, -pack, -1), *seeded), tuple(seen), field)
        assert rank(weights[:, pack:].tolist(), field.p) == private


@BOTH
@pytest.mark.parametrize(
    ("n", "private", "pack"), [(2, 1, 1), (3, 2, 1), (5, 2, 2), (7, 3, 3), (8, 1, 6), (12, 6, 4), (20, 9, 8)]
)
def test_privacy_of_masks_is_a_bijection(field, n, private, pack):
    """The threshold seeded shares map one to one to the mask's pieces with the shares of any T parties."""
    points = list(range(1, n + 1))
    draw = random.Random(f"{field.bits} {n} {private} {pack}")
    for _ in range(30):
        seeded, seen = draw.sample(points, private + pack), draw.sample(points, private)
        weights = interpolation(tuple(seeded), (*range(0, -pack, -1), *seen), field)
        assert rank(weights.tolist(), field.p) == private + pack


@BOTH
@pytest.mark.parametrize("value", [0, 1, -1])
def test_fewer_shares_are_uniform_over_the_whole_range(field, value):
    # 64 equal cells of [0, p) for each share of a constant secret, and for pairs of shares below threshold 3.
    size = 64_000
    secret = np.full(size, value % field.p, dtype=field.word)
    seeds = new_seeds([1, 2])
    shares = everyone(split(secret, [1, 2, 5, 9], 3, field, seeds), seeds, size, field)
    cells = {point: (share >> (field.bits - 6)).astype(int) for point, share in shares.items()}
    for cell in cells.values():
        assert chi_square(cell, 64) < 154.4  # 63 degrees, exceeded once in 10^9
    for a, b in itertools.combinations(cells.values(), 2):
        assert chi_square(a // 8 * 8 + b // 8, 64) < 154.4


@BOTH
def test_masks_are_uniform_beside_the_shares_of_few(field):
    size = 64_000
    seeds = new_seeds([1, 2, 3])
    value, shares = mask([1, 2, 3, 4, 5], 3, 2 * size, field, seeds, pack=2)
    seen = [value[:size], value[size:], shares[5], expand_share(seeds[2], size, field)]
    cells = [(row >> (field.bits - 6)).astype(int) for row in seen]
    for cell in cells:
        assert chi_square(cell, 64) < 154.4
    for a, b in itertools.combinations(cells, 2):
        assert chi_square(a // 8 * 8 + b // 8, 64) < 154.4


def chi_square(cells: np.ndarray, count: int) -> float:
    expected = cells.size / count
    return float(((np.bincount(cells, minlength=count) - expected) ** 2 / expected).sum())


@BOTH
@pytest.mark.parametrize("pack", [1, 3])
def test_shares_add(field, pack):
    a, b = field.random(50, os.urandom), field.random(50, os.urandom)
    left, right = new_seeds([2]), new_seeds([4])
    points, count = range(1, 7), math.ceil(50 / pack)
    one = everyone(split(a, points, pack + 1, field, left, pack), left, count, field)
    other = everyone(split(b, points, pack + 1, field, right, pack), right, count, field)
    total = {point: field.add(one[point], other[point]) for point in points}
    assert np.array_equal(combine(total, pack + 1, field, 50, pack), field.add(a, b))


@BOTH
@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("point", [1, 2, 3, 4])
def test_a_further_share_must_fit(field, point, pack):
    size, seeds = 2 * BLOCK, new_seeds([2, 3][: 3 - pack])
    shares = everyone(
        split(field.random(pack * size, os.urandom), [1, 2, 3, 4], 3, field, seeds, pack), seeds, size, field
    )
    shares[point][BLOCK + 7] = (int(shares[point][BLOCK + 7]) + 1) % field.p
    with pytest.raises(BadMessage, match=r"share of point 4, or one of points .*: they do not lie on one polynomial"):
        combine(shares, 3, field, pack * size, pack)


@BOTH
@pytest.mark.parametrize(
    ("points", "threshold", "pack", "words"),
    [
        ([0, 1, 2], 2, 1, "at least 1"),
        ([-1, 1, 2], 2, 1, "at least 1"),
        ([1, 2, 2], 2, 1, "twice"),
        (["p", 1], 2, 1, "at most 2"),
        (["p - 1", 1, 2], 3, 2, "at most 2"),
        ([1, 2, 3], 4, 1, "at most 3"),
        ([1, 2, 3], 1, 1, "at least 2"),
        ([1, 2, 3], 0, 1, "at least 2"),
        ([1, 2, 3], 2, 2, "at least 3"),
        ([1, 2, 3], 2, 0, "pack: 0"),
        ([1, 2, 3], 2, -1, "pack: -1"),
        ([], 2, 1, "at most 0"),
    ],
)
def test_split_and_mask_refuse_points(field, points, threshold, pack, words):
    points = [{"p": field.p, "p - 1": field.p - 1}.get(point, point) for point in points]
    seeded = dict.fromkeys(points[: max(threshold - pack, 0)], bytes(32))
    for call in (
        lambda: split(array([1], field), points, threshold, field, seeded, pack),
        lambda: split_plain([1], points, threshold, field, seeded, pack),
        lambda: mask(points, threshold, 1, field, seeded, pack),
        lambda: mask_plain(points, threshold, 1, field, seeded, pack),
    ):
        with pytest.raises(ConfigurationError, match=words):
            call()


@BOTH
def test_split_and_mask_refuse_seeds(field):
    secret, points = array([1], field), [1, 2, 3, 4]
    for seeds in (new_seeds([]), new_seeds([1]), new_seeds([1, 2, 3]), new_seeds([1, 5])):
        for function, given_secret in ((split, secret), (split_plain, [1])):
            with pytest.raises(ConfigurationError, match=r"seeds: for points .* 2 of"):
                function(given_secret, points, 3, field, seeds)
    for seeds in (new_seeds([1, 2]), new_seeds([1, 2, 3, 4]), new_seeds([1, 2, 5])):
        for function in (mask, mask_plain):
            with pytest.raises(ConfigurationError, match=r"seeds: for points .* 3 of"):
                function(points, 3, 1, field, seeds)
    with pytest.raises(ConfigurationError, match="31 bytes"):
        split(secret, points, 2, field, {1: bytes(31)})
    with pytest.raises(ConfigurationError, match="mask: -1 values"):
        mask(points, 2, -1, field, new_seeds([1, 2]))


@BOTH
def test_split_refuses_secrets_outside_the_field(field):
    wide = np.array([field.p], np.uint64)
    for secret in (wide, array([[1]], field), np.array([1]), np.array([1.0]), np.array([True])):
        with pytest.raises(ConfigurationError, match="secret"):
            split(secret, [1, 2], 2, field, new_seeds([1]))


@BOTH
def test_combine_refuses(field):
    other = M61 if field == M31 else M31
    one, two = array([1, 2], field), array([3, 4], field)
    cases = [
        ({1: one}, "1 came and 2 are needed"),
        ({}, "0 came"),
        ({0: one, 1: two}, "point 0"),
        ({1: one, field.p: two}, "points are at least 1"),
        ({1: one, 2: array([3], field)}, r"shape \(1,\); \(2,\) is expected"),
        ({1: one[:1], 2: two[:1]}, "shape"),
        ({1: one, 2: array([[3, 4]], field)}, "shape"),
        ({1: one, 2: array([3, field.p], field)}, "modulus"),
        ({1: one, 2: np.array([3, 4])}, field.word.name),
        ({1: one, 2: array([3, 4], other)}, field.word.name),
    ]
    for shares, words in cases:
        with pytest.raises(BadMessage, match=words):
            combine(shares, 2, field, 2)
    with pytest.raises(BadMessage, match="points are at least 1 and at most"):
        combine({1: one, 2: two, field.p - 1: one}, 3, field, 4, pack=2)
    with pytest.raises(ConfigurationError, match="threshold: 1; at least 2"):
        combine({1: one, 2: two}, 1, field, 2)
    with pytest.raises(ConfigurationError, match="threshold: 2; at least 3"):
        combine({1: one, 2: two}, 2, field, 2, pack=2)
    with pytest.raises(ConfigurationError, match="pack: 0"):
        combine({1: one, 2: two}, 2, field, 2, pack=0)


@settings(max_examples=examples(40))
@given(data=st.data())
def test_any_threshold_shares_open_secrets_of_32_bytes(data):
    points = data.draw(st.lists(st.integers(1, M61.p - 1), min_size=2, max_size=6, unique=True))
    threshold = data.draw(st.integers(2, len(points)))
    edge = st.sampled_from([bytes(32), b"\xff" * 32, bytes(31) + b"\xff"])
    secrets = data.draw(st.lists(st.one_of(edge, st.binary(min_size=32, max_size=32)), max_size=3))
    shares = split_secrets(secrets, points, threshold, os.urandom)
    assert list(shares) == points
    assert {len(share) for share in shares.values()} == {SHARE_BYTES * len(secrets)}
    assert combine_secrets(shares, threshold, len(secrets)) == secrets
    for subset in itertools.islice(itertools.combinations(points, threshold), 5):
        assert combine_secrets({point: shares[point] for point in subset}, threshold, len(secrets)) == secrets


def test_shares_of_a_secret_are_those_of_its_limbs():
    """The plain twin: five limbs of 52 bits, lowest first, and the first shares as drawn."""
    secret, drawn = os.urandom(32), os.urandom(2 * SHARE_BYTES)
    shares = split_secret(secret, [4, 7, 9, 11], 3, lambda count: drawn[:count])
    number = int.from_bytes(secret, "little")
    rows = [[number >> 52 * i & (1 << 52) - 1 for i in range(5)]]
    rows += M61.random((2, 5), lambda count: drawn[:count]).tolist()
    for point, share in shares.items():
        (weights,) = interpolation_plain([0, 4, 7], [point], M61)
        limbs = [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) % M61.p for i in range(5)]
        assert share == b"".join(limb.to_bytes(8, "little") for limb in limbs)
    assert combine_secret(shares, 3) == secret


def test_one_secret_among_a_hundred():
    secret, points = os.urandom(32), range(1, 101)
    shares = split_secret(secret, points, 51, os.urandom)
    assert combine_secret(shares, 51) == secret
    assert combine_secret({point: shares[point] for point in range(50, 101)}, 51) == secret
    shares[100] = bytes(40)
    with pytest.raises(BadMessage, match="share of point 100, or one of points"):
        combine_secret(shares, 51)


def test_secrets_refused():
    for secret in (b"", bytes(31), bytes(33)):
        with pytest.raises(ConfigurationError, match=f"{len(secret)}"):
            split_secret(secret, [1, 2], 2, os.urandom)
    for points, threshold, words in (
        ([1, 1], 2, "twice"),
        ([0, 1], 2, "at least 1"),
        ([1, 2], 1, "at least 2"),
        ([1, 2], 3, "at most 2"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            split_secret(bytes(32), points, threshold, os.urandom)
    shares = split_secret(bytes(32), [1, 2, 3], 2, os.urandom)
    with pytest.raises(BadMessage, match="1 came and 2"):
        combine_secret({1: shares[1]}, 2)
    for wrong in (b"", shares[1][:-1], shares[1] + b"\0", 2 * shares[1]):
        with pytest.raises(BadMessage, match=f"share of point 1: {len(wrong)} bytes came and 40 are expected"):
            combine_secret({**shares, 1: wrong}, 2)
    with pytest.raises(BadMessage, match="share of point 1: a value is not below"):
        combine_secret({**shares, 1: M61.p.to_bytes(8, "little") + shares[1][8:]}, 2)


@pytest.mark.parametrize("limbs", [[1 << 52, 0, 0, 0, 0], [0, 0, 0, 0, 1 << 48], [0, 0, M61.p - 1, 0, 0]])
def test_what_opens_to_no_32_bytes_is_refused(limbs):
    seeds = new_seeds([1])
    shares = everyone(split(array(limbs, M61), [1, 2], 2, M61, seeds), seeds, 5, M61)
    with pytest.raises(BadMessage, match="secret: what the shares open is not 32 bytes"):
        combine_secret({point: M61.dump(share) for point, share in shares.items()}, 2)
