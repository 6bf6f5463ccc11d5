"""Real hospitals' data: sites, one's own files, errors in words, and statistics that are those of the pooled rows."""

from __future__ import annotations

import csv
import itertools
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.app.config import RunConfig
from fedsec.data import preparation, registry
from fedsec.data.files import RowsSource, load
from fedsec.data.label import Label
from fedsec.data.preparation import COUNT, LEVEL, PRESENT, SUSPICIOUS, Preparation, statistics, totals
from fedsec.data.row_files import fingerprint
from fedsec.data.schema import Category, Number, Schema, read
from fedsec.data.table import OTHERS, Table, split
from fedsec.data.table_columns import of_columns
from fedsec.errors import BadMessage, ConfigurationError, DataError
from fedsec.simulations.run import hospitals
from tests.tiers import slow

NATURAL = {"lung": 10, "randhie": 6}
SCHEMA = Schema((Number("age", 0, 120), Category("ward", ("a", "b"))), Label("died", "classification"))


def table(rows: int = 60, places: int = 3, seed: int = 1) -> Table:
    rng = np.random.default_rng(seed)
    columns = {
        "age": [None if rng.random() < 0.2 else float(rng.integers(20, 90)) for _ in range(rows)],
        "ward": [str(rng.choice(["a", "b", ""])) for _ in range(rows)],
        "died": [str(rng.integers(2)) for _ in range(rows)],
    }
    return of_columns("drawn", columns, SCHEMA, "here", [f"site {row % places}" for row in range(rows)])


def federated(whole: Table, parts: list[np.ndarray[Any, np.dtype[np.int64]]]) -> Preparation:
    """The weighted means that a secure aggregation gives, without its rounding."""
    told = [(len(part), statistics(whole.take(part))) for part in parts]
    total = sum(count for count, _ in told)
    means = {
        key: list(np.sum([count * np.array(one[key]) for count, one in told], axis=0) / total) for key in told[0][1]
    }
    return Preparation.of(whole.schema, means, total)


def assert_close(one: Preparation, other: Preparation) -> None:
    """Within 2^-40 of a column's width for the deviations, whose square root loses half of the digits."""
    assert one.rows == other.rows
    for left, right in zip(one.numbers, other.numbers, strict=True):
        assert left.present == pytest.approx(right.present, abs=1e-12)
        assert left.mean == pytest.approx(right.mean, rel=1e-9, nan_ok=True)
        assert left.deviation == pytest.approx(right.deviation, rel=1e-6, abs=1e-6)
    for name, levels in one.levels.items():
        assert levels == pytest.approx(other.levels[name], abs=1e-12)
    assert one.target_mean == pytest.approx(other.target_mean, rel=1e-9)
    assert one.target_deviation == pytest.approx(other.target_deviation, rel=1e-6)


@pytest.mark.parametrize("name", ["lung", "breast-cancer", "diabetes", *slow(["randhie"])])
def test_statistics_of_hospitals_are_those_of_all_rows(name: str) -> None:
    here = hospitals.of_config(RunConfig(dataset=name))
    assert len(here.parts) == NATURAL.get(name, 5)
    assert_close(federated(here.train, list(here.parts)), preparation.pooled(here.train))


@given(st.integers(0, 2**32 - 1), st.integers(8, 80), st.integers(1, 6))
def test_drawn_statistics_are_those_of_all_rows(seed: int, rows: int, count: int) -> None:
    whole = table(rows, 3, seed)
    cut = np.sort(np.random.default_rng(seed).integers(0, count, rows))
    parts = [np.flatnonzero(cut == place) for place in range(count)]
    assert_close(federated(whole, [part for part in parts if len(part)]), preparation.pooled(whole))


