"""Wide values: the fast encoding equals the plain one, and sums of digits decode to the exact sum."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.encoding import wide
from fedsec.encoding.mean_spec import LARGEST_WEIGHT, metric_steps
from tests.tiers import examples

LIMIT = 2.0**31


@settings(max_examples=examples(200))
@given(
    rows=st.lists(
        st.lists(
            st.floats(-LIMIT, LIMIT) | st.sampled_from([0.0, LIMIT, -LIMIT, 5e-324, 0.5, -0.5]), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=9,
    ),
    weight=st.sampled_from([1.0, 0.25, 12.5, 1e6, float(LARGEST_WEIGHT)]),
    bits=st.integers(2, 60),
)
def test_fast_equals_plain_and_sums_are_exact(rows: list[list[float]], weight: float, bits: int) -> None:
    factor = weight * 2.0**32
    total = np.zeros(3 * wide.limbs(bits), np.uint64)
    for row in rows:
        out = np.full(total.size, 99, np.uint64)
        wide.encode(np.array(row), factor, out, bits)
        assert out.tolist() == wide.encode_plain(row, factor, bits)
        assert max(out.tolist()) < 1 << bits
        total += out
    exact = [sum(round(value * factor) for value in column) for column in zip(*rows, strict=True)]
    assert wide.decode(total, len(rows), bits) == exact


@settings(max_examples=examples(100))
@given(
    rows=st.lists(st.lists(st.integers(-(2**20), 2**20), min_size=2, max_size=2), min_size=1, max_size=9),
    width=st.integers(22, wide.MOST_NARROW),
    bits=st.integers(2, 60),
)
def test_whole_numbers_travel_in_as_many_bits_as_they_take(rows: list[list[int]], width: int, bits: int) -> None:
    total = np.zeros(2 * wide.limbs(bits, width), np.uint64)
    for row in rows:
        out = np.full(total.size, 99, np.uint64)
        wide.encode(np.array(row, np.float64), 1.0, out, bits, width)
        assert out.tolist() == wide.encode_plain(row, 1.0, bits, width) and max(out.tolist()) < 1 << bits
        total += out
    assert wide.decode(total, len(rows), bits, width) == [sum(column) for column in zip(*rows, strict=True)]


def test_no_values_take_no_limbs() -> None:
    out = np.empty(0, np.uint64)
    wide.encode(np.empty(0), 1.0, out, 24)
    assert wide.decode(out, 3, 24) == []


def test_a_metric_of_any_range_fits() -> None:
    for top in (1e-9, 0.7, 1.0, 1e6, 2.0**31, 1e30):
        largest = top * metric_steps(-top, top) * LARGEST_WEIGHT
        assert 2.0**100 < largest < 2.0 ** (wide.WIDE_BITS - 1)
