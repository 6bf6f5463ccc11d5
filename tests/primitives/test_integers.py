"""What primitives take as an integer: every kind that is one, exactly; every other kind refused, and never cut."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from gmpy2 import mpq, mpz
from hypothesis import given
from hypothesis import strategies as st

from fedsec.errors import BadMessage, ConfigurationError, FedsecError
from fedsec.primitives import modexp, packing, prg, shamir
from fedsec.primitives.ciphertexts import Ciphertexts, to_bytes
from fedsec.primitives.field import M31, M61
from fedsec.primitives.integers import integer, integers, plain_array
from fedsec.primitives.paillier import (
    POLICIES,
    NoisePool,
    PrivateKey,
    PublicKey,
    add,
    blind,
    decrypt,
    encrypt,
    generate,
    noise,
    validate,
)
from fedsec.primitives.randomness import randbelow, randbits
from fedsec.strategies.paillier_textbook import PaillierTextbook

KEYS = {s: generate(512, os.urandom, s) for s in (1, 2)}
WIDTHS = [np.dtype(code).type for code in np.typecodes["AllInteger"]]
WHOLE: list[Callable[[int], Any]] = [int, mpz, *WIDTHS, *(lambda n, kind=kind: np.array(n, kind) for kind in WIDTHS)]
"""Every kind of integer: Python's, GMP's, each width of numpy's, and arrays without a shape of each."""
NOT_WHOLE = [
    2.0,
    1.5,
    float("nan"),
    np.float64(2.0),
    np.float32(2.0),
    np.float16(2.0),
    np.array(2.0),
    Fraction(3, 2),
    Fraction(2),
    Decimal(2),
    mpq(2),
    2 + 0j,
    True,
    np.bool_(True),
    np.array(True),
    np.array([2]),
    "2",
    b"2",
    None,
    [2],
    np.ma.masked,
    np.datetime64(2, "s"),
]


