"""Fixed point: the fast encoding equals the plain one, sums decode within the bound, and headroom is proved exactly."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fedsec.encoding.fixed_point import MAX_BITS, FixedPoint, from_limbs, prove_headroom, to_limbs
from fedsec.errors import ConfigurationError, HeadroomError
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import Shamir
from tests.tiers import examples

CLIPS = st.sampled_from([4.0, 1.0, 0.1, 1 / 3, 1e-3, 7.1, 1e6]) | st.floats(1e-30, 1e30)
SCALES = st.sampled_from([1.0, 0.5, 1e-4]) | st.floats(1e-6, 1.0)
BITS = st.integers(2, MAX_BITS)


@st.composite
def cases(draw: st.DrawFn) -> tuple[FixedPoint, float, list[float]]:
    """Values of every kind: inside, on and beyond the clip, ties between two integers, subnormals, zeros."""
    point, scale = FixedPoint(draw(BITS), draw(CLIPS)), draw(SCALES)
    clip, tick = point.clip, point.clip / point.steps / scale
    near = st.floats(-2 * clip, 2 * clip)
    ties = st.integers(-point.steps, point.steps).map(lambda steps: (steps + 0.5) * tick)
    edges = [
        0.0,
        clip,
        -clip,
        math.nextafter(clip, 0),
        math.nextafter(clip, math.inf),
        math.nextafter(-clip, -math.inf),
        -0.0,
        5e-324,
        -5e-324,
        2.2e-308,
        1.7e308,
        -1.7e308,
        tick / 2,
        -tick / 2,
        3 * tick / 2,
    ]
    return point, scale, draw(st.lists(near | ties | st.sampled_from(edges), max_size=40))


@settings(max_examples=examples(300))
@given(case=cases())
def test_fast_equals_plain_and_stays_in_range(case: tuple[FixedPoint, float, list[float]]) -> None:
    point, scale, values = case
    out = np.full(len(values), 99, np.uint64)
    clipped = point.encode(np.array(values, np.float64), scale, out)
    assert (out.tolist(), clipped) == point.encode_plain(values, scale)
    assert all(0 < integer < 1 << point.bits for integer in out.tolist())
    assert clipped == sum(abs(Fraction(value)) > Fraction(point.clip) for value in values)


def test_halves_round_to_even_in_both() -> None:
    point = FixedPoint(8, 127.0)  # one step is 1.0
    values = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5, 127.0, -127.0, 127.5, -400.0]
    expected = [0, 2, 2, 0, -2, -2, 126, -126, 127, -127, 127, -127]
    out = np.empty(len(values), np.uint64)
    assert point.encode(np.array(values), 1.0, out) == 2
    assert (out.astype(np.int64) - point.offset).tolist() == expected
    assert point.encode_plain(values, 1.0) == (out.tolist(), 2)


@pytest.mark.parametrize("size", [0, 1, (1 << 14) - 1, 1 << 14, (1 << 14) + 1, 3 << 14])
def test_long_vectors_equal_the_plain_twin_across_chunks(size: int) -> None:
    point, values = FixedPoint(24, 1.0), np.random.default_rng(size).normal(0, 0.7, size)
    out = np.empty(size, np.uint64)
    clipped = point.encode(values, 0.37, out)
    assert (out.tolist(), clipped) == point.encode_plain(values.tolist(), 0.37)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_of_any_float_type_are_encoded_as_float64(dtype: type[np.floating[Any]]) -> None:
    point, values = FixedPoint(30, 0.25), np.linspace(-0.3, 0.3, 77).astype(dtype)
    out = np.empty(77, np.uint64)
    clipped = point.encode(values, 1.0, out)
    assert (out.tolist(), clipped) == point.encode_plain([float(value) for value in values], 1.0)


@settings(max_examples=examples(200))
@given(
    bits=st.integers(2, 40),
    clip=CLIPS,
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=12),
    spread=st.sampled_from([0.0, 0.3, 1.0, 3.0]),
    seed=st.integers(0, 2**32),
)
def test_a_sum_decodes_within_the_bound(bits: int, clip: float, weights: list[int], spread: float, seed: int) -> None:
    """Against the exact weighted mean of the clipped values, on fractions."""
    point, largest = FixedPoint(bits, clip), max(weights)
    updates = np.random.default_rng(seed).normal(0, spread * clip, (len(weights), 7))
    total = np.zeros(7, np.uint64)
    for weight, update in zip(weights, updates, strict=True):
        out = np.empty(7, np.uint64)
        point.encode(update, weight / largest, out)
        total += out
    assert int(total.max()) <= len(weights) * ((1 << bits) - 1)
    mean = point.decode(total, len(weights)) * (largest / sum(weights))
    bound = Fraction(len(weights)) * Fraction(clip) * largest / (2 * point.steps * sum(weights))
    assert math.isclose(point.error_bound(len(weights), largest, sum(weights)), bound, rel_tol=1e-12)
    slack = bound / 10**3 + Fraction(clip) * Fraction(1, 1 << 48)  # float64 arithmetic
    for place in range(7):
        bounded = [max(-Fraction(clip), min(Fraction(clip), Fraction(float(update)))) for update in updates[:, place]]
        total_of_place = sum((weight * value for weight, value in zip(weights, bounded, strict=True)), Fraction(0))
        assert abs(Fraction(float(mean[place])) - total_of_place / sum(weights)) <= bound + slack


def test_decode_takes_off_one_offset_for_each_addend() -> None:
    point = FixedPoint(16, 2.0)
    out = np.empty(3, np.uint64)
    point.encode(np.array([2.0, 0.0, -2.0]), 1.0, out)
    for addends in (1, 3, 1000):
        assert point.decode(out * np.uint64(addends), addends).tolist() == [2.0 * addends, 0.0, -2.0 * addends]
    strided = np.repeat(out, 2)[::2]
    assert point.decode(strided, 1).tolist() == [2.0, 0.0, -2.0]
    assert point.decode(out[:0], 5).tolist() == []


@pytest.mark.parametrize("bits", [-1, 0, 1, MAX_BITS + 1, 60, 64])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(ConfigurationError, match=f"bits is {bits}; it must lie between 2 and {MAX_BITS}"):
        FixedPoint(bits, 1.0)


@pytest.mark.parametrize("clip", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e-320])
def test_clips_that_are_none(clip: float) -> None:
    with pytest.raises(ConfigurationError, match=f"clip is {clip}; it must be positive and finite"):
        FixedPoint(24, clip)


@given(number=st.integers(0, (1 << 120) - 1), bits=st.integers(1, 60), extra=st.integers(0, 3))
def test_limbs_there_and_back(number: int, bits: int, extra: int) -> None:
    limbs = -(-number.bit_length() // bits) + extra
    digits = to_limbs(number, bits, limbs)
    assert len(digits) == limbs
    assert all(0 <= digit < 1 << bits for digit in digits)
    assert from_limbs(digits, bits) == number


@given(numbers=st.lists(st.integers(0, (1 << 60) - 1), min_size=1, max_size=50), bits=st.integers(5, 60))
def test_sums_of_limbs_carry(numbers: list[int], bits: int) -> None:
    limbs = -(-60 // bits)
    rows = [to_limbs(number, bits, limbs) for number in numbers]
    assert from_limbs([sum(column) for column in zip(*rows, strict=True)], bits) == sum(numbers)


@given(bits=st.integers(1, 60), limbs=st.integers(1, 4), beyond=st.integers(0, 9))
def test_a_number_beyond_its_limbs_is_refused(bits: int, limbs: int, beyond: int) -> None:
    assert from_limbs(to_limbs((1 << bits * limbs) - 1, bits, limbs), bits) == (1 << bits * limbs) - 1
    for number in ((1 << bits * limbs) + beyond, -1 - beyond):
        with pytest.raises(HeadroomError, match=f"{limbs} limbs of {bits} bits"):
            to_limbs(number, bits, limbs)


@given(bits=st.integers(1, 60), addends=st.integers(1, 10_000))
@example(bits=1, addends=1)
def test_headroom_at_its_very_edge(bits: int, addends: int) -> None:
    largest = addends * ((1 << bits) - 1)
    prove_headroom(bits, addends, largest)
    with pytest.raises(HeadroomError) as caught:
        prove_headroom(bits, addends, largest - 1)
    told = str(caught.value)
    assert f"{addends} values of {bits} bits" in told
    assert f"largest sum {largest}, capacity {largest - 1}" in told
    assert f"{largest.bit_length()} bits" in told


@given(bits=st.integers(2, 60), addends=st.integers(1, 1000), capacity=st.integers(1, 1 << 62))
def test_the_bits_that_the_error_proposes_do_fit(bits: int, addends: int, capacity: int) -> None:
    assume(addends <= capacity < addends * ((1 << bits) - 1))
    with pytest.raises(HeadroomError) as caught:
        prove_headroom(bits, addends, capacity)
    found = re.search(r"use at most (\d+) value bits", str(caught.value))
    assert found is not None
    proposed = int(found[1])
    prove_headroom(proposed, addends, capacity)
    with pytest.raises(HeadroomError):
        prove_headroom(proposed + 1, addends, capacity)


def test_headroom_of_the_strategies() -> None:
    plain, shamir = Plain(value_bits=60), Shamir(value_bits=60)
    prove_headroom(60, 8, plain.capacity(range(8)))
    with pytest.raises(HeadroomError):
        prove_headroom(60, 9, plain.capacity(range(9)))
    with pytest.raises(HeadroomError, match="3 values of 60 bits"):
        prove_headroom(60, 3, shamir.capacity(range(3)))
    assert Shamir(value_bits=24).capacity(range(128)) == (1 << 31) - 2  # 128 * (2**24 - 1) is just below 2**31 - 1
    assert Shamir(value_bits=24).capacity(range(129)) == (1 << 61) - 2
