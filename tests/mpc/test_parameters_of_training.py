"""Rates, bounds, coefficients and sizes: all that is accepted can be trained with, and all else is refused at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError
from fedsec.mpc.activation import Activation
from fedsec.mpc.bounds import fits, safe_weight
from fedsec.mpc.compiled_twin import constants
from fedsec.mpc.gradient_descent import LARGEST_RATE, Network
from fedsec.mpc.ring_fixed_point import Fixed
from tests.tiers import examples

CUBIC = Activation("cubic", (0.25, -0.004), bound=8.0)
BITS = range(12, 19)
SHAPES = ((4, 1), (4, 3, 1), (4, 3, 3, 1))


def programs(network: Network) -> None:
    """Every truncation and every constant of an iteration is made, for the bounds' reading and the compiled twin's."""
    fits(network, 8, 1, 2.0**-4)
    assert safe_weight(network, 8, 1) >= 0
    constants(network.activation, network.fixed)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("widths", SHAPES)
def test_the_smallest_rate_works_and_below_it_none_is_accepted(widths: tuple[int, ...], bits: int) -> None:
    smallest = Network(widths, CUBIC, fixed=Fixed(bits)).smallest_rate
    assert smallest == 2.0 ** -min(38, 62 - min(len(widths) - 1, 2) * bits)
    for rate in (smallest, 1.5 * smallest, 3 * smallest, 1.0, LARGEST_RATE):
        network = Network(widths, CUBIC, rate, Fixed(bits))
        assert network.step.value == pytest.approx(rate, rel=0.34)
        programs(network)
    for rate in (math.nextafter(smallest, 0), 2.0**-70, 0, -smallest, math.nextafter(LARGEST_RATE, 4)):
        with pytest.raises(ConfigurationError, match=rf"rate is .* between 2\^-\d+ \({smallest:.3g}\) and 3"):
            Network(widths, CUBIC, rate, Fixed(bits))


def test_the_case_that_failed_late() -> None:
    with pytest.raises(ConfigurationError, match=r"with 16 fractional bits and 2 layers .* between 2\^-30"):
        Network((4, 3, 1), CUBIC, 2.0**-38)
    programs(Network((4, 1), CUBIC, 2.0**-38))


@given(
    widths=st.sampled_from(SHAPES),
    bits=st.sampled_from(BITS),
    rate=st.floats(0, 4) | st.integers(-70, 2).map(lambda power: 2.0**power),
    coefficients=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    bound=st.none() | st.floats(1e-6, 1024),
)
@example(widths=(4, 1), bits=12, rate=1.0, coefficients=[262112.0], bound=None)
@settings(max_examples=examples(200), deadline=None)
def test_what_is_accepted_can_be_computed(
    widths: Any, bits: int, rate: float, coefficients: list[float], bound: float | None
) -> None:
    try:
        network = Network(widths, Activation("drawn", tuple(coefficients), bound), rate, Fixed(bits))
    except ConfigurationError:
        return
    programs(network)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("widths", SHAPES)
def test_the_largest_bound_and_coefficients(widths: tuple[int, ...], bits: int) -> None:
    room = 2.0 ** (62 - (2 if len(widths) == 2 else 3) * bits)
    for bound in (min(1024.0, math.nextafter(room, 0)), 1.0):
        programs(Network(widths, Activation("x", (0.25, -0.004), bound), fixed=Fixed(bits)))
    if room <= 1024:
        with pytest.raises(ConfigurationError, match=rf"bound is {room}; with {bits} fractional bits it must be below"):
            Network(widths, Activation("x", (0.25,), room), fixed=Fixed(bits))
    for place in range(3):
        many = [0.1, 0.1, 0.1]
        many[place] = 1e300
        with pytest.raises(ConfigurationError, match=rf"the coefficient of z\^{2 * place + 1} is 1e\+300; it must be"):
            Network(widths, Activation("x", tuple(many), 8.0), fixed=Fixed(bits))


ODD: list[Any] = ["0.1", None, True, [0.1], math.nan, math.inf, -math.inf, 1j, np.ones(2)]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="rate is"):
        Network((4, 1), CUBIC, value)
    with pytest.raises(ConfigurationError, match="fraction bits is"):
        Fixed(value)
    with pytest.raises(ConfigurationError, match="coefficient"):
        Activation("x", (0.25, value))
    if value is not None:
        with pytest.raises(ConfigurationError, match="bound is"):
            Activation("x", (0.25,), value)
        for widths in ((4, value, 1), value):
            with pytest.raises(ConfigurationError, match="widths is"):
                Network(widths, CUBIC)


def test_parts_that_are_none() -> None:
    for arguments in ((CUBIC.name,), (None,), (CUBIC, 0.1, 16)):
        with pytest.raises(ConfigurationError, match=r"an instance of (Activation|Fixed) was expected"):
            Network((4, 1), *arguments)