@pytest.fixture(params=modexp.available())
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every engine that this processor has."""
    monkeypatch.setenv("FEDSEC_ENGINE", request.param)
    return str(request.param)


@pytest.mark.parametrize("s", KEYS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_plaintext_is_any_integer_on_every_engine(engine: str, policy: Any, s: int) -> None:
    private = KEYS[s]
    public = private.public
    plaintexts = [kind(index % 100) for index, kind in enumerate(WHOLE)]
    expected = [index % 100 for index in range(len(WHOLE))]
    assert decrypt(private, encrypt(public, plaintexts, os.urandom, policy)) == expected
    assert decrypt(private, NoisePool(public, os.urandom, policy).encrypt(plaintexts)) == expected
    assert decrypt(private, blind(public, plaintexts, noise(public, len(WHOLE), os.urandom, policy))) == expected
    assert decrypt(private, encrypt(public, np.arange(5), os.urandom, policy)) == list(range(5))  # type: ignore[arg-type]
    assert decrypt(private, encrypt(public, [np.int64(5)], os.urandom, policy)) == [5]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_a_plaintext_that_is_no_integer_is_refused_on_every_engine(engine: str, policy: Any, value: Any) -> None:
    public = KEYS[1].public
    pool = NoisePool(public, os.urandom, policy)
    for act in (
        lambda: encrypt(public, [1, value], os.urandom, policy),
        lambda: pool.encrypt([1, value]),
        lambda: blind(public, [1, value], [1, 1]),
    ):
        with pytest.raises(ConfigurationError, match=r"plaintexts, place 1: a value of type .* an integer is expected"):
            act()
    for act in (lambda: decrypt(KEYS[1], [1, value]), lambda: validate(public, [1, value])):
        with pytest.raises(BadMessage, match="ciphertexts, place 1: "):
            act()
    with pytest.raises(ConfigurationError, match="column 1, place 0: "):
        add(public, [[2], [value]])


@pytest.mark.parametrize("value", [value for value in NOT_WHOLE if value is not None], ids=repr)
def test_the_engines_take_integers_alone(engine: str, value: Any) -> None:
    fast = modexp.engine()
    for act in (
        lambda: fast.powers([value], 3, 7),
        lambda: fast.powers([2], value, 7),
        lambda: fast.powers([2], 3, value),
        lambda: fast.product([[value]], 7),
        lambda: fast.product([[2]], value),
        lambda: fast.products_of_powers([[value]], [[2]], 7),
        lambda: fast.products_of_powers([[2]], [[value]], 7),
        lambda: fast.shifted([[value]], 1, 7),
        lambda: fast.shifted([[2]], value, 7),
        lambda: fast.fixed_base(value, 7, 2, 8),
        lambda: fast.fixed_base(3, 7, 2, 8).powers([value]),
        lambda: fast.fixed_base(3, 7, 2, 8).powers([1], [[value, 0]]),
        lambda: generate(value, os.urandom),
        lambda: generate(512, os.urandom, value),
        lambda: noise(KEYS[1].public, value, os.urandom),
        lambda: randbits(value, os.urandom),
        lambda: randbelow(value, os.urandom),
        lambda: packing.capacity(value, 100),
        lambda: packing.unpack([value], 1, 8, 100),
        lambda: to_bytes(KEYS[1].public, Ciphertexts((value,), 8, 1, 1)),
        lambda: PublicKey(value, 4).check(),
        lambda: PrivateKey(value, 7, 4),
        lambda: shamir.split_secret(bytes(32), [1, 2, value], 2, os.urandom),
        lambda: shamir.split_secret(bytes(32), [1, 2, 3], value, os.urandom),
        lambda: shamir.combine({}, value, M31, 1),
    ):
        with pytest.raises(FedsecError, match=r"a value of type|a list is expected|s is "):
            act()


def test_a_refusal_shows_no_value() -> None:
    """A plaintext is a secret: its type is named, and its digits are not."""
    with pytest.raises(ConfigurationError) as caught:
        encrypt(KEYS[1].public, [31337.25], os.urandom)  # type: ignore[list-item]
    assert "31337" not in str(caught.value) and "float" in str(caught.value)


@given(st.integers())
def test_integers_are_kept_whole(number: int) -> None:
    assert integer("n", number) == number == integer("n", mpz(number))
    assert integers("n", (number, mpz(number))) == [number, number]


@pytest.mark.parametrize("value", [5, None, 2.0], ids=repr)
def test_one_value_is_no_list(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"plaintexts: a value of type .* a list is expected"):
        encrypt(KEYS[1].public, value, os.urandom)


def test_masked_arrays_are_no_vectors() -> None:
    """A masked array would give away, unmasked or unshared, what it hides: numpy's steps leave hidden values be."""
    hidden = np.ma.array(np.arange(4, dtype=np.uint64), mask=[False, True, False, False])
    assert plain_array(hidden.data) and not plain_array(hidden)
    with pytest.raises(ConfigurationError, match="packed values"):
        packing.pack(hidden, 8, 100)
    with pytest.raises(ConfigurationError, match="masked vector"):
        prg.mask_into(bytes(32), hidden, subtract=False)
    with pytest.raises(ConfigurationError, match="secret: one dimension"):
        shamir.split(hidden, [1, 2, 3], 2, M61, {1: bytes(32)})
    with pytest.raises(BadMessage, match="field elements are expected"):
        M61.check(hidden, "share")


def test_the_textbook_strategy_encrypts_integers_alone() -> None:
    protocol = PaillierTextbook(key_bits=2048)
    public = generate(2048, os.urandom).public.n.to_bytes(256, "big")
    with pytest.raises(ConfigurationError, match="values, place 0: a value of type float64"):
        protocol.encrypt(public, np.array([1.5]), [1, 2, 3], bytes(32), os.urandom)  # type: ignore[arg-type]
