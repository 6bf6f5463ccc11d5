"""What an honest sum tells, measured: no check prevents it, and without noise these are the numbers to expect.

Hospitals are deployed ones, pinned by an agreement that the server keeps to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedsec.app.config import RunConfig
from fedsec.data.label import Label
from fedsec.data.preparation import PRESENT, VALUE, totals
from fedsec.data.schema import Number, Schema
from fedsec.data.table_columns import of_columns
from fedsec.encoding import mean
from fedsec.encoding.mean_spec import MeanSpec
from tests.disclosure.attacked import FIRST, Real, Server, deployed
from tests.disclosure.test_weights import COUNTS, EQUAL, EXACT, MODEL, divisors, figures, odd

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS = 6
RANGES = RunConfig(equal_weights=True).spec().ranges
UPDATES = np.random.default_rng(6).normal(0, 0.1, (HOSPITALS, 8))


def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    return model + UPDATES[place] * (1 + model[0]), {}


def test_two_sums_over_six_and_five_hospitals_tell_the_sixth_s_update(tmp_path: Path) -> None:
    """Of two models that differ by 2^-20 a server learns the difference of their sums: that hospital's update.

    No two answers are to one model, and each is one that the agreement allows, with any cohort of three or more.
    """
    server = deployed(tmp_path, train, HOSPITALS, {"train": 2}, np.zeros(8), changes={"cohort": "sampled"}, **EQUAL)
    assert error_of_sixth(server, range(HOSPITALS - 1)) < 1e-4


def test_a_hospital_that_the_server_calls_lost_is_told_apart_as_well(tmp_path: Path) -> None:
    """All hospitals are in each cohort, and the server says of one that it did not answer."""
    server = deployed(tmp_path, train, HOSPITALS, {"train": 2}, np.zeros(8), **EQUAL)
    answer = server.grid.send_and_receive
    rounds: list[int] = []

    def losing(messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = list(answer(messages, timeout=timeout))
        return [each for each in replies if not (rounds and each.metadata.src_node_id == FIRST + HOSPITALS - 1)]

    server.grid.send_and_receive = losing  # type: ignore[method-assign]
    assert error_of_sixth(server, None, rounds) < 1e-4


def error_of_sixth(server: Server, others: Iterable[int] | None, rounds: list[int] | None = None) -> float:
    """The largest error of the sixth update's guess, relative to its largest coordinate."""
    secure, near = server.founds(), np.zeros(8)
    near[0] = 2.0**-20
    six = HOSPITALS * server.asks(secure, np.zeros(8))[0]
    if rounds is not None:
        rounds.append(2)
    five = (HOSPITALS - 1) * (server.asks(secure, near, nodes=None if others is None else list(others))[0] - near)
    assert secure.rounds[-1].included == HOSPITALS - 1
    return float(np.abs(six - five - UPDATES[-1]).max() / np.abs(UPDATES[-1]).max())


def test_exact_weights_and_metrics_of_few_bits_name_row_counts(tmp_path: Path) -> None:
    """A metric of 24 bits times a row count has no bits to round away: what one hospital alone adds is divisible by
    its row count."""
    exact = deployed(tmp_path / "exact", figures(np.float32), len(COUNTS), {"evaluate": 1}, MODEL, **EXACT)
    assert divisors(exact) == odd(COUNTS)
    fine = {**EQUAL, "metric_grid": 2.0**-32}
    equal = deployed(tmp_path / "equal", figures(np.float32), len(COUNTS), {"evaluate": 1}, MODEL, **fine)
    assert divisors(equal) == [1] * len(COUNTS)


SCHEMA = Schema((Number("age", 0.0, 120.0), Number("lactate", 0.0, 30.0)), Label("died", "classification"))


def rows_of(place: int) -> dict[str, list[str]]:
    """Ages everywhere, lactate at the third hospital alone."""
    rng = np.random.default_rng([7, place])
    rows = 30 + place
    return {
        "age": [f"{value:.1f}" for value in rng.normal(60, 12, rows).clip(18, 100)],
        "lactate": [f"{rng.gamma(2.0, 1.0):.2f}" if place == 2 and row % 3 else "" for row in range(rows)],
        "died": [str(row % 2) for row in range(rows)],
    }


def count(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    return model, totals(of_columns(f"hospital {place}", rows_of(place), SCHEMA, ""))


def test_a_column_that_one_hospital_alone_has_is_that_hospital_s(tmp_path: Path) -> None:
    """Its sum has one addend: how many of that hospital's rows have a value, and their mean, to 12 digits."""
    stage = "query.statistics"
    server = deployed(tmp_path, count, HOSPITALS, {stage: 1}, metric_ranges=RANGES, totals=tuple(RANGES), **EQUAL)
    _, found = server.asks(server.founds(), None, stage)
    present, value = (HOSPITALS * sum(found[key][1::2]) for key in (PRESENT, VALUE))  # of both classes
    lactate = np.array([float(each) for each in rows_of(2)["lactate"] if each])
    assert present == len(lactate)
    assert 30.0 * value / present == pytest.approx(lactate.mean(), rel=1e-12)
    ages = [np.array([float(each) for each in rows_of(place)["age"]]).sum() for place in range(HOSPITALS)]
    assert HOSPITALS * 120.0 * sum(found[VALUE][::2]) == pytest.approx(sum(ages), rel=1e-12)  # of six, and no one's


def counters(spec: MeanSpec) -> set[tuple[int, ...]]:
    """The counts that one hospital can add, with one parameter and one metric."""
    found = set()
    for change in (0.0, np.nan, *np.geomspace(1e-9, 100.0, 200)):
        for metric in (0.5, 2.0, np.nan):
            made = mean.contribution({"w": np.array([change])}, {"w": np.zeros(1)}, {"loss": metric}, 1, spec, 24)
            found.add(tuple(made.vector[1:12].tolist()))
    return found


def bits_of_counters(spec: MeanSpec, hospitals: int) -> float:
    """log2 of how many different counts a sum over so many hospitals can show."""
    one = counters(spec)
    sums = {(0,) * 11}
    for _ in range(hospitals):
        sums = {tuple(map(sum, zip(each, more, strict=True))) for each in sums for more in one}
    return math.log2(len(sums))


@pytest.mark.parametrize(("hospitals", "expected"), [(3, 10.23), (5, 14.02)])
def test_so_many_bits_of_a_session_are_in_its_counts(hospitals: int, expected: float) -> None:
    """Beside the mean, a model that is chosen for it tells so much of all hospitals together, and never of whom."""
    spec = MeanSpec(clip=4.0, weights="equal", ranges={"loss": (0.0, 1.0)})
    assert bits_of_counters(spec, hospitals) == pytest.approx(expected, abs=0.01)
