"""Slots against the plain twin, at every width, and every refused input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.packing import capacity, check_canary, pack, pack_plain, plaintext_count, unpack, unpack_plain


def array(values) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def test_the_design_s_capacities():
    assert capacity(20, 2047) == 101
    assert capacity(20, 3071) == 152


def test_every_width_at_its_edges():
    for slot_bits in range(1, 64):
        top = (1 << slot_bits) - 1
        for plaintext_bits in (2 * slot_bits, 2 * slot_bits + 1, 64 * slot_bits, 1023, 2047):
            slots = capacity(slot_bits, plaintext_bits) if plaintext_bits >= 2 * slot_bits else 0
            for count in {1, slots, slots + 1}:
                at = (slot_bits, plaintext_bits, count)
                values = array([top, 0, top, 1, top >> 1] * (count // 5 + 1))[:count]
                packed = pack(values, slot_bits, plaintext_bits)
                assert packed == pack_plain(values.tolist(), slot_bits, plaintext_bits), at
                assert all(x < 1 << plaintext_bits for x in packed), at
                found, canaries = unpack(packed, count, slot_bits, plaintext_bits)
                assert np.array_equal(found, values), at
                assert (found.tolist(), canaries.tolist()) == unpack_plain(packed, count, slot_bits, plaintext_bits)
                check_canary(canaries, 1)


@settings(deadline=None)
@given(st.integers(3, 63), st.integers(128, 600), st.integers(1, 7), st.data())
def test_sums_of_plaintexts_are_sums_of_values(slot_bits, plaintext_bits, addends, data):
    size = data.draw(st.integers(0, 30))
    element = st.integers(0, ((1 << slot_bits) - 1) // addends)
    vectors = [data.draw(st.lists(element, min_size=size, max_size=size)) for _ in range(addends)]
    packed = [pack(array(vector), slot_bits, plaintext_bits) for vector in vectors]
    total = [sum(column) for column in zip(*packed, strict=True)]
    values, canaries = unpack(total, size, slot_bits, plaintext_bits)
    assert values.tolist() == [sum(column) for column in zip(*vectors, strict=True)]
    check_canary(canaries, addends)


def test_the_empty_vector():
    assert pack(array([]), 20, 2047) == []
    values, canaries = unpack([], 0, 20, 2047)
    assert values.shape == canaries.shape == (0,) and values.dtype == np.uint64
    check_canary(canaries, 3)
    assert plaintext_count(0, 20, 2047) == 0


def test_a_wrong_count_shows_in_the_canary():
    packed = pack(array([1] * 300), 20, 2047)
    missing = [2 * packed[0], packed[1], 2 * packed[2]]
    _, canaries = unpack(missing, 300, 20, 2047)
    with pytest.raises(BadMessage, match="plaintext 1: it holds 1 and 2 addends"):
        check_canary(canaries, 2)
    with pytest.raises(BadMessage, match="-1 addends"):
        check_canary(canaries, -1)


def test_a_last_slot_that_runs_over_shows_in_the_canary():
    packed = pack(array([7] * 4), 3, 15)
    _, canaries = unpack([2 * packed[0]], 4, 3, 15)
    with pytest.raises(BadMessage, match="canary"):
        check_canary(canaries, 2)


def test_pack_refuses():
    for slot_bits in (0, -1, 64):
        with pytest.raises(ConfigurationError, match="1 to 63"):
            pack(array([1]), slot_bits, 2047)
    with pytest.raises(ConfigurationError, match="two slots"):
        pack(array([1]), 63, 125)
    for slot_bits in (1, 20, 63):
        with pytest.raises(ConfigurationError, match="does not fit"):
            pack(array([0, 1 << slot_bits]), slot_bits, 2047)
    for values in (np.array([1]), np.array([1.0]), array([[1]])):
        with pytest.raises(ConfigurationError, match="uint64"):
            pack(values, 20, 2047)


def test_unpack_refuses():
    packed = pack(array([5] * 150), 20, 2047)
    for plaintexts, count, words in [
        (packed, 101, "2 came and 1 are expected"),
        (packed[:1], 150, "1 came and 2"),
        ([], 1, "0 came"),
        ([packed[0], 1 << 2040], 150, "not in"),
        ([packed[0], -1], 150, "not in"),
        (packed, 149, "past the last value"),
    ]:
        with pytest.raises(BadMessage, match=words):
            unpack(plaintexts, count, 20, 2047)
