"""Vectors modulo 2^32 and 2^64, against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.ring import BLOCK, R32, R64, Ring

RINGS = pytest.mark.parametrize("ring", [R32, R64], ids=["32", "64"])


@RINGS
@given(data=st.data())
def test_sums_wrap_as_integers_modulo_the_ring(ring: Ring, data: st.DataObject) -> None:
    length, rows = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 6))
    word = st.one_of(st.integers(0, (1 << ring.bits) - 1), st.sampled_from([0, (1 << ring.bits) - 1]))
    vectors = [data.draw(st.lists(word, min_size=length, max_size=length)) for _ in range(rows)]
    total = ring.sum([np.array(vector, ring.dtype) for vector in vectors])
    assert total.dtype == ring.dtype
    assert ring.lift(total).tolist() == [sum(column) % (1 << ring.bits) for column in zip(*vectors, strict=True)]


@RINGS
def test_blocks_do_not_show(ring: Ring) -> None:
    vectors = [np.arange(start, start + 2 * BLOCK + 3).astype(ring.dtype) for start in (0, 7, 1 << 30)]
    assert np.array_equal(ring.sum(vectors), sum(vectors[1:], vectors[0]))


@RINGS
def test_words_are_a_copy_modulo_the_ring(ring: Ring) -> None:
    vector = np.array([0, 1, (1 << 32) + 5, (1 << 64) - 1], np.uint64)
    words = ring.words(vector)
    assert ring.lift(words).tolist() == [value % (1 << ring.bits) for value in vector.tolist()]
    words += words.dtype.type(1)
    assert vector[0] == 0


def test_what_is_no_vector_of_the_ring() -> None:
    with pytest.raises(ConfigurationError, match="ring: 31 bits; the rings have 32 or 64"):
        Ring(31)
    with pytest.raises(ConfigurationError, match="at least one"):
        R32.sum([])
    three = np.zeros(3, np.uint32)
    for other in (np.zeros(2, np.uint32), np.zeros(3, np.uint64), np.zeros((3, 1), np.uint32)):
        with pytest.raises(BadMessage, match=r"vector 2 of 2: shape .* 3 words of 32 bits were expected"):
            R32.sum([three, other])
