"""Products, truncations and comparisons on shares against numpy, at the edges of the range and over drawn values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from fedsec.errors import BadMessage, ConfigurationError, DataError
from fedsec.mpc import operations
from fedsec.mpc.gradient_descent import finish
from fedsec.mpc.ring_fixed_point import Fixed, FixedPointOverflow, multiplier
from fedsec.mpc.roles import Program, Role, Share, Truncation
from fedsec.mpc.streams import Corrections, Stream, derived
from fedsec.mpc.twin import Twin
from tests.mpc.running import Integers, both
from tests.tiers import examples, slow

EDGE = (1 << 62) - 1
words = st.integers(-(1 << 63), (1 << 63) - 1)


def matrices(shape: tuple[int, ...]) -> st.SearchStrategy[Integers]:
    return drawn.arrays(np.int64, shape, elements=words)


@settings(max_examples=examples(40), deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_matrix_products_are_numpys(data: st.DataObject, n: int, k: int, m: int) -> None:
    x, y = data.draw(matrices((n, k))), data.draw(matrices((k, m)))

    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        a, b = yield from role.open(masked=list(inputs))
        product = role.matmul(a, b)
        return [product, role.matmul(role.transpose(a), (yield from role.open(masked=[product]))[0])]

    found = both(program, [x, y], twin=False)
    expected = (x.view(np.uint64) @ y.view(np.uint64)).view(np.int64)
    assert np.array_equal(found.shares[0], expected)
    assert np.array_equal(found.shares[1], (x.T.copy().view(np.uint64) @ expected.view(np.uint64)).view(np.int64))
    assert found.counts.rounds == 2


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(matrices((7,)), drawn.arrays(np.int64, (7,), elements=st.integers(-EDGE, EDGE)), st.integers(1, 62))
def test_wires_multiply_whatever_they_were_opened_from(x: Integers, y: Integers, shift: int) -> None:
    """Masked by masked, masked by truncated, truncated by truncated, and sums of them; wrap bits at every shift."""

    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        plain, cut, other = yield from role.open(
            masked=inputs[:1], truncated=[Truncation(inputs[1], shift, "y", 0), Truncation(inputs[1], 62, "y", 0)]
        )
        mixed = role.combine([(1, cut), (-1, plain), (3, other)], 5)
        pairs = [(plain, plain), (plain, cut), (cut, cut), (cut, other), (mixed, mixed), (mixed, cut)]
        return [cut.share, other.share, mixed.share, *[role.multiply(a, b) for a, b in pairs]]

    found = both(program, [x, y], twin=False).shares
    cut, other, mixed = found[:3]
    with np.errstate(over="ignore"):
        assert np.array_equal(mixed, cut - x + 3 * other + 5)
        for got, (a, b) in zip(
            found[3:], [(x, x), (x, cut), (cut, cut), (cut, other), (mixed, mixed), (mixed, cut)], strict=True
        ):
            assert np.array_equal(got, a * b)


def truncated(values: Integers, shift: int) -> Integers:
    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        (wire,) = yield from role.open(truncated=[Truncation(inputs[0], shift, "x", 0)])
        return [wire.share]

    return both(program, [values], twin=False).shares[0]


@pytest.mark.parametrize("shift", [16, *slow([1, 22, 32, 61])])
def test_truncation_is_within_one_unit_and_never_wraps(shift: int) -> None:
    """Ten million drawn values, half of them at the edges of the range, where a local truncation wraps."""
    rng = np.random.default_rng(shift)
    for _ in range(examples(2)):
        values = rng.integers(-EDGE, EDGE, 1_000_000, dtype=np.int64, endpoint=True)
        values[::4] = EDGE - (values[::4] & 0xFFFF)
        values[1::4] = -EDGE + (values[1::4] & 0xFFFF)
        off = truncated(values, shift) - (values >> shift)
        assert off.min() >= 0 and off.max() <= 1
        assert off[values & ((1 << shift) - 1) == 0].sum() == 0  # what is exact stays exact


def test_truncation_has_no_bias() -> None:
    """Rounded up with the probability of what is cut off."""
    for part in (0.1, 0.5, 0.9):
        values = np.full(200_000, (3 << 16) + int(part * 65536), np.int64)
        mean = float(truncated(values, 16).mean()) - 3
        assert abs(mean - part) < 6 * np.sqrt(part * (1 - part) / values.size)


def test_a_truncation_beyond_the_range_does_wrap() -> None:
    """The control: the range is what the proof needs, and a value outside it is what the twin explains."""
    values = np.full(1000, -(1 << 62) - (1 << 61), np.int64)
    assert np.abs(truncated(values, 16) - (values >> 16)).max() > 1

    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        (wire,) = yield from role.open(truncated=[Truncation(inputs[0], 16, "layer 2's sum", 32)])
        return [wire.share]

    with pytest.raises(FixedPointOverflow, match=r"layer 2's sum: a value of magnitude 1\.61e\+09 .* below 1\.07e\+09"):
        finish(program(Twin(), [values]))


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.integers(-(1 << 61), 1 << 61), min_size=1, max_size=3), st.integers(1, 150), st.integers(0, 1 << 32))
def test_comparison_is_exact_at_the_edges(thresholds: list[int], size: int, seed: int) -> None:
    """Beside each threshold, at the ends of the range, and anywhere between."""
    edges = [0, -1, EDGE, -EDGE, *[t + d for t in thresholds for d in (-1, 0, 1)]]
    rng = np.random.default_rng(seed)
    values = np.concatenate([edges, rng.integers(-EDGE, EDGE, size)]).astype(np.int64)

    def program(role: Role, inputs: Sequence[Share]) -> Program[list[Share]]:
        (wire,) = yield from role.open(truncated=[Truncation(inputs[0], 16, "x", 0, compared=True)])
        bits = yield from role.below(wire, thresholds)
        return [*[bit.share for bit in bits], role.multiply(wire, bits[0]), wire.share]

    found = both(program, [values])
    assert found.counts.rounds == 6
    for got, threshold in zip(found.shares, thresholds, strict=False):
        assert np.array_equal(got, values < threshold)
    assert np.array_equal(found.shares[-2], found.shares[-1] * found.shares[0])
    assert all(np.array_equal(a, b) for a, b in zip(found.shares, found.twin, strict=True))


def test_bits_pack_and_unpack() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 130), dtype=np.uint64)
    packed = operations.stack([operations.top_bits(row << np.uint64(63)) for row in bits])
    assert packed.shape == (3, 3)
    assert np.array_equal(operations.unpack(packed, 130), bits)


def test_dot_is_numpys_for_columns_and_transposes() -> None:
    x, y = (np.frombuffer(Stream(bytes([n]) * 32).words((30, 30)).tobytes(), np.uint64).reshape(30, 30) for n in (1, 2))
    for a, b in ((x, y), (x.T, y), (x[:, :7], y[:7, :1]), (x[:1], y)):
        assert np.array_equal(operations.dot(a, b), a @ b)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="between 12 and 18"):
        Fixed(24)
    with pytest.raises(DataError, match=r"finite and below 7\.04e\+13"):
        Fixed(16).encode([1e14])
    with pytest.raises(ConfigurationError, match="a shift of 63"):
        Truncation(np.zeros(1), 63, "x", 0)
    with pytest.raises(ConfigurationError, match=r"below 2\^8"):
        multiplier(256.0, 8)
    with pytest.raises(ConfigurationError, match="32 are expected"):
        derived(b"short", "purpose")
    with pytest.raises(BadMessage, match="whole words"):
        Corrections(b"123")
    with pytest.raises(BadMessage, match="more were expected"):
        Corrections(bytes(8)).words(2)
    with pytest.raises(BadMessage, match="2 words came and 0"):
        Corrections(bytes(16)).finish()


@given(st.floats(1e-9, 4000.0), st.integers(2, 12))
def test_a_multiplier_is_as_near_as_its_digits_allow(value: float, digits: int) -> None:
    if value >= 2.0**digits - 0.5:
        return
    found = multiplier(value, digits)
    assert abs(found.value - value) <= max(2.0 ** -(digits - 1) * value, 2.0**-41) and found.factor <= 2**digits


def stream(seed: bytes) -> Any:
    return Stream(seed).words(5).tolist()


def test_streams_differ_by_seed_purpose_and_iteration() -> None:
    seed = bytes(range(32))
    seeds = {derived(seed, purpose, number) for purpose in ("party 0", "party 1") for number in range(50)}
    assert len(seeds) == 100 and stream(seed) == stream(seed) != stream(derived(seed, "party 0"))
