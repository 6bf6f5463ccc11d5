"""A server that chooses the terms reads simulated hospitals so, and deployed ones refuse what was not agreed on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec import catalog
from fedsec.encoding import wide
from fedsec.encoding.ladder import LADDER, MARGIN, Plan
from fedsec.encoding.layout import ArraySpec, Layout
from fedsec.server.averaging import Stage
from tests.disclosure.attacked import Real, Server, deployed, refused, simulated

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS, SIZE = 5, 8
UPDATES = np.random.default_rng(1).normal(0, 1, (HOSPITALS, SIZE)) * np.array([[0.05], [0.2], [0.4], [0.7], [1.5]])
MODEL = np.zeros(SIZE)
CLIPS = np.geomspace(0.02, 8.0, 26)
EQUAL: dict[str, Any] = {"weights": "equal", "clip": 4.0}


def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    """An update of its own for each hospital, whatever the model."""
    return model + UPDATES[place], {"loss": float(np.abs(UPDATES[place]).mean())}


def told(sums: Real) -> int:
    """How many hospitals' updates these sums under CLIPS tell: an update of largest coordinate m adds u·min(1, c/m).

    So a sum is linear in c but for a kink at each hospital's m, and there its slope falls by u/m.
    """
    slopes = np.diff(sums, axis=0) / np.diff(CLIPS)[:, None]
    kinks = [place for place in range(1, len(slopes) - 1) if np.abs(slopes[place - 1] - slopes[place + 1]).max() > 1e-3]
    found = []
    for place in kinks:
        fall = slopes[place - 1] - slopes[place + 1]
        low, high = CLIPS[place : place + 2]
        rest = sums[place + 1] - sums[place] - slopes[place + 1] * (high - low)
        found.append(fall * (low + float(rest @ fall) / float(fall @ fall)))
    return sum(any(np.allclose(each, update, atol=1e-2 * np.abs(update).max()) for each in found) for update in UPDATES)


def sums(server: Server) -> Real:
    """The sum of the updates under each of CLIPS."""
    return np.array([HOSPITALS * server.asks(server.founds(clip=float(clip)), MODEL)[0] for clip in CLIPS])


def test_many_clips_would_read_every_hospital_s_update_and_are_refused(tmp_path: Path) -> None:
    assert told(sums(simulated(train, HOSPITALS, **EQUAL))) == HOSPITALS
    hospitals = deployed(tmp_path, train, HOSPITALS, {"train": len(CLIPS)}, MODEL, **EQUAL)
    for clip in (1e-9, *map(float, CLIPS[::8])):
        with refused(hospitals, f"PolicyError: encoding clip is {clip!r}; agreed was 4.0"):
            hospitals.asks(hospitals.founds(clip=clip), MODEL)
    mean, _ = hospitals.asks(hospitals.founds(), MODEL)
    assert np.allclose(mean, UPDATES.mean(axis=0), atol=1e-5)


def invented(rung: int) -> Stage:
    """A stage whose scale the server says was measured so: it is 2^rung."""
    histogram = tuple(HOSPITALS * (place == rung - MARGIN) for place in range(LADDER[0], LADDER[1] + 1))
    return Stage(Plan(b"", largest=histogram, typical=histogram))


def test_an_invented_measurement_would_choose_the_scale_and_none_is_believed(tmp_path: Path) -> None:
    """In each new epoch a party has no plan to compare with, so this would be many clips again."""
    server, scales = simulated(train, HOSPITALS, weights="equal"), []
    hospitals = deployed(tmp_path, train, HOSPITALS, {"train": 2}, MODEL, **EQUAL)
    for rung in (-10, -6):
        secure = server.founds()
        server.over(secure)._averaging.stages["train"] = invented(rung)
        scales.append(np.abs(HOSPITALS * server.asks(secure, MODEL)[0]).max())
        secure = hospitals.founds()
        hospitals.over(secure)._averaging.stages["train"] = invented(rung)
        mean, _ = hospitals.asks(secure, MODEL + 2.0**-20 * rung)
        assert np.allclose(mean, UPDATES.mean(axis=0), atol=1e-4)
    assert scales[1] / scales[0] == 16


VALUES = np.random.default_rng(2).random((3, 200))
"""What three hospitals' metrics are."""