@given(st.integers(0, 2**32 - 1), st.integers(8, 60), st.integers(1, 6))
def test_totals_of_hospitals_are_those_of_all_rows(seed: int, rows: int, count: int) -> None:
    """Counts of rows are whole numbers; means of totals, over the mean number of rows, are the means of all rows."""
    whole, cut = table(rows, 3, seed), np.sort(np.random.default_rng(seed).integers(0, count, rows))
    told = [totals(whole.take(np.flatnonzero(cut == place))) for place in np.unique(cut)]
    means = {key: np.mean([np.array(one[key]) for one in told], axis=0).tolist() for key in told[0]}
    found, counted = preparation.of_totals(means, len(told))
    assert counted == rows == sum(one[COUNT] for one in told)
    assert all(float(each).is_integer() for one in told for key in (PRESENT, LEVEL) for each in one.get(key, []))
    pooled = statistics(whole)
    assert found.keys() == pooled.keys()
    for key, values in pooled.items():
        expected = np.sum([one[key] for one in told], axis=0) / rows if key == SUSPICIOUS else values
        assert np.allclose(found[key], expected, rtol=0, atol=1e-12)
    for key in found:
        for cell, false in itertools.product(range(len(found[key])), (-1e6, 1e6)):
            lie = [value + false * (place == cell) for place, value in enumerate(means[key])]
            with pytest.raises(BadMessage, match=r"the statistics contradict each other: rows\."):
                preparation.of_totals({**means, key: lie}, len(told))
    with pytest.raises(BadMessage, match="totals over no rows"):
        preparation.of_totals({**means, COUNT: 0.0}, len(told))


def test_features_are_standard_and_survive_the_wire() -> None:
    whole = table(400)
    found = preparation.pooled(whole)
    assert Preparation.from_json(found.to_json()) == found
    data = found.apply(whole)
    assert data.feature_names == ("age", "age missing", "ward = a", "ward = b")
    there = ~np.isnan(whole.numbers[:, 0])
    assert data.features[there, 0].mean() == pytest.approx(0.0, abs=1e-12)
    assert data.features[there, 0].std() == pytest.approx(1.0)
    assert (data.features[~there, 0] == 0.0).all() and (data.features[~there, 1] == 1.0).all()
    assert (data.features[:, 2:].sum(axis=1) == (whole.levels[:, 0] >= 0)).all()


def test_a_column_without_a_value_is_left_out_and_one_that_never_varies_is_zero() -> None:
    schema = Schema((Number("none", 0, 1), Number("same", 0, 9)), Label("y", "regression", 0, 10))
    whole = of_columns("odd", {"none": [None] * 9, "same": [4] * 9, "y": list(range(9))}, schema, "")
    for found in (preparation.pooled(whole), federated(whole, [np.arange(4), np.arange(4, 9)])):
        assert math.isnan(found.numbers[0].mean)
        data = found.apply(whole)
        assert data.feature_names == ("same",) and not data.features.any()
        assert data.target.std() == pytest.approx(1.0) and data.target_scale == pytest.approx(np.std(range(9)))
    with pytest.raises(DataError, match="'y' is the same in all training rows"):
        Preparation(9, (), {}, 3.0, 0.0).apply(whole)


def test_statistics_of_another_schema_are_refused() -> None:
    means = statistics(table())
    with pytest.raises(BadMessage, match="statistics have"):
        Preparation.of(Schema((Number("age", 0, 1),), Label("died", "classification")), means, 60)


@pytest.mark.slow
def test_rows_of_one_person_go_together_and_sites_are_balanced() -> None:
    whole = registry.load("randhie")
    assert len(whole.target) == 20_190 and len(whole.sites) == 6
    train, test = split(whole, 3)
    assert train.person is not None and test.person is not None and test.site is not None
    assert not set(train.person) & set(test.person)
    assert len(train.target) + len(test.target) == 20_190
    assert 0.19 < len(test.target) / 20_190 < 0.21
    assert 0.08 < whole.target.mean() < 0.10
    assert abs(test.target.mean() - train.target.mean()) < 0.01
    share = np.bincount(test.site) / np.bincount(whole.site)
    assert ((share > 0.15) & (share < 0.25)).all()


