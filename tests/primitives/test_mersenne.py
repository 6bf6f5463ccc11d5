"""The scalar kernels at their edges, and compilation where no cache can be written."""

import itertools

import numba
import numpy as np
import pytest

from fedsec.primitives import mersenne
from fedsec.primitives.mersenne import P31, P61


@pytest.mark.parametrize(
    ("multiply", "p"), [(mersenne.mul31, P31), (mersenne.mul61, P61), (mersenne.mul, P31), (mersenne.mul, P61)]
)
def test_products_of_edges(multiply, p):
    q = int(p)
    edges = {x for i in range(q.bit_length()) for x in ((1 << i) - 1, 1 << i, q - (1 << i))} - {q}
    for a, b in itertools.product(edges, edges):
        arguments = (np.uint64(a), np.uint64(b)) + ((p,) if multiply is mersenne.mul else ())
        assert multiply(*arguments) == a * b % q


def test_folds_keep_their_bounds():
    for x in (0, int(P31), 1 << 62, (1 << 63) - 1, (1 << 64) - 1):
        once = int(mersenne.fold31(np.uint64(x)))
        assert once < 1 << 34 and (once - x) % int(P31) == 0
        assert int(mersenne.fold31(np.uint64(once))) < min(1 << 32, 2 * int(P31))
    for x in (0, int(P61), (1 << 64) - 1):
        once = int(mersenne.fold61(np.uint64(x)))
        assert once < (1 << 61) + 8 and (once - x) % int(P61) == 0


def test_the_largest_sums_of_four_in_the_larger_field():
    # The bounds that `join61` states, met at once: w and v of largest halves.
    w = v = int(P61) - 1
    w0, w1, v0, v1 = w & int(P31), w >> 31, v & int(P31), v >> 31
    high, low, crossed = 4 * w1 * v1, 4 * w0 * v0, 4 * (w0 + w1) * (v0 + v1) % (1 << 64)
    assert high < 1 << 62 and low < 1 << 64 and 4 * (w0 * v1 + w1 * v0) < 1 << 64
    total = (1 << 61) + 7
    got = int(mersenne.join61(*(np.uint64(x) for x in (total, high, low, crossed))))
    assert got < (1 << 61) + 8 and (got - total - 4 * w * v) % int(P61) == 0
    assert total + 2 * high + (1 << 61) + 8 + (1 << 34) + (1 << 61) < 1 << 64


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    compile_with = numba.njit

    def refuse(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_with(**options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert mersenne.jit(lambda x: x + 1)(1) == 2
