"""Opening with false shares: every set of liars of small cohorts, fast against plain, and what cannot be corrected."""

import itertools
import random
from collections.abc import Collection, Mapping, Sequence
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import robust, shamir
from fedsec.primitives.field import M31, M61, Field, product_plain
from fedsec.primitives.lagrange import interpolation_plain
from fedsec.primitives.prg import expand
from fedsec.primitives.robust import CHECKS, combine, combine_plain, locate, radius, welch_berlekamp
from tests.tiers import examples, slow

pytestmark = pytest.mark.usefixtures("tier")

BOTH = pytest.mark.parametrize("field", [M31, M61], ids=["31", "61"])
COLUMNS, SEED = 3, bytes(range(32))
ALL_SIZES = [(m, t, pack) for m in range(2, 7) for t in range(2, m + 1) for pack in range(1, t)]
SIZES = [*ALL_SIZES[:10], *slow(ALL_SIZES[10:])]  # up to four points are fast
Shares = dict[int, list[int]]


def at(points: Sequence[int], values: Sequence[Sequence[int]], targets: Sequence[int], field: Field) -> list[list[int]]:
    """The values at `targets` of the polynomials through `values` at `points`, by Lagrange's formula."""
    return product_plain(interpolation_plain(list(points), list(targets), field), values, field.p)


def dealt(
    draw: random.Random, points: Sequence[int], threshold: int, pack: int, field: Field
) -> tuple[list[int], Shares]:
    """A random secret that fills COLUMNS polynomials, and its shares."""
    base = list(points[:threshold])
    values = [[draw.randrange(field.p) for _ in range(COLUMNS)] for _ in base]
    secret = [value for row in at(base, values, range(0, -pack, -1), field) for value in row]
    return secret, dict(zip(points, at(base, values, points, field), strict=True))


def lies(draw: random.Random, shares: Shares, liars: Collection[int], field: Field) -> Shares:
    """The shares, false at each liar in columns of its own, one at least."""
    changed = {point: list(share) for point, share in shares.items()}
    for liar in liars:
        for column in draw.sample(range(COLUMNS), draw.randint(1, COLUMNS)):
            changed[liar][column] = (changed[liar][column] + draw.randrange(1, field.p)) % field.p
    return changed


def conspired(draw: random.Random, shares: Shares, liars: Sequence[int], threshold: int, field: Field) -> Shares:
    """The shares, with those of the liars on one other set of polynomials, that meets as many true ones as it can."""
    met = [point for point in shares if point not in liars][: threshold - 1]
    free = [point for point in shares if point not in met][: threshold - len(met)]
    fixed = {point: shares[point] for point in met} | {
        point: [draw.randrange(field.p) for _ in range(COLUMNS)] for point in free
    }
    moved = at(list(fixed), list(fixed.values()), liars, field)
    return {**shares, **dict(zip(liars, moved, strict=True))}


def fast(shares: Mapping[int, Sequence[int]], threshold: int, field: Field, count: int, pack: int):
    """What `combine` finds: the same by comparing every column of each share as by sums of two or one of them."""
    arrays = {x: np.array(y, field.word) for x, y in shares.items()}
    found: list[tuple[list[int], frozenset[int]] | str] = []
    with patch.object(robust, "TILE", 2):
        for seed in (b"", SEED):
            try:
                opened = combine(arrays, threshold, field, count, pack, seed)
                assert opened.secret.dtype == field.word and opened.secret.shape == (count,)
                found.append((opened.secret.tolist(), opened.off))
            except BadMessage as error:
                found.append(str(error))
    assert found[0] == found[1]
    if isinstance(found[0], str):
        raise BadMessage(found[0])
    return found[0]


def agreeing(shares: Shares, secret: Sequence[int], off: Collection[int], threshold: int, pack: int, field: Field):
    """The points that are, in every column, on the polynomials of what was opened."""
    rest = [point for point in shares if point not in off][:threshold]
    values = [shares[point] for point in rest]
    assert [value for row in at(rest, values, range(0, -pack, -1), field) for value in row] == list(secret)
    return {
        point for point, row in zip(shares, at(rest, values, list(shares), field), strict=True) if row == shares[point]
    }


@BOTH
@pytest.mark.parametrize(("m", "threshold", "pack"), SIZES)
def test_every_set_of_liars_is_found_and_corrected(field: Field, m: int, threshold: int, pack: int) -> None:
    draw = random.Random(f"{field.bits} {m} {threshold} {pack}")
    points, most = sorted(draw.sample([*range(1, 9), field.p - pack], m)), radius(m, threshold)
    for number in range(most + 1):
        for liars in itertools.combinations(points, number):
            secret, true = dealt(draw, points, threshold, pack, field)
            for shares in (
                lies(draw, true, liars, field),
                conspired(draw, true, liars, threshold, field) if liars else true,
            ):
                false = {point for point in points if shares[point] != true[point]}
                assert fast(shares, threshold, field, pack * COLUMNS, pack) == (secret, false)
                assert combine_plain(shares, threshold, field, pack * COLUMNS, pack) == (secret, false)