def test_small_sites_are_joined_and_nothing_is_lost() -> None:
    lung = registry.load("lung")
    assert lung.site is not None and lung.sites[-1] == OTHERS
    sizes = np.bincount(lung.site, minlength=len(lung.sites))
    assert sizes.sum() == 228 and sizes.min() >= 12
    whole = table(60, 7)
    assert whole.grouped(5) is whole
    joined = whole.grouped(9)
    assert joined.site is not None and len(joined.sites) < 7 and np.bincount(joined.site).sum() == 60
    with pytest.raises(ConfigurationError, match="has no sites to join"):
        registry.load("diabetes").grouped(10)


# One's own rows


def write(path: Path, **columns: list[Any]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))
    return str(path)


def rows(**changes: list[Any]) -> dict[str, list[Any]]:
    """36 rows of three hospitals that all is well with."""
    rng = np.random.default_rng(4)
    return {
        "hospital": ["north", "south", "west"] * 12,
        "age": [int(age) for age in rng.integers(20, 90, 36)],
        "ward": ["a", "b", ""] * 12,
        "died": ["0", "0", "0", "1", "1", "1"] * 6,
        "patient": list(range(36)),
        **changes,
    }


def config(data: str, **changes: Any) -> RunConfig:
    return RunConfig(data=data, **{"site": "hospital", "label": "died", "person": "patient", **changes})


def test_a_csv_file_becomes_hospitals(tmp_path: Path) -> None:
    here = hospitals.of_config(config(write(tmp_path / "rows.csv", **rows())))
    assert here.names == ("north", "south", "west") and here.train.task == "classification"
    assert [column.name for column in here.train.schema.columns] == ["age", "ward"]
    assert sum(map(len, here.parts)) + len(here.test.target) == 36


def test_a_parquet_file_is_read_alike(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(rows()).to_parquet(tmp_path / "rows.parquet")
    one = load(RowsSource(write(tmp_path / "rows.csv", **rows()), "hospital", "died", "patient"))
    other = load(RowsSource(str(tmp_path / "rows.parquet"), "hospital", "died", "patient"))
    assert one.schema == other.schema and one.sites == other.sites
    assert np.array_equal(one.numbers, other.numbers) and np.array_equal(one.levels, other.levels)


def test_a_folder_has_a_file_for_each_hospital(tmp_path: Path) -> None:
    for name in ("north", "south"):
        write(tmp_path / f"{name}.csv", age=[30, 40, 50], died=[0, 1, 0])
    found = load(RowsSource(str(tmp_path), label="died"))
    assert found.sites == ("north", "south") and len(found.target) == 6
    write(tmp_path / "west.csv", agee=[30], died=[1])
    with pytest.raises(DataError, match=r"'west' has other columns than 'north': missing \['age'\], extra \['agee'\]"):
        load(RowsSource(str(tmp_path), label="died"))


BESIDE = [
    "._north.csv",
    "~$north.csv",
    ".north.csv",
    "._north.parquet",
    "~$north.PARQUET",
    ".~lock.north.csv#",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "north.csv~",
    "north.ods",
    "README",
]
"""What systems, office programs and people leave beside the files of rows."""


def test_what_is_beside_the_files_of_rows_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("north", "south"):
        write(folder / f"{name}.csv", age=[30, 40, 50], died=[0, 1, 0])
    expected = load(RowsSource(str(folder), label="died"))
    assert not caplog.records
    for name in BESIDE:
        (folder / name).write_bytes(b"\x00\x05\x16\x07 no rows\xff")
    (folder / ".git").mkdir()
    found = load(RowsSource(str(folder), label="died"))
    assert found.sites == expected.sites == ("north", "south") and np.array_equal(found.numbers, expected.numbers)
    (said,) = caplog.records
    text = said.getMessage()
    assert said.levelname == "WARNING" and str(folder) in text
    for name in (".DS_Store", "Thumbs.db", "north.ods", "hidden or temporary", "none of .csv, .tsv, .xlsx"):
        assert name in text
    assert all(name in text for name in BESIDE if name.startswith("~$"))
    (folder / "north.csv").unlink()
    (folder / "south.csv").unlink()
    with pytest.raises(ConfigurationError, match="no file ends in"):
        load(RowsSource(str(folder), label="died"))
    with pytest.raises(DataError, match=r"\._north\.csv is not text"):  # the control: named, it is read
        load(RowsSource(str(folder / "._north.csv"), label="died", site="a"))


def test_of_many_other_files_some_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "north.csv", age=[30, 40, 50], died=[0, 1, 0])
    for number in range(20):
        (tmp_path / f"{number:02}.txt").touch()
    load(RowsSource(str(tmp_path), label="died"))
    assert "07.txt and 12 more (none of" in caplog.text and "08.txt" not in caplog.text


