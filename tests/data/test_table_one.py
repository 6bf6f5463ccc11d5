"""Table 1 against pandas on the pooled rows: counts, means, deviations, quantiles within what is stated, cells."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.data import preparation, schema, suspicion, table_cells
from fedsec.data.label import Label
from fedsec.data.number_cells import NumberCells
from fedsec.data.preparation import BIN, LEVEL, PRESENT, SQUARE, SUSPICIOUS, VALUE, statistics, totals
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table import Table
from fedsec.data.table_columns import of_columns
from fedsec.data.table_one import QUANTILES, TableOne
from fedsec.errors import BadMessage, ConfigurationError
from fedsec.report import table_one_text
from tests.tiers import examples

EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 30.0)
DIED = Label("died", "classification", negative=("0",))
COST = Label("cost", "regression", 0.0, 1000.0)


def columns_of(label: Label) -> Schema:
    return Schema(
        (Number("age", 0, 120), Number("lactate", 0, 30, bins=EDGES), Category("ward", ("a", "b", "c"))), label
    )


def drawn(seed: int, rows: int, label: Label) -> tuple[Table, pd.DataFrame]:
    """Rows at up to five hospitals, and the same as a frame."""
    rng = np.random.default_rng(seed)
    gaps = rng.random(3) * 0.5
    values: dict[str, list[Any]] = {
        "age": (rng.integers(0, 121, rows) if seed % 2 else rng.normal(60, 15, rows).clip(0, 120)).tolist(),
        "lactate": rng.lognormal(0.3, 1.0, rows).clip(0, 30).tolist(),
        "ward": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.35, 0.05]).tolist(),
    }
    for name, share in zip(values, gaps, strict=True):
        values[name] = [None if rng.random() < share else value for value in values[name]]
    target = rng.integers(0, 2, rows) if label.task == "classification" else rng.random(rows) * 1000
    site = rng.integers(0, 1 + seed % 5, rows)
    table = of_columns(
        "drawn",
        {**values, label.name: [str(one) for one in target.tolist()]},
        columns_of(label),
        "",
        [f"site {one}" for one in site],
    )
    return table, pd.DataFrame({**values, "target": target, "site": site}).astype({"age": float, "lactate": float})


def hospitals_of(table: Table) -> list[Table]:
    assert table.site is not None
    return [table.take(np.flatnonzero(table.site == place)) for place in range(len(table.sites))]


def summed(parts: Sequence[Table], least: int = 0, equal: bool = False) -> TableOne:
    """What the sums over these hospitals come to, weighted by rows or as totals."""
    rows = sum(len(part.target) for part in parts)
    told = [totals(part, least) if equal else statistics(part, least) for part in parts]
    weights = np.array([1 if equal else len(part.target) for part in parts])
    means = {
        key: list(np.average([np.atleast_1d(one[key]) for one in told], axis=0, weights=weights)) for key in told[0]
    }
    if equal:
        means[preparation.COUNT] = means[preparation.COUNT][0]
        found, count = preparation.of_totals(means, len(parts))
        assert count == rows
        means = found  # type: ignore[assignment]
    return TableOne.of(parts[0].schema, means, rows, len(parts), least)


def groups_of(frame: pd.DataFrame, label: Label) -> list[pd.DataFrame]:
    classes = [frame[frame.target == one] for one in (0, 1)] if label.task == "classification" else []
    return [frame, *classes]


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32 - 1), st.integers(8, 120), st.sampled_from([DIED, COST]), st.booleans())
def test_it_is_what_pandas_says_of_the_pooled_rows(seed: int, rows: int, label: Label, equal: bool) -> None:
    table, frame = drawn(seed, rows, label)
    found = summed(hospitals_of(table), equal=equal)
    groups = groups_of(frame, label)
    assert found.rows == tuple(map(len, groups)) and len(found.groups) == len(groups)
    for row in found.numbers:
        for cells, group in zip(row.groups, groups, strict=True):
            values = group[row.name].dropna()
            assert (cells.counted, cells.missing, cells.suppressed) == (len(values), len(group) - len(values), 0)
            expected, _ = np.histogram(values, row.edges)
            assert cells.bins == tuple(expected)
            if not len(values):
                assert cells.mean is None and cells.quantile(0.5, row.edges) is None
                continue
            assert cells.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
            assert cells.deviation == pytest.approx(values.std(ddof=0), rel=1e-6, abs=1e-5)
            check_quantiles(cells, row.edges, values)
    for words in found.categories:
        for levels, group in zip(words.groups, groups, strict=True):
            counts = group[words.name].value_counts()
            assert levels.counts == tuple(int(counts.get(level, 0)) for level in words.levels)
            assert (levels.missing, levels.suppressed) == (int(group[words.name].isna().sum()), 0)


def check_quantiles(cells: NumberCells, edges: tuple[float, ...], values: pd.Series[Any]) -> None:
    widths = np.diff(edges)
    for part in QUANTILES:
        found = cells.quantile(part, edges)
        assert found is not None
        value, within = found
        assert abs(value - values.quantile(part)) <= within + 1e-9
        if not (cells.suppressed or any(map(any, cells.wider))):
            assert any(within == pytest.approx(width) for width in widths), "the width of a bin"


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32 - 1), st.integers(8, 300), st.integers(1, 12), st.booleans())
def test_what_few_rows_have_is_not_told_and_all_still_adds_up(seed: int, rows: int, least: int, equal: bool) -> None:
    table, frame = drawn(seed, rows, DIED)
    parts = hospitals_of(table)
    for part in parts:
        told = totals(part, least)
        for key in (BIN, LEVEL):
            for cells in table_cells.parted(told[key], table_cells.widths(part.schema)[key]):
                assert all(count == 0 or count >= least for count in cells[:-1])
        assert all(count == 0 or count >= least for count in told[PRESENT])
        assert all(not told[key][at] for key in (VALUE, SQUARE) for at, n in enumerate(told[PRESENT]) if not n)
    found, groups = summed(parts, least, equal), groups_of(frame, DIED)
    for row in found.numbers:
        for number, group in zip(row.groups, groups, strict=True):
            values = group[row.name].dropna()
            assert sum(number.bins) + sum(map(sum, number.wider)) + number.suppressed == len(values)
            assert number.missing == len(group) - len(values)
            if number.quantile(0.5, row.edges) is not None:
                check_quantiles(number, row.edges, values)
            kept = [
                one[row.name].dropna()
                for _, one in group.groupby(["site", "target"])
                if one[row.name].notna().sum() >= least
            ]
            assert number.counted == sum(map(len, kept))
            if number.counted:
                assert number.mean == pytest.approx(pd.concat(kept).mean(), rel=1e-9, abs=1e-9)
    for words in found.categories:
        for levels, group in zip(words.groups, groups, strict=True):
            assert sum(levels.counts) + levels.missing + levels.suppressed == len(group)
            sizes = group.assign(ward=group.ward.fillna("-")).groupby(["site", "target", "ward"]).size()
            assert levels.suppressed == sizes[sizes < least].sum()


def test_the_preparation_of_suppressed_cells_is_whole() -> None:
    """Shares of values count suppressed ones; a column of which nothing is told is left out."""
    table = drawn(4, 200, DIED)[0]
    one = preparation.Preparation.of(table.schema, statistics(table, 5), 200)
    assert [each.present for each in one.numbers] == [each.present for each in preparation.pooled(table).numbers]
    few = table.take(np.arange(8))
    none = preparation.Preparation.of(table.schema, statistics(few, 50), 8)
    assert not any(each.present for each in none.numbers) and none.features() == ("ward = a", "ward = b", "ward = c")


def test_counts_that_no_rows_have_are_refused() -> None:
    table = drawn(7, 60, DIED)[0]
    means = statistics(table)
    for key, change in ((BIN, 1.0), (LEVEL, 0.5), (LEVEL, -0.5), (PRESENT, 1.0), (SUSPICIOUS, 0.1)):
        false = {**means, key: [means[key][0] + change, *means[key][1:]]}
        with pytest.raises(BadMessage, match="the statistics contradict each other"):
            TableOne.of(table.schema, false, 60, 3)
    with pytest.raises(BadMessage, match="the schema needs"):
        TableOne.of(table.schema, {**means, BIN: means[BIN][1:]}, 60, 3)


def test_edges_and_numbers_of_bins_stand_in_the_schema() -> None:
    agreed = columns_of(DIED)
    assert schema.parse(agreed.to_toml(), "here") == agreed
    text = agreed.to_toml().replace("high = 120", "high = 120\nbins = 12")
    age = schema.parse(text, "here").numbers[0]
    assert age.bins == 12 and age.edges == tuple(range(0, 121, 10))
    assert agreed.differences(schema.parse(text, "there")) == [
        "'age' has range 0 to 120 here and range 0 to 120, 12 bins there"
    ]
    for bins in ("0", "1001", "2.5", "[0]", "[0, 60]", "[1, 120]", "[0, 70, 60, 120]", "[0, 60, 60, 120]", '"many"'):
        with pytest.raises(ConfigurationError, match=r"bins of column 'age' is .*; a whole number from 1 to 1000"):
            schema.parse(text.replace("bins = 12", f"bins = {bins}"), "here")


def test_each_hospital_counts_its_own_suspicions_and_the_sum_tells_no_name() -> None:
    columns: dict[str, list[Any]] = {"age": [], "ward": [], "died": []}
    site = []
    for place in range(5):
        for row in range(6 if place == 4 else 40):
            columns["age"].append(60 if place in (1, 3) else 40 + (row * 7) % 30)
            columns["ward"].append("ICU" if place == 2 and row < 3 else "icu" if row % 2 else "surgery")
            columns["died"].append("0" if place == 3 else str(row % 3 // 2))
            site.append(f"hospital {place}")
    agreed = Schema((Number("age", 0, 120), Category("ward", ("icu", "surgery"))), DIED)
    table = of_columns("rows", columns, agreed, "", site)
    found = summed(hospitals_of(table))
    assert found.suspected == (
        "2 of 5 hospitals: column 'age' never varies",
        "1 of 5 hospitals: column 'ward' has levels that differ in case alone",
        "1 of 5 hospitals: fewer than 10 rows",
        "1 of 5 hospitals: rows of one class alone",
    )
    assert not any(name in text for text in found.suspected for name in table.sites)
    assert {kind for kind, _ in suspicion.places(agreed)} < set(suspicion.KINDS)
    assert summed(hospitals_of(table), equal=True).suspected == found.suspected


def test_formats_hold_the_same_figures() -> None:
    found = summed(hospitals_of(drawn(9, 200, DIED)[0]))
    read = list(csv.DictReader(io.StringIO(table_one_text.csv_text(found))))
    ages = found.numbers[0]
    for group, cells in zip(found.groups, ages.groups, strict=True):
        rows = {one["statistic"]: one for one in read if (one["column"], one["group"]) == ("age", group)}
        assert float(rows["mean"]["value"]) == cells.mean and int(rows["missing"]["value"]) == cells.missing
        value, within = float(rows["quantile 0.5"]["value"]), float(rows["quantile 0.5"]["within"])
        assert (value, within) == cells.quantile(0.5, ages.edges)
    document = json.loads(json.dumps(table_one_text.document(found)))
    assert document["numbers"][0]["groups"][0]["quantiles"]["0.5"]["within"] == pytest.approx(120 / 32)
    text = table_one_text.markdown(found)
    assert "| n | 200 |" in text and "| age, mean (SD) |" in text and "| ward, a |" in text
    lines = table_one_text.lines(found)
    assert all(len(line.cells) == 3 for line in lines) and [line.column for line in lines if line.head] == [
        "n",
        "age",
        "lactate",
        "ward",
    ]
    one = table_one_text.side_by_side(("x", "y"), (found, found))
    assert one.groups[:2] == ("x: all", "x: died = 0") and one.rows == found.rows * 2
    for first, second in itertools.pairwise(table_one_text.lines(table_one_text.chosen(one, [0, 3]))):
        assert len(first.cells) == len(second.cells) == 2 and first.cells[0] == first.cells[1]
