"""Weights as labels of the addends: what exact row counts tell of one sum, and equal weights do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.encoding import wide
from tests.disclosure.attacked import Real, Server, Train, deployed, refused

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS, SIZE, RATE = 5, 400, 0.01
COUNTS, OTHERS = (61, 77, 90, 104, 123), (455, 3, 12, 700, 86)
SIGNS = np.where(np.random.default_rng(4).random((HOSPITALS, SIZE)) < 0.5, -1.0, 1.0)
"""The directions of hospitals' gradients, all that a first step of Adam consists of."""
MODEL = np.zeros(SIZE)
EQUAL: dict[str, Any] = {"weights": "equal", "clip": 4.0}
EXACT: dict[str, Any] = {"weights": "exact", "clip": 4.0, "largest_weight": 1000}


def first_step(counts: Sequence[int]) -> Train:
    def train(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
        return model + RATE * SIGNS[place], {"loss": 0.5, "num-examples": counts[place]}

    return train


def parts(sums: Sequence[int]) -> list[int]:
    """The numbers whose sums of any of them these are, where all such sums are there and differ: the least that is
    left is always a number of its own."""
    left, found, made = sorted(set(sums)), list[int](), {0}
    while left := [each for each in left if each not in made]:
        found.append(left[0])
        made |= {each + found[-1] for each in made}
    return found


def read_signs(mean: Real, total: int) -> tuple[list[int], Real]:
    """Row counts, and directions by hospital in their order, from one mean of first steps with exact weights."""
    up = np.rint((mean / RATE + 1) * total / 2).astype(int)
    counts = parts(up.tolist())
    chosen = {
        sum(count for place, count in enumerate(counts) if mask >> place & 1): mask for mask in range(1 << len(counts))
    }
    signs = [[1.0 if chosen[value] >> place & 1 else -1.0 for value in up] for place in range(len(counts))]
    return counts, np.array(signs)


def test_a_first_step_tells_row_counts_and_signs_where_weights_are_exact_and_no_count_where_equal(
    tmp_path: Path,
) -> None:
    server = deployed(tmp_path / "exact", first_step(COUNTS), HOSPITALS, {"train": 1}, MODEL, **EXACT)
    mean, metrics = server.asks(server.founds(), MODEL)
    counts, signs = read_signs(mean, int(metrics["num-examples"]))
    assert counts == sorted(COUNTS) and np.array_equal(signs, SIGNS)

    views = []
    for name, rows in (("equal", COUNTS), ("other", OTHERS)):
        server = deployed(tmp_path / name, first_step(rows), HOSPITALS, {"train": 1}, MODEL, **EQUAL)
        with refused(server, "encoding weights is 'exact'; agreed was 'equal'"):
            server.asks(server.founds(weights="exact", metric_grid=None), MODEL)
        mean, metrics = server.asks(server.founds(), MODEL)
        assert metrics["num-examples"] == HOSPITALS
        views.append(server.opened[-1].sum.vector.tolist())
    assert views[0] == views[1]  # row counts are not in it
    up = np.rint((mean / RATE + 1) * HOSPITALS / 2)
    guess = np.where(up > HOSPITALS / 2, 1.0, -1.0)
    right = float(np.mean(guess == SIGNS))
    chance = (
        sum(math.comb(HOSPITALS, k) * max(k, HOSPITALS - k) for k in range(HOSPITALS + 1)) / HOSPITALS / 2**HOSPITALS
    )
    assert right == pytest.approx(chance, abs=0.03)  # what the mean of all five itself says of one


FIGURES = np.random.default_rng(5).random((HOSPITALS, 40))
OWN = np.arange(40) // (40 // HOSPITALS)
"""Which hospital alone has each figure: each has eight, and the others have 0 there."""


def figures(dtype: type) -> Train:
    def evaluate(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
        mine = np.where(place == OWN, FIGURES[place].astype(dtype).astype(np.float64), 0.0)
        return model, {"figures": mine.tolist(), "num-examples": COUNTS[place]}

    return evaluate


def divisors(server: Server) -> list[int]:
    """The odd part of what all figures of one hospital have in common, by hospital."""
    secure = server.founds()
    server.asks(secure, MODEL, "evaluate")
    vector, bits = server.opened[-1].sum.vector, secure.protocol.value_bits
    sums = wide.decode(vector[-wide.limbs(bits) * OWN.size :], HOSPITALS, bits)
    common = [math.gcd(*(sums[place] for place in np.flatnonzero(hospital == OWN))) for hospital in range(HOSPITALS)]
    return [each // (each & -each) for each in common]


def odd(counts: Sequence[int]) -> list[int]:
    return [each // (each & -each) for each in counts]


def test_a_common_divisor_of_metrics_would_name_row_counts_and_is_rounded_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def server(name: str, **options: Any) -> Server:
        return deployed(tmp_path / name, figures(np.float64), HOSPITALS, {"evaluate": 1}, MODEL, **options)

    assert divisors(server("equal", metric_grid=2.0**-32, **EQUAL)) == [1] * HOSPITALS
    assert divisors(server("exact", **EXACT)) == [1] * HOSPITALS
    rounded = wide.encode

    def first_rounded(values: Real, *how: Any) -> None:
        rounded(np.rint(values), *how)

    monkeypatch.setattr(wide, "encode", first_rounded)  # the rule taken out: round, then multiply
    assert divisors(server("without", **EXACT)) == odd(COUNTS)