@BOTH
@pytest.mark.parametrize(("m", "threshold", "pack"), SIZES)
def test_one_liar_too_many_never_opens_what_too_few_agree_with(field: Field, m: int, threshold: int, pack: int) -> None:
    draw = random.Random(f"{field.bits} {m} {threshold} {pack} too many")
    points, most = range(1, m + 1), radius(m, threshold)
    refused = 0
    for liars in itertools.combinations(points, most + 1):
        _, true = dealt(draw, points, threshold, pack, field)
        for shares in (lies(draw, true, liars, field), conspired(draw, true, liars, threshold, field)):
            try:
                found, off = fast(shares, threshold, field, pack * COLUMNS, pack)
            except BadMessage as error:
                assert "they are not on one polynomial" in str(error)
                with pytest.raises(BadMessage) as plain:
                    combine_plain(shares, threshold, field, pack * COLUMNS, pack)
                assert str(plain.value) == str(error)
                refused += 1
                continue
            assert (found, off) == combine_plain(shares, threshold, field, pack * COLUMNS, pack)
            on = agreeing(shares, found, off, threshold, pack, field)
            assert on == set(points) - off and len(on) >= m - most
    assert refused or m == threshold


@BOTH
def test_one_spare_share_detects_a_lie_and_does_not_correct_it(field: Field) -> None:
    draw = random.Random(1)
    for threshold in range(2, 6):
        for liar in range(1, threshold + 2):
            _, true = dealt(draw, range(1, threshold + 2), threshold, 1, field)
            shares = lies(draw, true, [liar], field)
            words = f"{threshold + 1} came, {threshold} open the secret, .* to correct one, {threshold + 2} are needed"
            with pytest.raises(BadMessage, match=words) as error:
                fast(shares, threshold, field, COLUMNS, 1)
            assert "point" not in str(error.value)


@BOTH
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_twins_agree(field: Field, data: st.DataObject) -> None:
    pack = data.draw(st.integers(1, 3))
    threshold = data.draw(st.integers(pack + 1, 6))
    point = st.one_of(st.integers(1, 20), st.integers(field.p - pack - 3, field.p - pack))
    points = sorted(data.draw(st.sets(point, min_size=threshold, max_size=threshold + 7)))
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    count = data.draw(st.integers(pack * (COLUMNS - 1) + 1, pack * COLUMNS))
    _, true = dealt(draw, points, threshold, pack, field)
    liars = data.draw(st.lists(st.sampled_from(points), max_size=radius(len(points), threshold) + 1, unique=True))
    make = data.draw(st.sampled_from(["alone", "together"]))
    shares = true
    if liars:
        shares = lies(draw, true, liars, field) if make == "alone" else conspired(draw, true, liars, threshold, field)
    try:
        plain = combine_plain(shares, threshold, field, count, pack)
    except BadMessage as error:
        with pytest.raises(BadMessage) as also:
            fast(shares, threshold, field, count, pack)
        assert str(also.value) == str(error)
        return
    assert fast(shares, threshold, field, count, pack) == plain


@BOTH
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_both_decoders_find_the_same_points(field: Field, data: st.DataObject) -> None:
    """Errors of every number up to all points: where Welch and Berlekamp's finds nothing, the fast one names nobody."""
    threshold = data.draw(st.integers(1, 6))
    points = sorted(data.draw(st.sets(st.integers(1, 30), min_size=threshold, max_size=threshold + 8)))
    small = st.integers(0, 3)
    coefficients = data.draw(st.lists(small, min_size=threshold, max_size=threshold))
    values = [sum(c * x**i for i, c in enumerate(coefficients)) % field.p for x in points]
    for place in data.draw(st.lists(st.integers(0, len(points) - 1), unique=True)):
        values[place] = (values[place] + data.draw(small)) % field.p
    found = welch_berlekamp(points, values, threshold, radius(len(points), threshold), field)
    off = locate(points, values, threshold, field)
    if found is None:
        assert off == frozenset()
        return
    on = [sum(c * x**i for i, c in enumerate(found)) % field.p for x in points]
    assert off == {point for point, a, b in zip(points, on, values, strict=True) if a != b}


