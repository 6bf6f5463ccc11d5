"""The scalar kernels at their edges, and compilation where no cache can be written."""

import itertools
import subprocess
import sys

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


def test_the_compiler_is_loaded_once_the_work_adds_up(monkeypatch):
    monkeypatch.setattr(mersenne._Tally, "products", 0)
    monkeypatch.setattr(mersenne, "LOADING", 100)
    assert [mersenne.compiled(40) for _ in range(5)] == [False, False, True, True, True]


LITTLE = """
import sys
import numpy as np
from fedsec import LocalFederation, Update, strategy
federation = LocalFederation(strategy("shamir")(), hospitals=3)
mean = federation.mean({n: Update({"w": np.full(30, n / 8)}, {}, 1) for n in (1, 2, 3)}, {"w": np.zeros(30)})
assert np.allclose(mean.arrays["w"], 0.25, atol=1e-6)
print("numba" in sys.modules)
"""


@pytest.mark.slow
def test_little_work_never_loads_the_compiler():
    done = subprocess.run([sys.executable, "-c", LITTLE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_whoever_waits_for_the_compiler_hears_of_it_once():
    heard = []
    with mersenne.when_loaded(lambda: heard.append("loaded")):
        mersenne.jit(lambda x: x + 2)(1)
        mersenne.jit(lambda x: x + 3)(1)
    with mersenne.when_loaded(lambda: heard.append("too late")):
        pass
    mersenne.jit(lambda x: x + 4)(1)
    assert heard == ["loaded"]