def evaluate(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    return model, {"figures": VALUES[place].tolist()}


GRID = 2.0**-63
"""As fine as it can be: all digits of a value are in the sum."""


def guessed_digits(server: Server, bits: int) -> float:
    """How often the first hospital's digits of two bits are guessed, from what is opened, as what is likeliest.

    Chance is 1/4. Where a value of the sum is such a digit, its sum over three hospitals tells of it; inside a value of
    24 bits carries from below hide it.
    """
    total, middle = server.opened[-1].sum.vector, bits // 2 - 1
    own = np.zeros(wide.limbs(bits) * VALUES.shape[1], np.uint64)
    wide.encode(VALUES[0], 1 / GRID, own, bits)
    right = []
    for limb, mine in zip(np.split(total[-own.size :], wide.limbs(bits)), np.split(own, wide.limbs(bits)), strict=True):
        digits = (mine >> np.uint64(middle)) % 4
        if len(np.unique(digits)) > 1:  # not the zeros above the value and below its precision
            guess = np.clip(limb.astype(int) - 3, 0, 3) if bits == 2 else (limb >> np.uint64(middle)) % 4
            right.append(float(np.mean(guess == digits)))
    return float(np.mean(right))


def test_values_of_two_bits_would_tell_digits_and_are_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {**EQUAL, "metric_ranges": {"figures": (0.0, 1.0)}, "metric_grids": {"figures": GRID}}
    server = simulated(evaluate, 3, "shamir:value_bits=2", **options)
    server.asks(server.founds(), MODEL, "evaluate")
    assert 0.4 < guessed_digits(server, 2) < 0.48
    hospitals = deployed(tmp_path, evaluate, 3, {"evaluate": 9}, MODEL, **options)
    with refused(hospitals, "strategy parameter value_bits is 2; agreed was 24"):
        hospitals.asks(hospitals.founds(catalog.build("shamir", {"value_bits": 2})), MODEL, "evaluate")
    hospitals.asks(hospitals.founds(), MODEL, "evaluate")
    assert 0.2 < guessed_digits(hospitals, 24) < 0.3


def failing(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    """As `train`, but that the second hospital's rows cannot take this model."""
    if place == 1 and model[0] > 0:
        raise ValueError("a row that it cannot take")
    return train(place, model, config)


def test_a_foreign_layout_would_mark_who_has_no_usable_update_and_is_refused(tmp_path: Path) -> None:
    """Who has none answers in the layout that the plan names, and all others in that of their updates."""
    marking = Layout((ArraySpec("w", (SIZE,), "float64"),), {"loss": 0, "marked": 0})
    server = simulated(failing, HOSPITALS, **EQUAL)
    secure = server.founds()
    server.asks(secure, MODEL)
    server.shows_layout(secure, "train", marking)
    server.asks(secure, MODEL + 1)
    assert [party for _, party, why in secure.rounds[-1].incidents if "LayoutError" in why] == [2]

    hospitals = deployed(tmp_path, failing, HOSPITALS, {"train": 3}, MODEL, **EQUAL)
    secure = hospitals.founds()
    hospitals.asks(secure, MODEL)
    hospitals.shows_layout(secure, "train", marking)
    with refused(
        hospitals, "the plan's layout of stage 'train' is not the agreement's: metrics not expected: 'marked'"
    ):
        hospitals.asks(secure, MODEL + 1)
    secure = hospitals.founds()
    hospitals.asks(secure, MODEL + 1)
    assert (secure.rounds[-1].unusable, secure.rounds[-1].incidents) == (1, ())