@BOTH
@pytest.mark.parametrize("seed", [b"", SEED], ids=["columns", "condensed"])
def test_liars_that_lie_in_different_blocks_are_all_found(
    field: Field, seed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first point lies last, so that the last block is opened by other shares than the first ones."""
    points, threshold, pack, block = range(1, 10), 4, 2, 32
    size = 3 * block + 5
    seeds = {point: bytes([point]) * 32 for point in points[: threshold - pack]}
    secret = field.random(pack * size - 1, lambda count: (bytes(range(256)) * (count // 256 + 1))[:count])
    shares = shamir.split(secret, points, threshold, field, seeds, pack)
    shares |= {point: shamir.expand_share(seed, size, field) for point, seed in seeds.items()}
    for liar, column in ((1, size - 1), (7, 2 * block), (1, size - 2)):
        shares[liar] = shares[liar].copy()
        shares[liar][column] = (int(shares[liar][column]) + 1) % field.p
    monkeypatch.setattr(robust, "CACHED", 0)
    monkeypatch.setattr(robust, "TILE", block // robust.TILES)
    opened = combine(shares, threshold, field, secret.size, pack, seed)
    assert np.array_equal(opened.secret, secret) and opened.off == {1, 7}
    shares[3][5] = (int(shares[3][5]) + 1) % field.p
    with pytest.raises(BadMessage, match="more than 2 are false"):
        combine(shares, threshold, field, secret.size, pack, seed)


@BOTH
def test_a_lie_is_found_in_whichever_column_it_is(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last tile is shorter than the others, and no length is a multiple of four."""
    points, threshold, size = range(1, 5), 2, 3 * 7 + 5
    monkeypatch.setattr(robust, "TILE", 7)
    secret = np.arange(size, dtype=field.word)
    shares = shamir.split(secret, points, threshold, field, {1: SEED}) | {1: shamir.expand_share(SEED, size, field)}
    for column in range(size):
        false = shares[4].copy()
        false[column] = (int(false[column]) + 1) % field.p
        opened = combine(shares | {4: false}, threshold, field, size, seed=SEED)
        assert np.array_equal(opened.secret, secret) and opened.off == {4}


@BOTH
def test_who_foresees_the_seed_could_hide_a_lie_and_nobody_else(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lies in two or three columns of a tile cancel out for who knows its factors, and with other factors do not."""
    points, threshold, size = range(1, 5), 2, 9
    monkeypatch.setattr(robust, "TILE", 4)
    factors = field.random((CHECKS[field.bits], robust.TILE), expand(SEED)).tolist()
    rest = robust._solve([[*row[1 : len(factors) + 1], -row[0] % field.p] for row in factors], field)
    assert rest is not None
    secret = np.arange(size, dtype=field.word)
    shares = shamir.split(secret, points, threshold, field, {1: SEED}) | {1: shamir.expand_share(SEED, size, field)}
    shares[3][: len(factors) + 1] = field.add(shares[3][: len(factors) + 1], np.array([1, *rest], field.word))
    assert combine(shares, threshold, field, size, seed=SEED).off == frozenset()
    for other in (b"", bytes(32), SEED[::-1]):
        opened = combine(shares, threshold, field, size, seed=other)
        assert opened.off == {3} and np.array_equal(opened.secret, secret)


def test_a_tile_that_is_off_is_missed_no_oftener_than_in_the_larger_field_by_one_sum() -> None:
    assert min(bits * checks for bits, checks in CHECKS.items()) == 61


@BOTH
def test_errors_that_would_lie_at_a_point_of_nobody_name_nobody(field: Field) -> None:
    """Values whose syndromes are those of errors at the points 3 and 50, of which only 3 is there."""
    points, p = range(1, 7), field.p
    weights = interpolation_plain(points, [0], field)[0]
    equations = [
        [*(w * pow(x, k + 1, p) % p for w, x in zip(weights, points, strict=True)), (3**k + 50**k) % p]
        for k in range(4)
    ]
    values = robust._solve(equations, field)
    assert values is not None
    assert locate(points, values, 2, field) == frozenset()
    assert welch_berlekamp(points, values, 2, 2, field) is None


@BOTH
def test_nothing_to_open(field: Field) -> None:
    empty = np.empty(0, field.word)
    opened = combine({1: empty, 2: empty, 3: empty}, 2, field, 0)
    assert opened.secret.shape == (0,) and opened.off == frozenset()


@BOTH
def test_shares_of_another_form_are_refused_as_shamir_refuses_them(field: Field) -> None:
    one, other = np.array([1, 2], field.word), np.array([3, field.p], field.word)
    for shares, words in (
        ({1: one}, "1 came and 2 are needed"),
        ({0: one, 1: one}, "point 0"),
        ({1: one, 2: one[:1]}, "shape"),
        ({1: one, 2: other}, "modulus"),
    ):
        with pytest.raises(BadMessage, match=words):
            combine(shares, 2, field, 2)
    with pytest.raises(ConfigurationError, match="threshold: 1"):
        combine({1: one, 2: one}, 1, field, 2)


def test_the_room_for_liars() -> None:
    assert [radius(m, 4) for m in range(3, 10)] == [0, 0, 0, 1, 1, 2, 2]
