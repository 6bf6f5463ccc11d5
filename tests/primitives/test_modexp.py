"""Every engine against Python's pow, at edge operands and at random; the vector kernels against their plain twin."""

import itertools
import os
import subprocess
import sys
import threading
from math import prod
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives import modexp, parallel
from fedsec.primitives.modexp import gmp, vector
from fedsec.primitives.modexp.engine import Engine
from fedsec.primitives.modexp.gmp import Gmp
from tests.tiers import examples, exhaustive

HERE = [modexp.engine(name) for name in modexp.available()]
ENGINES = [*HERE, vector.Vector("twin", 2)]
EDGES = [2, 3, 5, 2**51 - 1, 2**52 - 1, 2**64 - 1, 2**127 - 1, 2**200, (2**89 - 1) ** 2, 2**521 - 1, 2**1023 + 1]
each_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
each_engine_here = pytest.mark.parametrize(
    "engine", [*HERE, *exhaustive(ENGINES[len(HERE) :])], ids=lambda one: one.name
)
"""The twin of the vector kernels takes longest at the edges, and drawn numbers have it in the suite."""


def edges(modulus: int) -> list[int]:
    """Operands whose limbs are 0, 1 or all ones, so that carries run far."""
    carries = [2**bits - 1 for bits in (51, 52, 102, 104, 255, 260, 510, 1020) if 2**bits <= modulus]
    return [0, 1, 2, modulus - 1, modulus, modulus + 5, -1, modulus // 2, *carries, *(modulus - c for c in carries)]


def by_pow(columns: list[list[int]], exponents: list[list[int]], modulus: int) -> list[int]:
    rows = zip(zip(*columns, strict=True), zip(*exponents, strict=True), strict=True)
    return [prod(pow(b, e, modulus) for b, e in zip(*row, strict=True)) % modulus for row in rows]


def number(digits: tuple[int, ...] | list[int], n: int) -> int:
    return sum(digit * n**i for i, digit in enumerate(digits))


def test_kinds_of_as_many_lanes_are_kept_apart() -> None:
    found = [vector._domain(kind, 8, 2**127 - 1, 2).kind for kind in vector.KINDS]
    assert found == list(vector.KINDS)


@each_engine_here
def test_edges(engine: Engine) -> None:
    for n, degree in itertools.product(EDGES, (1, 2, 3)):
        at, modulus = f"n of {n.bit_length()} bits, degree {degree}", n**degree
        bases = edges(modulus)
        for exponent in (0, 1, 2, 31, 32, 2**17 - 1):
            assert engine.powers(bases, exponent, n, degree) == [pow(b, exponent, modulus) for b in bases], at
        for columns in ([bases], [bases, bases], [bases, bases[::-1], bases[1:] + bases[:1]]):
            expected = [prod(row) % modulus for row in zip(*columns, strict=True)]
            assert engine.product(columns, modulus) == expected, at
        exponents = [0, 1, 2, 255, 256, 257, 2**17 - 1, 2**16, 511]
        factors = [[d % n] * degree for d in (0, 1, n - 1, n - 2, 2, n // 2, 3, 1, 2**51 - 1)]
        for base in (0, 1, modulus - 1, 12345):
            table = engine.fixed_base(base, n, degree, 17)
            assert table.powers(exponents) == [pow(base, e, modulus) for e in exponents], at
            pairs = zip(exponents, factors, strict=True)
            expected = [pow(base, e, modulus) * number(f, n) % modulus for e, f in pairs]
            assert table.powers(exponents, factors) == expected, at


@each_engine
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data(), degree=st.integers(1, 3), bits=st.integers(2, 1100))
def test_it_is_pow(engine: Engine, data: st.DataObject, degree: int, bits: int) -> None:
    n = data.draw(st.integers(2 ** (bits - 1), 2**bits - 1).filter(lambda n: n > 1)) | data.draw(st.integers(0, 1))
    modulus = n**degree
    bases = data.draw(st.lists(st.integers(0, 2 * modulus), min_size=1, max_size=9))
    exponent = data.draw(st.integers(0, 2**70))
    assert engine.powers(bases, exponent, n, degree) == [pow(b, exponent, modulus) for b in bases]
    columns = [bases] * data.draw(st.integers(1, 4))
    assert engine.product(columns, modulus) == [pow(b, len(columns), modulus) for b in bases]
    length = data.draw(st.integers(0, 40))
    exponents = data.draw(st.lists(st.integers(0, 2**length - 1), max_size=9))
    factors = [data.draw(st.lists(st.integers(0, n - 1), min_size=degree, max_size=degree)) for _ in exponents]
    table = engine.fixed_base(bases[0], n, degree, length)
    expected = [pow(bases[0], e, modulus) * number(f, n) % modulus for e, f in zip(exponents, factors, strict=True)]
    assert table.powers(exponents, factors) == expected


@each_engine_here
def test_edges_with_exponents_of_their_own(engine: Engine) -> None:
    for n, degree in itertools.product(EDGES, (1, 2, 3)):
        at, modulus = f"n of {n.bit_length()} bits, degree {degree}", n**degree
        bases = edges(modulus)
        exponents = [[0, 1, 7, 8, 63, 64, 2**66 - 1, 2**64][i % 8] for i in range(len(bases))]
        for columns, powers in (
            ([bases], [exponents]),
            ([bases, bases[::-1], bases[3:] + bases[:3]], [exponents, exponents[::-1], [1] * len(bases)]),
            ([bases] * 2, [[0] * len(bases)] * 2),
        ):
            assert engine.products_of_powers(columns, powers, n, degree) == by_pow(columns, powers, modulus), at
        for columns, bits in (([bases], 5), ([bases, bases[::-1]], 1), ([bases, bases[1:] + bases[:1], bases], 68)):
            powers = [[1 << bits * j] * len(bases) for j in range(len(columns))]
            assert engine.shifted(columns, bits, n, degree) == by_pow(columns, powers, modulus), at


@pytest.mark.slow
@each_engine
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data(), degree=st.integers(1, 3), bits=st.integers(2, 1100), count=st.integers(1, 9))
def test_products_of_powers_are_pow(engine: Engine, data: st.DataObject, degree: int, bits: int, count: int) -> None:
    n = data.draw(st.integers(2 ** (bits - 1), 2**bits - 1).filter(lambda n: n > 1)) | data.draw(st.integers(0, 1))
    modulus = n**degree
    column = st.lists(st.integers(0, 2 * modulus), min_size=count, max_size=count)
    bases = data.draw(st.lists(column, min_size=1, max_size=4))
    length = data.draw(st.integers(0, 130))
    drawn = st.lists(st.integers(0, 2**length), min_size=count, max_size=count)
    exponents = [data.draw(drawn) for _ in bases]
    assert engine.products_of_powers(bases, exponents, n, degree) == by_pow(bases, exponents, modulus)
    shift = data.draw(st.integers(1, 80))
    exponents = [[1 << shift * j] * count for j in range(len(bases))]
    assert engine.shifted(bases, shift, n, degree) == by_pow(bases, exponents, modulus)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4096, 6144, 9216])
