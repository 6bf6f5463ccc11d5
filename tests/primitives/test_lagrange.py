"""Lagrange's weights against his formula on Python integers."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.errors import ConfigurationError
from fedsec.primitives.field import M31, M61
from fedsec.primitives.lagrange import interpolation, interpolation_plain
from tests.tiers import examples

pytestmark = pytest.mark.usefixtures("tier")
BOTH = pytest.mark.parametrize("field", [M31, M61], ids=["31", "61"])


@BOTH
def test_known_weights(field):
    assert interpolation((1, 2), (0,), field).tolist() == [[2, field.p - 1]]
    assert interpolation((1, 2, 3), (0,), field).tolist() == [[3, field.p - 3, 1]]
    assert interpolation((5,), (0, 7), field).tolist() == [[1], [1]]
    assert interpolation((1, 2), (), field).shape == (0, 2)


@BOTH
@settings(max_examples=examples(60))
@given(data=st.data())
def test_twins_agree(field, data):
    near = st.one_of(st.integers(-5, 5), st.integers(0, field.p - 1), st.integers(field.p - 5, field.p - 1))
    sources = data.draw(st.lists(near, min_size=1, max_size=8, unique_by=lambda point: point % field.p))
    targets = data.draw(st.lists(st.one_of(near, st.sampled_from(sources)), max_size=8))
    weights = interpolation(tuple(sources), tuple(targets), field)
    assert weights.dtype == field.word
    assert weights.tolist() == interpolation_plain(sources, targets, field)


@BOTH
def test_a_target_that_is_a_source_takes_its_value(field):
    sources = (0, -1, 4, field.p // 2, 9)
    assert interpolation(sources, sources, field).tolist() == np.eye(5, dtype=int).tolist()
    assert interpolation(sources, (field.p - 1,), field).tolist() == [[0, 1, 0, 0, 0]]


@BOTH
def test_a_polynomial_goes_on(field):
    coefficients = field.random(51, os.urandom).tolist()

    def value(point: int) -> int:
        return sum(c * pow(point, i, field.p) for i, c in enumerate(coefficients)) % field.p

    sources, targets = tuple(range(51)), tuple(range(-3, 0)) + tuple(range(51, 101))
    known = np.array([[value(point)] for point in sources], field.word)
    got = field.product(interpolation(sources, targets, field), known)
    assert got.reshape(-1).tolist() == [value(point) for point in targets]


def test_kept_and_read_only():
    weights = interpolation((1, 2, 3), (4,), M31)
    assert interpolation((1, 2, 3), (4,), M31) is weights
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1


@BOTH
def test_refused(field):
    for sources in ((1, 2, 1), (0, field.p), (-1, field.p - 1)):
        with pytest.raises(ConfigurationError, match="twice"):
            interpolation(sources, (7,), field)