@pytest.mark.parametrize("same_time", [True, False])
def test_rows_that_were_rewritten_are_read_again(tmp_path: Path, same_time: bool) -> None:
    """Of the same size too, within one tick of the clock, in place or by a file of the same name."""

    def rewrite(path: Path, old: str, new: str, in_place: bool) -> None:
        before, text = path.stat(), path.read_text(encoding="utf-8")
        assert old in text and len(old) == len(new)
        if not in_place:
            path.unlink()
        path.write_text(text.replace(old, new), encoding="utf-8")
        if same_time:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def ages(one: RunConfig) -> float:
        here = hospitals.of_config(one)
        return float(np.concatenate([here.train.numbers[:, 0], here.test.numbers[:, 0]]).mean())

    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("north", "south", "west"):
        write(folder / f"{name}.csv", age=[30, 40] * 10, died=[0, 1] * 10)
    write(tmp_path / "rows.csv", hospital=["n", "s", "w"] * 20, age=[30, 40] * 30, died=[0, 1, 1, 0] * 15)
    one = RunConfig(data=str(tmp_path / "rows.csv"), site="hospital", label="died")
    many = RunConfig(data=str(folder), label="died")
    assert ages(one) == ages(many) == 35.0
    assert hospitals.of_config(one) is hospitals.of_config(one), "the control: what did not change is read once"
    for in_place, (old, new), mean in ((True, ("30", "50"), 45.0), (False, ("40", "60"), 55.0)):
        rewrite(tmp_path / "rows.csv", old, new, in_place)
        assert ages(one) == mean
        rewrite(folder / "south.csv", old, new, in_place)
        assert ages(many) == pytest.approx(35.0 + 20.0 * (0.5 if in_place else 1.0) / 3.0)
    assert fingerprint(str(tmp_path / "gone.csv")) != fingerprint(str(tmp_path / "rows.csv"))


