"""The keystream against single AES blocks and NIST's vectors, and masks that cancel."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError
from fedsec.primitives.prg import CHUNK_BYTES, expand, keystream_plain, keystream_u64, mask_into, masks_into
from tests.tiers import examples, slow

SEED = bytes(range(32))
SEEDS = st.binary(min_size=32, max_size=32)
CHUNK = CHUNK_BYTES // 8


def test_sp_800_38a_f_5_1():
    seed = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c" + "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    blocks = "ec8cdf7398607cb0f2d21675ea9ea1e4" + "362b7c3c6773516318a077d7fc5073ae"
    assert keystream_u64(seed, 4).tobytes().hex() == blocks


@given(SEEDS, st.integers(0, 100))
def test_fast_and_plain_agree(seed, count):
    assert keystream_u64(seed, count).tolist() == keystream_plain(seed, count)


@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_chunks_join(count):
    assert keystream_u64(SEED, count).tolist() == keystream_plain(SEED, count)


def test_the_counter_wraps():
    seed = bytes(16) + b"\xff" * 16
    assert keystream_u64(seed, 6).tolist() == keystream_plain(seed, 6)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("count", [0, 1, 5, 3 * CHUNK + 1])
def test_masks_cancel_and_are_the_stream(dtype, count):
    start = np.frombuffer(os.urandom(count * np.dtype(dtype).itemsize), dtype=dtype)
    vector = start.copy()
    mask_into(SEED, vector, subtract=False)
    stream = np.frombuffer(expand(SEED)(vector.nbytes), dtype=dtype)
    assert np.array_equal(vector, start + stream)
    mask_into(SEED, vector, subtract=True)
    assert np.array_equal(vector, start)


@settings(max_examples=examples(20))
@given(st.lists(SEEDS, max_size=4), st.lists(SEEDS, max_size=4))
def test_many_masks_are_single_masks(added, subtracted):
    start = keystream_u64(SEED, CHUNK + 7)
    together, apart = start.copy(), start.copy()
    masks_into(together, added, subtracted)
    for seed in added:
        mask_into(seed, apart, subtract=False)
    for seed in subtracted:
        mask_into(seed, apart, subtract=True)
    assert np.array_equal(together, apart)


def test_distinct_halves_of_the_seed_both_count():
    other_key, other_counter = bytes([1, *SEED[1:]]), SEED[:31] + b"\0"
    streams = [keystream_u64(seed, 4).tolist() for seed in (SEED, other_key, other_counter)]
    assert len({tuple(stream) for stream in streams}) == 3


def test_expand_reads_onward():
    draw = expand(SEED)
    assert draw(5) + draw(0) + draw(27) == keystream_u64(SEED, 4).tobytes()


def test_refused_inputs():
    for seed in (b"", bytes(16), bytes(33)):
        with pytest.raises(ConfigurationError, match="32 are expected"):
            keystream_u64(seed, 1)
        with pytest.raises(ConfigurationError, match="32 are expected"):
            expand(seed)
    with pytest.raises(ConfigurationError, match="at least 0"):
        keystream_u64(SEED, -1)
    for vector in (np.zeros(4, np.int64), np.zeros((2, 2), np.uint64), np.zeros(8, np.uint64)[::2], np.zeros(4, ">u8")):
        with pytest.raises(ConfigurationError, match="contiguous"):
            mask_into(SEED, vector, subtract=False)


@pytest.mark.parametrize("dtype", ["<u4", "<u8"])
@pytest.mark.parametrize(
    ("added", "subtracted"), [(0, 0), (3, 5), *slow([(1, 0), (16, 0), (0, 17), (9, 10), (300, 3)])]
)
def test_many_streams_are_one_after_another(dtype: str, added: int, subtracted: int) -> None:
    """However streams are grouped, and wherever slices end."""
    seeds = [number.to_bytes(32, "big") for number in range(added + subtracted)]
    values = 40_001 if added + subtracted < 100 else 101
    together, apart = np.arange(values).astype(dtype), np.arange(values).astype(dtype)
    masks_into(together, seeds[:added], seeds[added:])
    for place, seed in enumerate(seeds):
        mask_into(seed, apart, subtract=place >= added)
    assert np.array_equal(together, apart)
