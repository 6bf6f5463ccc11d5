"""The test of uniformity: what chance gives passes, and each kind of pattern is found."""

from __future__ import annotations

import numpy as np
import pytest

from fedsec.protocol import Vector
from fedsec.testing.leakage import FEWEST, LIMIT, _unlikely, not_uniform

MODULI = [256, (1 << 31) - 1, 1 << 32, (1 << 61) - 1, 1 << 64]


def drawn(modulus: int, size: int, seed: int) -> Vector:
    return np.random.default_rng(seed).integers(0, modulus - 1, size, dtype=np.uint64, endpoint=True)


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("size", [FEWEST, 3000, 20_000])
def test_uniform_numbers_pass(modulus: int, size: int) -> None:
    for seed in range(40):
        assert not not_uniform(drawn(modulus, size, seed), modulus)


@pytest.mark.parametrize("modulus", MODULI)
def test_patterns_are_found(modulus: int) -> None:
    numbers = drawn(modulus, 3000, 1)
    half = numbers // np.uint64(2)
    repeated = np.full(3000, numbers[0])
    regular = np.array([place * (modulus - 1) // 2999 for place in range(3000)], np.uint64)  # evener than chance
    for patterned in (half, repeated, regular):
        assert any("full range" in reason for reason in not_uniform(patterned, modulus))
    if modulus > 1 << 16:
        cleared = numbers & ~np.uint64(255)
        assert any("lowest byte" in reason for reason in not_uniform(cleared, modulus))
    assert not_uniform(numbers[: FEWEST - 1], modulus) == [
        f"159 numbers are too few to test; at least {FEWEST} are needed"
    ]
    assert not_uniform(np.append(numbers, np.uint64(modulus - 1)), modulus - 1) == [
        f"a number is not below {modulus - 1}"
    ]


@pytest.mark.slow  # to import scipy.stats takes a second
@pytest.mark.parametrize("buckets", [16, 64, 256])
def test_the_limit_is_where_it_says(buckets: int) -> None:
    """One standard deviation below the limit passes, and one above does not, in the normal's own tail."""
    from scipy.stats import chi2, norm

    each, freedom = 1_000_000, buckets - 1
    for deviations, unlikely in ((0.0, False), (LIMIT - 1, False), (LIMIT + 1, True)):
        wanted = chi2.isf(norm.sf(deviations), freedom)
        shift = int(np.sqrt(wanted * each / buckets))  # each count off by so much: together they give the statistic
        counts = np.full(buckets, each)
        counts[::2] += shift
        counts[1::2] -= shift
        assert bool(_unlikely(counts, np.full(buckets, 1 / buckets))) is unlikely, deviations