def test_a_schema_that_was_rewritten_is_read_again(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.csv", **rows())
    schema = tmp_path / "schema.toml"
    schema.write_text(load(RowsSource(data, "hospital", "died", drop=("patient",))).schema.to_toml(), encoding="utf-8")
    one = RunConfig(data=data, site="hospital", label="died", schema_file=str(schema))
    before = hospitals.of_config(one).train.schema
    schema.write_text(schema.read_text(encoding="utf-8").replace('"a"', '"z", "a"'), encoding="utf-8")
    assert hospitals.of_config(one).train.schema.differences(before)


def test_an_error_in_a_folder_names_the_hospital_and_its_row(tmp_path: Path) -> None:
    write(tmp_path / "north.csv", age=[30, 40, 50, 60], died=[0, 1, 0, 1])
    write(tmp_path / "west.csv", age=[30, 40, "old"], died=[1, 0, 1])
    with pytest.raises(DataError, match="hospital west: column 'age', row 3: 'old' is not a number"):
        load(RowsSource(str(tmp_path), label="died"))


def test_an_index_that_pandas_keeps_is_no_feature(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows())
    frame[frame.age > 25].to_parquet(tmp_path / "rows.parquet")
    found = load(RowsSource(str(tmp_path / "rows.parquet"), "hospital", "died", "patient"))
    assert [column.name for column in found.schema.columns] == ["age", "ward"]


def test_options_and_a_schema_say_the_same(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.csv", **rows())
    drafted = load(RowsSource(data, "hospital", "died", "patient")).schema
    (tmp_path / "schema.toml").write_text(drafted.to_toml(), encoding="utf-8")
    for options, said in ((("0", ()), "positive is '0', but the schema's is '1'"), (("", ("age",)), "drop is age")):
        with pytest.raises(ConfigurationError, match=said):
            load(RowsSource(data, "hospital", "died", "patient", *options, str(tmp_path / "schema.toml")))


def test_long_numbers_have_a_range(tmp_path: Path) -> None:
    stamps = [1_700_000_000_1200 + row for row in range(36)]
    found = load(RowsSource(write(tmp_path / "rows.csv", **rows(age=stamps)), "hospital", "died", "patient"))
    (age,) = found.schema.numbers
    assert age.low <= min(stamps) and max(stamps) <= age.high


def test_a_drafted_schema_reads_back(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.csv", **rows())
    drafted = load(RowsSource(data, "hospital", "died", "patient")).schema
    (tmp_path / "schema.toml").write_text(drafted.to_toml(), encoding="utf-8")
    assert read(tmp_path / "schema.toml") == drafted
    assert load(RowsSource(data, "hospital", person="patient", schema=str(tmp_path / "schema.toml"))).schema == drafted


FAULTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"label": "dyed"}, "unknown column for label 'dyed'; did you mean 'died'"),
    ({}, {"site": "hopsital"}, "unknown column for site 'hopsital'; did you mean 'hospital'"),
    ({}, {"site": ""}, "site is not set"),
    ({}, {"label": ""}, "label is not set"),
    ({}, {"drop": "wrad"}, "unknown column for drop 'wrad'; did you mean 'ward'"),
    ({}, {"positive": "2"}, "unknown class of label 'died' '2'"),
    ({"age": [30] * 35 + ["old"]}, {}, "column 'age', row 36: 'old' is not a number"),
    ({"age": [30] * 35 + ["inf"]}, {}, "column 'age', row 36: inf; a finite number was expected"),
    ({"died": ["0", "1"] * 17 + ["0", ""]}, {}, "label 'died', row 36: no value"),
    ({"died": ["ill", "well"] * 18}, {}, "label 'died' has 2 classes: 'ill', 'well'; set positive to the one"),
    ({"hospital": ["north", "south"] * 17 + ["north", ""]}, {}, "the site of row 36 is empty"),
    ({"died": ["0", "1", "1", "0", "0", "1"] * 6}, {}, "label 'died' is 0 in all of its"),
    ({"hospital": ["north"] * 30 + ["south"] * 6}, {"one_class": True}, "hospital 'south' has"),
    ({"ward": [f"w{row}" for row in range(36)]}, {"drop": ""}, ""),
    ({"died": ["0", "nan"] * 18}, {}, "label 'died', row 2: no value"),
    (
        {"died": [0, 1, 2] * 12},
        {},
        "label 'died' has 3 values ('0', '1', '2'), which may be classes or numbers: set positive",
    ),
    ({"died": [0.5 + row for row in range(35)] + ["inf"]}, {}, "column 'died' goes from 0.5 to inf"),
    ({"died": ["0"] * 36}, {"one_class": True}, "label 'died' is 0 in all"),
    ({"age": ["1e308", "-1e308"] * 18}, {}, "values and their range must be finite"),
    ({"age": ["1_0"] * 5 + [30] * 31}, {}, "column 'age', row 1: '1_0' is not a number"),
    ({"age": [f"{row + 1},500" for row in range(36)]}, {}, "column 'age': '1,500' may be 1.500 or 1500: write decimal"),
    ({"age": [*["1,5", "2.5"] * 18]}, {}, "column 'age' has numbers with decimal commas and others with points, '2.5'"),
    ({"ward": ["a", "b" * 200, "a"] * 12}, {}, "the longest of 200 letters"),
    ({"patient": ["", 1, 2] * 12}, {}, "the person of row 1 is empty (12 of 36 rows have none)"),
    ({}, {"person": "died"}, "person and label are both 'died'"),
    ({}, {"site": "died"}, "site and label are both 'died'"),
    ({}, {"drop": "died"}, "drop has 'died', which is the label"),
    ({"age": [""] * 36}, {}, "column 'age' has no value in any of 36 rows"),
]


