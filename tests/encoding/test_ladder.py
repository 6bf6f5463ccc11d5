"""The scale: what histograms and counts lead to, and every plan that a party refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.encoding import ladder
from fedsec.encoding.ladder import LADDER, Plan, Scale
from fedsec.errors import BadMessage

RUNGS = LADDER[1] - LADDER[0] + 1


def plan(largest: float = 1.0, typical: float = 0.1, *counts: tuple[int, ...]) -> Plan:
    histograms = (tuple(ladder.histogram(value, LADDER)) for value in (largest, typical))
    return Plan(bytes(32), False, b"", *histograms, counts)


@given(value=st.floats(1e-30, 1e30))
def test_a_rung_is_the_lowest_power_of_two_above(value: float) -> None:
    found = ladder.rung(value)
    assert 2.0 ** (found - 1) < value <= 2.0**found


def test_histograms_have_one_entry_or_none() -> None:
    assert sum(ladder.histogram(0.0, LADDER)) == 0
    for value, place in ((2.0**-60, 0), (2.0**-40, 0), (1.0, 40), (1.5, 41), (2.0**48, 88), (1e30, 88)):
        assert ladder.histogram(value, LADDER)[place] == 1


ROOM, FAR, FAR_COARSE = (0, 0, 5, 0, 0, 0), (0, 0, 0, 0, 5, 0), (0, 0, 0, 0, 5, 5)


@pytest.mark.parametrize(
    ("history", "moved"),
    [
        ([(1, 4, 0, 0, 0, 0)], 8),
        ([(1, 4, 0, 0, 0, 5)], 8),
        ([(0, 1, 4, 0, 0, 0)], 0),
        ([ROOM], 0),
        ([FAR, FAR, FAR], 0),
        ([FAR_COARSE], 0),
        ([FAR_COARSE, FAR_COARSE], -10),
        ([FAR_COARSE, (0, 0, 0, 1, 4, 5)], -4),
        ([FAR_COARSE, (0, 0, 1, 0, 4, 5)], 0),
        ([FAR_COARSE, (0, 0, 0, 0, 5, 2)], 0),
        ([(0, 0, 0, 0, 0, 0)], 0),
    ],
)
def test_the_scale_rises_for_one_and_falls_where_two_limbs_are_too_coarse(
    history: list[tuple[int, ...]], moved: int
) -> None:
    """Whoever was not sampled finds room in the next session."""
    before = plan().scale(LADDER, 24)
    assert before == Scale(2.0**ladder.MARGIN)
    assert plan(1.0, 0.1, *history).scale(LADDER, 24).bound == before.bound * 2.0**moved


def test_the_scale_stays_on_the_ladder() -> None:
    up = (3, 0, 0, 0, 0, 0)
    assert plan(2.0**48, 1.0, up, up).scale(LADDER, 24).bound == 2.0**48
    assert plan(1e-12, 1e-13, *[FAR_COARSE] * 9).scale(LADDER, 24).bound == 2.0**-40
    assert plan(100.0, 1.0).scale((-2, 3), 24).bound == 8.0


def test_where_nothing_changed_two_limbs_wait_for_what_comes() -> None:
    """As with a learning rate that starts at 0."""
    nothing = Plan(bytes(32), False, b"", (0,) * 89, (0,) * 89, ((0,) * 6,))
    assert nothing.scale(LADDER, 24) == Scale(2.0**ladder.UNKNOWN, 2)


@given(
    largest=st.floats(1e-6, 1e6),
    history=st.lists(st.tuples(*[st.integers(0, 5)] * ladder.COUNTS), max_size=12),
    bits=st.integers(2, 50),
)
def test_a_scale_is_a_power_of_two_of_the_ladder(largest: float, history: list[Any], bits: int) -> None:
    found = plan(largest, largest / 10, *history).scale(LADDER, bits)
    fraction, exponent = math.frexp(found.bound)
    assert fraction == 0.5 and LADDER[0] <= exponent - 1 <= LADDER[1]
    assert found.limbs in (1, 2)


def test_a_second_limb_where_one_has_too_few_steps() -> None:
    assert plan(1.0, 1e-2).scale(LADDER, 24).limbs == 1
    assert plan(1.0, 1e-6).scale(LADDER, 24).limbs == 2
    assert plan(1.0, 1e-6).scale(LADDER, 40).limbs == 1
    coarse, fine = (0, 0, 5, 0, 0, 3), (0, 0, 5, 0, 0, 2)
    assert plan(1.0, 0.1, coarse).scale(LADDER, 24).limbs == 2
    assert plan(1.0, 0.1, coarse, fine).scale(LADDER, 24).limbs == 2, "who was coarse may be sampled again"


@given(largest=st.floats(1e-9, 1e9), share=st.floats(1e-9, 1.0), bits=st.integers(10, 40))
def test_what_is_counted_leads_to_steps_that_suffice(largest: float, share: float, bits: int) -> None:
    """Sessions of hospitals with the same update end at a scale that holds it, in at least a hundred steps or two
    limbs."""
    history: list[tuple[int, ...]] = []
    for _ in range(12):
        scale = plan(1.0, 0.5, *history).scale(LADDER, bits)
        history.append(tuple(5 * each for each in ladder.count(largest, largest * share, scale, bits)))
    assert history[-1][0] == 0 and largest <= scale.bound
    steps = largest * share / (scale.bound / 2.0 ** (bits - 1))
    assert scale.limbs == 2 or steps > 50


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"largest": (1,)}, r"histograms of \{.*\} rungs; the ladder has 89"),
        ({"typical": ()}, "the ladder has 89"),
        ({"counts": ((1, 2),)}, "rungs"),
        ({"counts": ((0, 0, -1, 0, 0, 0),)}, "below zero"),
        ({"measuring": True}, "measured before"),
        ({"largest": (), "typical": (), "counts": ((0,) * 6,)}, "none that measured"),
    ],
)
def test_a_plan_that_is_none(changed: dict[str, Any], text: str) -> None:
    plan().check(LADDER, None)
    with pytest.raises(BadMessage, match=text):
        replace(plan(), **changed).check(LADDER, None)


def test_a_plan_that_does_not_continue_the_last_one() -> None:
    first, second, other = (0, 0, 5, 0, 0, 0), (0, 1, 4, 0, 0, 0), (1, 4, 0, 0, 0, 0)
    before = plan(1.0, 0.1, first)
    for follows in (before, plan(1.0, 0.1, first, second)):
        follows.check(LADDER, before)
        follows.check(LADDER, Plan(bytes(32), True))  # the measuring session has no histogram yet
    for strange in (plan(1.0, 0.1), plan(1.0, 0.1, other), plan(1.0, 0.1, second, first)):
        with pytest.raises(BadMessage, match="counts do not continue"):
            strange.check(LADDER, before)
    for strange in (plan(2.1, 0.1, first), plan(1.0, 0.6, first), Plan(bytes(32))):
        with pytest.raises(BadMessage, match="histogram is not the one"):
            strange.check(LADDER, before)


def test_a_plan_without_a_scale() -> None:
    with pytest.raises(BadMessage, match="names no scale"):
        Plan(bytes(32)).scale(LADDER, 24)
