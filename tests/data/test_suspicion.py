"""What looks wrong with rows is said, and what is merely unusual is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedsec.data import preparation, registry, suspicion
from fedsec.data.label import Label
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.suspicion import sentinels
from fedsec.data.table import Table
from fedsec.data.table_columns import of_columns

ROWS = 400


def suspicions(table: Table) -> list[str]:
    """What is said."""
    return list(map(str, suspicion.suspicions(table)))


DIED = Label("died", "classification")


def rows(column: Any, label: Label = DIED, target: Any = None, levels: tuple[str, ...] = (), **more: Any) -> Table:
    """A table with a column of age, one of these values, and a label that depends on neither."""
    rng = np.random.default_rng(3)
    kind = Category("x", levels) if levels else Number("x", -1e9, 1e9)
    columns = {
        "age": rng.normal(60, 10, ROWS).tolist(),
        "x": list(column),
        label.name: list(rng.integers(0, 2, ROWS) if target is None else target),
    }
    return of_columns("rows", columns, Schema((Number("age", -1e9, 1e9), kind), label), "", **more)


def draw(seed: int = 5) -> Any:
    return np.random.default_rng(seed)


HEIGHTS = draw().normal(170, 10, ROWS).round(1)
LACTATE = draw().lognormal(0.5, 0.7, ROWS).round(1) + 0.1
TARGET = draw(6).integers(0, 2, ROWS)


def with_some(values: Any, other: float, count: int) -> Any:
    changed = np.array(values, float)
    changed[:count] = other
    return changed


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (np.full(ROWS, 7.0), "column 'x' is 7 in all rows that have a value: leave it out"),
        (np.arange(ROWS), "column 'x' counts the rows, from 0 to 399: leave it out"),
        (draw().permutation(ROWS) + 1000, "column 'x' counts the rows, from 1000 to 1399"),
        (with_some(HEIGHTS, 999, 12), "column 'x' has '999' (12) far from its other values"),
        (with_some(HEIGHTS, -9, 1), "column 'x' has '-9' (1) far from"),
        (with_some(with_some(HEIGHTS, 999, 12), -99, 5), "has '999' (7), '-99' (5) far from its other values"),
        (with_some(LACTATE, -1, 9), "column 'x' has '-1' (9) far from"),
        (with_some(HEIGHTS, 1750, 3), "column 'x': 3 values beyond 6 robust deviations, 1750 in row 1 and others"),
        (with_some(HEIGHTS, 1.75, 1), "column 'x': 1 value beyond 6 robust deviations, 1.75 in row 1: check"),
        (with_some(LACTATE, 100000, 1), "column 'x': 1 value beyond 6 robust deviations, 100000 in row 1"),
        (draw().integers(44_000, 45_000, ROWS), "column 'x' may hold days as Excel counts them"),
        (TARGET * 5.0 + draw().random(ROWS), "column 'x' tells the label of nearly every row"),
        (1 - TARGET, "column 'x' tells the label of nearly every row"),
    ],
)
def test_what_looks_wrong_with_numbers_is_said(column: Any, said: str) -> None:
    found = suspicions(rows(column, target=TARGET))
    assert len(found) == 1 and said in found[0]


@pytest.mark.parametrize(
    "column",
    [
        HEIGHTS,
        LACTATE,
        draw().lognormal(8, 1.2, ROWS),  # costs
        draw().poisson(2, ROWS),
        draw().integers(0, 2, ROWS),
        draw().integers(1, 10, ROWS),  # a score, whose 9 is no code
        np.where(draw().random(ROWS) < 0.95, 0.0, draw().random(ROWS)),
        np.where(TARGET == 1, 1.0, 0.0) + (draw().random(ROWS) < 0.1),  # predicts well, as a good feature does
        draw().normal(0, 1, ROWS),
    ],
)
def test_what_is_merely_unusual_is_not(column: Any) -> None:
    assert suspicions(rows(column, target=TARGET)) == []


@pytest.mark.slow
def test_of_real_rows_little_is_suspected() -> None:
    """Of the columns of four data sets, two scores of questionnaires with a long tail below."""
    found = {name: suspicions(registry.load(name)) for name in ("breast-cancer", "diabetes", "lung", "randhie")}
    first, second = found.pop("randhie")
    assert "'educdec': 203 values beyond" in first and "'mhi': 20 values beyond" in second
    assert not any(found.values())


def test_what_looks_wrong_with_words_and_labels_is_said() -> None:
    (found,) = suspicions(rows(["a"] * ROWS, levels=("a", "b")))
    assert "column 'x' is 'a' in all rows: leave it out" in found
    told = ["dead" if one else "alive" for one in TARGET]
    (found,) = suspicions(rows(told, target=TARGET, levels=("alive", "dead")))
    assert "column 'x' tells the label of nearly every row" in found
    cost = draw().lognormal(8, 1, ROWS)
    (found,) = suspicions(rows(cost * 1.19 + 3, Label("cost", "regression", 0, 1e9), cost))
    assert "column 'x' tells the label of nearly every row" in found
    cased = rows(["icu"] * 200 + ["ICU"] * 100 + ["ward"] * 100, levels=("icu", "ward"))
    assert "read as levels that differ in case alone: 'ICU' (100)" in str(cased.suspicions[0])
    assert cased.levels[:, 0].tolist() == [0] * 300 + [1] * 100


def test_what_looks_wrong_with_hospitals_is_said() -> None:
    site = ["north"] * 200 + ["south"] * 190 + ["tiny"] * 3 + ["west"] * 7
    target = [*TARGET[:200], *[0] * 190, 1, 0, 1, *TARGET[:7]]
    found = suspicions(rows(HEIGHTS, target=target, site=site))
    assert len(found) == 2 and "hospitals with fewer than 10 rows: 'tiny' (3), 'west' (7)" in found[0]
    assert "hospital 'south' has no row of class 1 among 190" in found[1]
    (found,) = map(str, suspicion.alike("site", ["1", "01", "2", 3.0, "3.0", "St. A", "st. a", None]))
    assert found == "sites that look alike: '01' and '1'; '3' and '3.0'; 'St. A' and 'st. a': write each in one way"
    assert suspicion.alike("site", ["1", "2", "10", "north"]) == []


def test_a_code_is_one_only_where_it_is_far_from_all_other_values() -> None:
    assert sentinels(with_some(HEIGHTS, 999, 5)) == [999.0]
    assert sentinels(np.arange(-20.0, 120.0)) == [] and sentinels(np.array([9.0, -9.0])) == []
    assert sentinels(np.concatenate([draw().integers(0, 5, 100), [9.0] * 4]).astype(float)) == []


@pytest.mark.parametrize("levels", [(), ("rare", "rarer", "common")], ids=["numbers", "words"])
def test_of_a_column_with_fewer_values_than_the_least_cell_no_flag_tells_anything(levels: tuple[str, ...]) -> None:
    """Whether the same three patients have one value or two changes no bit of what a hospital tells."""
    same, other = (["rare"] * 3, ["rare", "rare", "rarer"]) if levels else ([3.0] * 3, [3.0, 3.0, 4.0])
    gaps: list[Any] = [""] * (ROWS - 3)
    one, two = (rows([*values, *gaps], levels=levels) for values in (same, other))
    told = [preparation.statistics(table, least=5)[preparation.SUSPICIOUS] for table in (one, two)]
    assert told[0] == told[1]
    assert suspicion.flags(one) != suspicion.flags(two)
