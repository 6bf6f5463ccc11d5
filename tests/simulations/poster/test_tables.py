"""Tables 1.0 and 2.0: the poster's values, their definition, and the same sums under the framework's strategies."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedsec import catalog
from fedsec.errors import ConfigurationError
from fedsec.simulations.poster.tables.linear_regression import (
    CORRECTED,
    PUBLISHED,
    Floats,
    Lane,
    Part,
    Task,
    alone,
    gains,
    task,
    together,
)
from fedsec.simulations.poster.tables.secure_summation import LARGEST_VALUE, Summation, finest
from fedsec.simulations.poster.tables.table_1_and_2 import (
    AGREEMENT,
    POSTER,
    SETTINGS,
    TOLERANCE,
    ladder,
    measure,
    plain,
    spread,
    stable_below,
)


def quiet(*_: object) -> None:
    """No progress is told."""


@pytest.fixture(scope="module")
def summation() -> Summation:
    """Sums of three hospitals under a small key."""
    kind = type("Small", (catalog.strategy("paillier"),), {"minimum_key_bits": 256, "__module__": "x.paillier"})
    return Summation(kind(value_bits=60, key_bits=512), 3)


def test_all_values_of_the_poster_come_out() -> None:
    outcome = measure(task(3, 42), [PUBLISHED], SETTINGS, plain, quiet)
    assert len(outcome.values) == 12 and outcome.worst is not None and outcome.worst <= TOLERANCE
    signs = {(v.eta, v.iterations, v.hospital): v.ours for v in outcome.values}
    assert signs[0.01, 100, 3] == pytest.approx(-49.58, abs=TOLERANCE)  # printed without its sign
    assert [v.poster for v in outcome.values] == [x for setting in SETTINGS for x in POSTER[setting]]


def test_another_seed_or_definition_is_not_compared_with_the_poster() -> None:
    assert measure(task(3, 42), [CORRECTED], [(0.001, 5)], plain, quiet).worst is None
    assert measure(task(4, 42), [PUBLISHED], [(0.001, 50)], plain, quiet).worst is None
    assert measure(task(3, 1), [PUBLISHED], [(0.001, 50)], plain, quiet).worst is None


def test_encrypted_and_plain_weights_agree(summation: Summation) -> None:
    settings = ((0.01, 12), (0.001, 20))
    outcome = measure(task(3, 42), [PUBLISHED, CORRECTED], settings, summation, quiet)
    assert outcome.weights <= AGREEMENT and summation.rounds >= 20
    assert all(value.ours == pytest.approx(value.plain, abs=0.011) for value in outcome.values)


@pytest.mark.parametrize("hospitals", [4, 5, 6])
def test_more_hospitals_by_another_strategy(hospitals: int) -> None:
    add = Summation(finest("shamir", {}, hospitals), hospitals)
    outcome = measure(task(hospitals, 42), [PUBLISHED], [(0.001, 10)], add, quiet)
    assert outcome.weights <= AGREEMENT and len(outcome.values) == hospitals


@pytest.mark.parametrize("hospitals", [4, 6])
def test_more_hospitals_under_paillier(hospitals: int) -> None:
    add = Summation(finest("paillier", {"key_bits": 2048}, hospitals), hospitals)
    outcome = measure(task(hospitals, 42), [PUBLISHED], [(0.001, 2)], add, quiet)
    assert outcome.weights <= AGREEMENT and len(outcome.values) == hospitals


def test_hospitals_whose_rows_differ_are_refused() -> None:
    made = task(3, 42)
    short = Part(made.parts[0].features[:5], made.parts[0].target[:5])
    with pytest.raises(ConfigurationError, match=r"\[5, 130\] rows; each must have as many"):
        Task((short, *made.parts[1:]), made.test, 42)
    narrow = Part(made.test.features[:, 1:], made.test.target)
    with pytest.raises(ConfigurationError, match=r"rows of \[11\] columns, and test rows 10"):
        Task(made.parts, narrow, 42)


def test_the_gain_is_taken_apart() -> None:
    found = ladder(task(3, 42), 0.001, 100)
    assert found["double"] == pytest.approx([243, 202, 259], abs=0.5)
    assert found["equal"] == pytest.approx([59, 113, 39], abs=0.5)
    assert found["corrected"] == pytest.approx([-6.8, 155.7, -111.4], abs=0.05)


def test_the_spread_is_of_the_same_cells() -> None:
    found = spread(3, [42, 7], PUBLISHED, 0.001, (50, 100))
    for place, seed in enumerate((42, 7)):
        data, lane = task(3, seed), Lane(PUBLISHED, 0.001, 100)
        cells = gains(data, lane, alone(data, lane), together(data, [lane], plain, quiet)[0])
        assert found.at(100)[place] == pytest.approx(cells, abs=0.011)


def test_trends_end() -> None:
    grown = spread(3, [42], PUBLISHED, 0.001, (50, 200, 1000, 2000)).gains[0, :, 0]
    assert grown[0] < grown[1] and grown[2] == pytest.approx(41, abs=1) and grown[3] == pytest.approx(-93, abs=1)


def test_it_diverges_where_the_eigenvalue_says() -> None:
    data = task(3, 42)
    limit = stable_below(data)
    assert limit == pytest.approx(0.0115, abs=1e-4)
    together(data, [Lane(PUBLISHED, 0.98 * limit, 2000)], plain, quiet)
    with pytest.raises(ConfigurationError, match="diverges"):
        together(data, [Lane(PUBLISHED, 1.05 * limit, 2000)], plain, quiet)


@given(arrays(np.float64, (3, 4), elements=st.floats(-(2.0**19), 2.0**19)))
def test_sums_are_as_near_as_the_fixed_point(rows: Floats) -> None:
    add = _plain_summation()
    assert np.max(np.abs(add(rows) - rows.sum(axis=0))) <= 3 * add.resolution + 1e-9  # of a float


def _plain_summation() -> Summation:
    return Summation(finest("plain", {}, 3), 3)


@pytest.mark.parametrize("value", [LARGEST_VALUE, -2.0 * LARGEST_VALUE, float("nan"), float("inf")])
def test_overflow_of_the_fixed_point_is_refused(value: float) -> None:
    rows = np.zeros((3, 2))
    rows[1, 1] = value
    with pytest.raises(ConfigurationError, match=r"overflows the fixed point.*1\.04858e\+06"):
        _plain_summation()(rows)


@pytest.mark.parametrize("value", [LARGEST_VALUE * (1 - 2**-40), -LARGEST_VALUE * (1 - 2**-40)])
def test_the_largest_value_is_exact_enough(value: float) -> None:
    add = _plain_summation()
    assert add(np.full((3, 1), value))[0] == pytest.approx(3 * value, abs=4 * add.resolution)


def test_bad_input_is_refused() -> None:
    for eta in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="eta is"):
            Lane(PUBLISHED, eta, 10)
    with pytest.raises(ConfigurationError, match="iterations is 0"):
        Lane(PUBLISHED, 0.1, 0)
    with pytest.raises(ConfigurationError, match="as many rows"):
        Part(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ConfigurationError, match="hospitals is 393"):
        task(393, 42)
    with pytest.raises(ConfigurationError, match="floor"):
        finest("paillier", {}, 2)


def test_the_command_writes_what_it_prints(poster: Any, tmp_path: Path) -> None:
    code, out, _ = poster(
        "tables",
        "--strategy",
        "shamir",
        "--eta",
        "0.001",
        "--iterations",
        "3",
        "--seeds",
        "2",
        "--json",
        "--output",
        str(tmp_path),
    )
    assert code == 0
    document = json.loads(out)
    assert document["largest_weight_difference"] <= AGREEMENT and document["hospitals"] == 3
    names = {Path(name).name for name in document["files"]}
    assert {"tables.json", "tables.csv", "tables-spread.png", "tables-trends.svg"} <= names
    assert json.loads((tmp_path / "tables.json").read_text())["values"] == document["values"]
    with (tmp_path / "tables.csv").open(newline="") as file:
        assert [float(row["ours"]) for row in csv.DictReader(file)] == [v["ours"] for v in document["values"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--eta", "0"), "eta is 0"),
        (("--eta", "0.05", "--iterations", "200"), "eta is 0.05"),
        (("--iterations", "0"), "iterations is 0"),
        (("--hospitals", "2", "--iterations", "1"), "floor"),
        (("--seed", "-1"), "seed is -1"),
        (("--output", "/proc/none"), "cannot be written"),
        (("--seeds", "-1"), "seeds is -1"),
        (("--strategy", "pailler"), "did you mean 'paillier'"),
    ],
)
def test_bad_usage_ends_with_2(poster: Any, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = poster("tables", *arguments)
    assert code == 2 and not out and said in " ".join(err.split())