@pytest.mark.parametrize(("changes", "options", "said"), FAULTS)
def test_what_is_wrong_with_one_s_rows_is_said(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    whole = config(write(tmp_path / "rows.csv", **rows(**changes)), **options)
    if not said:
        assert len(hospitals.of_config(whole).train.schema.categories[0].levels) == 36
        return
    with pytest.raises((ConfigurationError, DataError)) as told:
        hospitals.of_config(whole)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('[label]\nname = "died"\n[columns.age]\nlow = 0\nhigh = 50\n', "the schema allows 0 to 50"),
        ('[label]\nname = "died"\n[columns.size]\nlow = 0\nhigh = 50\n', "columns ['size'] of the schema are missing"),
        ('[label]\nname = "died"\n[columns.ward]\nlevels = ["a"]\n', "'b' is not among the schema's levels: a"),
        (
            '[label]\nname = "dead"\n[columns.age]\nlow = 0\nhigh = 150\n',
            "label is 'died', but the schema's label is 'dead'",
        ),
        ('[label]\nname = "died"\n[columns.age]\nlow = 9\nhigh = 9\n', "low must be below high"),
        ("[label\n", "is not TOML"),
        ('[label]\nname = "died"\n', "it must have the tables [label] and [columns.NAME]"),
    ],
)
def test_rows_that_a_schema_does_not_allow_are_refused(tmp_path: Path, schema: str, said: str) -> None:
    (tmp_path / "schema.toml").write_text(schema, encoding="utf-8")
    whole = config(write(tmp_path / "rows.csv", **rows()), schema_file=str(tmp_path / "schema.toml"))
    with pytest.raises((ConfigurationError, DataError)) as told:
        hospitals.of_config(whole)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", b"", "no rows"),
        ("rows.csv", b"a,b\n", "no rows"),
        ("rows.csv", b"a,b\n1\n", "row 1"),
        ("rows.csv", b"63,1.5\n40,2\n", "has no names of columns: its first row holds numbers alone"),
        ("rows.csv", b"a,a\n1,2\n", "twice"),
        ("rows.csv", b"a;b\n1;2;3;4\n", "row 1 has 4 cells, but the header has 2"),
        ("rows.csv", b",a,b\n7,1,2\n", "the first column has no name: name it, or save without the names of rows"),
        ("rows.csv", b'a,b\n1,"2\n', "EOF inside string"),
        ("rows.csv", b"\xff\xfe\x00", "is not text in UTF-8, UTF-16 or Windows-1252"),
        ("rows.csv", b"\x1f\x8b no gzip", "is not a whole gzip file"),
        ("rows.parquet", b"nothing", "rows.parquet"),
        ("rows.xlsx", b"", "rows.xlsx"),
        ("rows.dta", b"nothing", "cannot be read as Stata"),
        ("rows.ods", b"", "has the suffix .ods: save it as CSV (known are .csv, .tsv, .xlsx, .dta"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ConfigurationError, DataError)) as told:
        load(RowsSource(str(tmp_path / name), "a", "b"))
    assert said in str(told.value)


def test_a_file_that_is_not_there_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(RowsSource(str(tmp_path / "gone.csv"), "a", "b"))
    with pytest.raises(ConfigurationError, match=r"no file ends in one of \.csv, "):
        load(RowsSource(str(tmp_path), label="b"))


def test_options_about_a_file_need_one() -> None:
    with pytest.raises(ConfigurationError, match=r"site is .*, but there are no rows for it: set data"):
        RunConfig.read({"site": "hospital"})
    with pytest.raises(ConfigurationError, match="partition is 'natural', but diabetes has no sites"):
        hospitals.of_config(RunConfig(dataset="diabetes", partition="natural"))


@pytest.mark.slow
def test_a_data_set_of_sites_fixes_the_number_of_hospitals() -> None:
    with pytest.raises(ConfigurationError, match="clients is 4, but randhie has 6 sites"):
        hospitals.of_config(RunConfig(dataset="randhie"), 4)
