"""The engine against Python's pow, at edge operands and at random."""

import os
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError
from fedsec.primitives.modexp import FixedBase, powers, product

MODULI = [2, 3, 2**64 - 1, 2**127 - 1, (2**89 - 1) ** 2, 2**200]


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("window", [1, 3, 8, 9])
def test_fixed_base_at_the_edges(modulus, window):
    exponents = [0, 1, 2, 255, 256, 257, 2**17 - 1, 2**16]
    for base in (0, 1, 2, modulus - 1, modulus, modulus + 5, -1):
        engine = FixedBase(base, modulus, 17, window)
        assert engine.powers(exponents) == [pow(base, e, modulus) for e in exponents]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**300),
    st.integers(2, 2**300),
    st.integers(0, 70).flatmap(lambda b: st.tuples(st.just(b), st.lists(st.integers(0, 2**b - 1), max_size=5))),
    st.integers(1, 10),
)
def test_fixed_base_is_pow(base, modulus, exponents, window):
    bits, batch = exponents
    assert FixedBase(base, modulus, bits, window).powers(batch) == [pow(base, e, modulus) for e in batch]


@given(st.lists(st.integers(0, 2**200), max_size=5), st.integers(0, 2**100), st.integers(1, 2**200))
def test_powers_is_pow(bases, exponent, modulus):
    assert powers(bases, exponent, modulus) == [pow(b, exponent, modulus) for b in bases]


@given(st.integers(0, 4), st.integers(1, 2**100), st.data())
def test_product_is_prod(size, modulus, data):
    column = st.lists(st.integers(0, 2**100), min_size=size, max_size=size)
    columns = data.draw(st.lists(column, min_size=1, max_size=5))
    assert product(columns, modulus) == [prod(row) % modulus for row in zip(*columns, strict=True)]


def test_the_table_is_lazy_and_built_once():
    engine = FixedBase(3, 2**61 - 1, 20)
    assert "_table" not in vars(engine)
    engine.powers([5])
    table = vars(engine)["_table"]
    engine.powers([6])
    assert vars(engine)["_table"] is table
    assert len(table) == 3 and all(len(row) == 256 for row in table)


def test_refused():
    for arguments in [(2, 1, 8), (2, 5, -1), (2, 5, 8, 0), (2, 5, 8, 13)]:
        with pytest.raises(ConfigurationError, match="window"):
            FixedBase(*arguments)
    for exponent in (-1, 256, 2**60):
        with pytest.raises(ConfigurationError, match="8 bits"):
            FixedBase(2, 5, 8).powers([1, exponent])
    with pytest.raises(ConfigurationError, match="at least 0"):
        powers([2], -1, 5)
    with pytest.raises(ConfigurationError, match="modulus"):
        powers([2], 1, 0)
    with pytest.raises(ConfigurationError, match="at least one column"):
        product([], 5)
    with pytest.raises(BadMessage, match=r"\[1, 2\]"):
        product([[1], [1, 2]], 5)
    assert powers([], 3, 5) == [] == product([[], []], 5)


def test_no_secret_in_the_text():
    secret = int.from_bytes(os.urandom(8), "big") | 1 << 63
    with pytest.raises(ConfigurationError) as caught:
        FixedBase(2, 5, 8).powers([secret])
    assert str(secret) not in str(caught.value)