@pytest.mark.parametrize("engine", HERE, ids=lambda engine: engine.name)
def test_moduli_of_every_size(engine: Engine, bits: int) -> None:
    for n, degree in ((3 << (bits - 2)) - 1, 1), ((3 << (bits // 2 - 2)) + 7, 2), ((3 << (bits // 3 - 2)) + 1, 3):
        bases = [n**degree - 1, n - 1, 2 ** (bits - 1) - 1, 3**1000, 7]
        assert engine.powers(bases, 65537, n, degree) == [pow(b, 65537, n**degree) for b in bases]
        assert engine.product([bases] * 3, n**degree) == [pow(b, 3, n**degree) for b in bases]
        columns, powers = [bases, bases[::-1]], [[2**66 - 1] * 5, [3, 0, 5, 1, 2**20]]
        assert engine.products_of_powers(columns, powers, n, degree) == by_pow(columns, powers, n**degree)
        assert engine.shifted([bases] * 2, 9, n, degree) == [pow(b, 513, n**degree) for b in bases]
        assert engine.fixed_base(3, n, degree, 64).powers([2**64 - 1] * 5) == [pow(3, 2**64 - 1, n**degree)] * 5


@each_engine
def test_refused(engine: Engine) -> None:
    for n, degree, bits in ((1, 1, 8), (5, 0, 8), (5, 1, -1)):
        with pytest.raises(ConfigurationError, match="n >= 2"):
            engine.fixed_base(2, n, degree, bits)
    table = engine.fixed_base(2, 5, 1, 8)
    for exponent in (-1, 256, 2**60):
        with pytest.raises(ConfigurationError, match="8 bits") as caught:
            table.powers([1, exponent])
        assert str(exponent) not in str(caught.value)
    with pytest.raises(ConfigurationError, match="1 factors came for 2"):
        table.powers([1, 2], [[1]])
    with pytest.raises(ConfigurationError, match="at least 0"):
        engine.powers([2], -1, 5)
    with pytest.raises(ConfigurationError, match="n >= 1"):
        engine.powers([2], 1, 0)
    with pytest.raises(ConfigurationError, match="at least one column"):
        engine.product([], 5)
    with pytest.raises(BadMessage, match=r"\[1, 2\]"):
        engine.product([[1], [1, 2]], 5)
    with pytest.raises(ConfigurationError, match="exponents of at least 0"):
        engine.products_of_powers([[2]], [[-1]], 5)
    with pytest.raises(ConfigurationError, match="columns, exponents"):
        engine.products_of_powers([], [], 5)
    with pytest.raises(BadMessage, match=r"\[1, 2\]"):
        engine.products_of_powers([[1]], [[1, 2]], 5)
    with pytest.raises(ConfigurationError, match="bits >= 1"):
        engine.shifted([[1]], 0, 5)
    with pytest.raises(BadMessage, match=r"\[1, 2\]"):
        engine.shifted([[1], [1, 2]], 3, 5)
    assert engine.products_of_powers([[], []], [[], []], 5) == [] == engine.shifted([[]], 3, 5)
    assert engine.products_of_powers([[3]], [[2]], 1) == [0] == engine.shifted([[3]], 3, 1)
    assert engine.powers([], 3, 5) == [] == engine.product([[], []], 5) == table.powers([])
    assert engine.powers([3, 4], 3, 1) == [0, 0]


def test_the_engine_is_chosen_by_the_processor_or_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert modexp.available()[-1] == "gmpy2"
    assert modexp.engine().name == modexp.available()[0]
    monkeypatch.setenv("FEDSEC_ENGINE", "gmpy2")
    assert modexp.engine().name == "gmpy2"
    monkeypatch.setenv("FEDSEC_ENGINE", "abacus")
    with pytest.raises(ConfigurationError, match="engine 'abacus': choose from ifma, fma, gmpy2"):
        modexp.powers([2], 2, 5)
    monkeypatch.setattr(vector, "lanes", lambda kind: 0)
    modexp._engine.cache_clear()
    with pytest.raises(ConfigurationError, match="engine ifma: this processor lacks its instructions"):
        modexp.engine("ifma")


def test_an_engine_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(vector.Vector):
        def _product(self, columns, modulus):  # type: ignore[no-untyped-def]
            return [x + (i == 3) for i, x in enumerate(Gmp().product(columns, modulus))]

    monkeypatch.setattr(vector, "Vector", Wrong)
    monkeypatch.setattr(vector, "lanes", lambda kind: 4 * (kind == "fma"))
    modexp._engine.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="engine fma: its product is not that of gmpy2.*a slower one is used"):
            assert modexp.engine().name == "gmpy2"
        with pytest.raises(ConfigurationError, match="its product is not that of gmpy2"):
            modexp.engine("fma")
    finally:
        modexp._engine.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(vector.binding.get_process_triple().split("-")[0] != "x86_64", reason="x86-64 only")
def test_ifma_compiles_to_its_instructions_even_where_they_cannot_run(tmp_path: Path) -> None:
    code = """
from numba import types as t
from fedsec.primitives.modexp import montgomery
words = t.Array(t.uint64, 1, "C")
montgomery.reduce.compile((t.UniTuple(t.uint64, 8), words, words, words, t.uint64, words, words))
print(next(iter(montgomery.reduce.inspect_asm().values())))
"""
    there = {**os.environ, "NUMBA_CPU_NAME": "icelake-server", "NUMBA_CPU_FEATURES": "", "NUMBA_DISABLE_JIT": "0"}
    with_cache = {**there, "NUMBA_CACHE_DIR": str(tmp_path)}  # what is kept for another processor is kept there
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=with_cache, check=False)
    assert done.returncode == 0, done.stderr
    inner = done.stdout
    assert inner.count("vpmadd52luq") >= 8 and inner.count("vpmadd52huq") >= 8 and "zmm" in inner


def test_work_is_spread_and_its_time_is_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    seen: list[tuple[int, int, int]] = []
    together = threading.Barrier(3)

    def work(start: int, stop: int) -> None:
        if stop - start > 1:  # three parts at a time, each in a thread of its own
            together.wait(600)
        began = parallel.time.thread_time()
        while parallel.time.thread_time() - began < 0.03:
            pass
        seen.append((start, stop, threading.get_ident()))

    before = parallel.cpu_seconds()
    parallel.spread(work, 10)
    assert parallel.cpu_seconds() - before >= 0.09
    assert sorted(part[:2] for part in seen) == [(0, 3), (3, 6), (6, 10)] and len({part[2] for part in seen}) == 3
    seen.clear()
    parallel.spread(work, 1)
    assert [part[:2] for part in seen] == [(0, 1)]

    def fails(start: int, stop: int) -> None:
        if start:
            raise ValueError("the second part")

    with pytest.raises(ValueError, match="the second part"):
        parallel.spread(fails, 4)


def test_fewer_cores_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSEC_THREADS", "1")
    assert parallel.cores() == 1
    for odd in ("", "0", "many", "-3"):
        monkeypatch.setenv("FEDSEC_THREADS", odd)
        assert parallel.cores() >= 1


@pytest.mark.slow
def test_a_wider_table_gives_the_same_powers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmp, "WIDE_AFTER", 5)
    for bits, degree, exponent_bits in itertools.product((64, 2300, 3300, 3400), (1, 2, 3), (0, 1, 9, 10, 37)):
        n = (1 << bits - 1) + 15
        base = Gmp().fixed_base(n - 2, n, degree, exponent_bits)
        exponents = [0, (1 << exponent_bits) - 1, (1 << exponent_bits) // 3]
        factors = [[n - 1] * degree, [1] + [0] * (degree - 1), [0] * degree]
        pairs = zip(exponents, factors, strict=True)
        expected = [number(f, n) * pow(n - 2, e, n**degree) % n**degree for e, f in pairs]
        for _ in range(3):  # the second time with the wider table
            assert base.powers(exponents, factors) == expected, (bits, degree, exponent_bits)
