"""Files as hospitals have them: each gives what pandas computes on the rows that a careful person would read, or one
message with all that is wrong with it and the cures; and with the cures, the figures of pandas.

No person stands behind a row of `tables/`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from fedsec.data import preparation
from fedsec.data.files import RowsSource, draft_text, load, load_hospital
from fedsec.data.row_files import format_of
from fedsec.data.schema import parse
from fedsec.data.table import Table
from fedsec.errors import ConfigurationError, DataError, FedsecError

TABLES = Path(__file__).parent / "tables"
MISSING = ["NA", ".", ""]
READER = {".xlsx": "openpyxl", ".xpt": "pyreadstat", ".sav": "pyreadstat", ".parquet": "pyarrow"}
"""The packages of extras that formats need."""
Frame = Any


def same(frame: Frame) -> Frame:
    return frame


def excel(path: Path) -> Frame:
    return pandas.read_excel(path)


def csv(**options: Any) -> Callable[[Path], Frame]:
    return lambda path: pandas.read_csv(path, **{"na_values": MISSING, **options})


def sas(path: Path) -> Frame:
    import pyreadstat  # pandas reads versions 5 and 6 alone

    return pyreadstat.read_xport(path)[0]


def spss(path: Path) -> Frame:
    return pandas.read_spss(path)


@dataclass(frozen=True)
class Case:
    """A file, how pandas reads it, and what is said of it.

    refused: parts of the message without options; none where it is read as it is. options: the cures. careful: what a
    careful person does to pandas' frame. said: parts of notes and suspicions, in all.
    """

    name: str
    read: Callable[[Path], Frame] = field(default_factory=csv)
    label: str = "died"
    positive: Any = 1
    refused: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    careful: Callable[[Frame], Frame] = same
    said: tuple[str, ...] = ()
    person: str = "patient"


def without(*names: str) -> Callable[[Frame], Frame]:
    return lambda frame: frame.drop(columns=list(names))


def lower(frame: Frame) -> Frame:
    return frame.assign(died=frame.died.str.strip().str.lower())


def named(frame: Frame) -> Frame:
    frame = frame.rename(columns=str.strip).drop(columns="Unnamed: 0")
    return frame.assign(ward=frame.ward.str.strip().str.lower())


def days(form: str | None = None, since: str = "2021-01-01", **read: Any) -> Callable[[Frame], Frame]:
    def careful(frame: Frame) -> Frame:
        admitted = pandas.to_datetime(frame.admitted, format=form, **read)
        return frame.assign(admitted=(admitted - pandas.Timestamp(since)).dt.days)

    return careful


SINCE = {"dates": ("admitted=days since 2021-01-01",)}
DATES = ("column 'admitted' has dates", "set dates to 'admitted=drop', 'admitted=days since 2020-01-01'")
CASES = [
    Case(
        "01_german_excel.csv",
        csv(sep=";", decimal=","),
        refused=DATES,
        options=SINCE,
        careful=days("%d.%m.%Y"),
        said=("semicolons between cells, decimal commas in age, creatinine, sbp", "'admitted' becomes days since"),
    ),
    Case(
        "02_dates.csv",
        refused=DATES,
        options=SINCE,
        careful=days("%m/%d/%Y"),
        said=("dates with the month before day in admitted", "becomes days since 2021-01-01"),
    ),
    Case("02b_excel_serial.csv", said=("column 'admitted' may hold days as Excel counts them, 44199 to 44896",)),
    Case(
        "02b_excel_serial.csv",
        options=SINCE,
        careful=days(unit="D", origin="1899-12-30"),
        said=("column 'admitted' becomes days since 2021-01-01",),
    ),
    Case(
        "03_mixed_ids.csv", csv(dtype={"hospital": str}), said=("sites that look alike: '01' and '1'; '3' and '3.0'",)
    ),
    Case(
        "04_missing_codes.csv",
        said=("column 'sbp' has '999' (15), '-99' (8), '-9' (13) far from", "then set missing to 999,-99,-9"),
    ),
    Case(
        "04_missing_codes.csv",
        csv(na_values=[*MISSING, "999", "-99", "-9", "unknown"]),
        options={"missing": ("999", "-99", "-9", "unknown")},
    ),
    Case(
        "04b_minus9.csv",
        said=("column 'creatinine' has '-9' (64) far from its other values", "column 'sbp' has '-9' (69)"),
    ),
    Case("04b_minus9.csv", csv(na_values=["-9"]), options={"missing": ("-9",)}),
    Case("04c_NA.csv"),
    Case("06_tiny_site.csv", said=("hospitals with fewer than 10 rows: 'tiny' (2); leave them out, or join",)),
    Case("06b_one_class.csv", said=("hospital 'centre' has no row of class 1 among 59",)),
    Case("07_yesno.csv", positive="yes", said=("label 'died': 'yes' counts as 1, and 'no' as 0",)),
    Case("07_yesno.csv", positive="no", options={"positive": "no"}, said=("'no' counts as 1, and 'yes' as 0",)),
    Case("07b_label12.csv", positive=2, said=("label 'died': '2' counts as 1, and '1' as 0",)),
    Case("07d_TRUEFALSE.csv", positive=True, said=("label 'died': 'TRUE' counts as 1, and 'FALSE' as 0",)),
    Case(
        "07e_label_missing.csv",
        refused=("label 'died', row 2: no value (34 of 600 rows have none)", "leave these rows out (drop-unlabelled"),
        options={"drop_unlabelled": True},
        careful=lambda frame: frame.dropna(subset="died"),
        said=("34 of 600 rows have no label 'died' and were left out",),
    ),
    Case(
        "07f_label_dirty.csv",
        positive="yes",
        careful=lower,
        said=("'yes' counts as 1", "label 'died': read as classes that differ in case alone: 'Yes' (1)"),
    ),
    Case(
        "08_quotes_newlines.csv",
        refused=("column 'note' has 600 different words", "add the column to drop"),
        options={"drop": ("note",)},
        careful=without("note"),
    ),
    Case("09_latin1.csv", csv(encoding="latin-1"), said=("encoding cp1252",)),
    Case("10_nullable.parquet", pandas.read_parquet, positive=True, said=("'True' counts as 1, and 'False' as 0",)),
    Case(
        "10b_datetime.parquet",
        pandas.read_parquet,
        positive=True,
        refused=DATES,
        options={"dates": ("drop",)},
        careful=without("admitted"),
        said=("'True' counts as 1",),
    ),
    Case(
        "14_multiclass.csv",
        label="triage",
        positive="red",
        refused=("label 'triage' has 3 classes: 'green', 'red', 'yellow'", "set positive to the one"),
        options={"positive": "red"},
        said=("'red' counts as 1, and 'green', 'yellow' as 0",),
    ),
    Case(
        "14b_count.csv",
        label="los",
        positive=None,
        refused=("label 'los' has 10 values", "or task to multiclass, count or regression"),
        options={"task": "regression"},
    ),
    Case("14b_count.csv", label="los", positive=None, options={"task": "count"}),
    Case("14c_survival.csv", label="event"),
    Case(
        "14c_survival.csv",
        label="days",
        positive=None,
        options={"event": "event"},
        careful=without("event"),
        said=("label 'days': times to the event, or to when a row was last seen without it",),
    ),
    Case("15_book.xlsx", excel, said=("sheet Sheet1",)),
    Case("15b.dta", pandas.read_stata),
    Case("15c.xpt", sas),
    Case("15d.sav", spss),
    Case("15e.csv.gz", said=("gzip",)),
    Case("15f.tsv", csv(sep="\t"), said=("tabs between cells",)),
    Case(
        "17_codes.csv",
        csv(dtype={"zip": str}),
        refused=("column 'icd' has 782 different words",),
        options={"drop": ("icd",)},
        careful=without("icd"),
        said=("column 'zip' holds codes that begin with 0",),
    ),
    Case(
        "18_names.csv",
        careful=named,
        said=(
            "the column 'Unnamed: 0', which numbers the rows, left out",
            "column 'ward': read as levels that differ in case alone: 'SURGERY' (16)",
        ),
    ),
    Case(
        "19_outlier.csv",
        refused=("column 'creatinine', row 4: 1e+30; the schema allows 0 to 5 (1 of 600 values are outside)",),
        options={"missing": ("1e30",)},
        careful=lambda frame: frame.replace(1e30, np.nan),
    ),
    Case("22_cost.csv", label="cost", positive=None),
    Case("32b_NA_mostly.csv"),
]


def source(case: Case, **options: Any) -> RowsSource:
    return RowsSource(str(TABLES / case.name), "hospital", case.label, case.person, **options)


def need(case: Case) -> None:
    """Skip where the package that reads the format is not installed."""
    if package := READER.get(format_of(Path(case.name))):
        pytest.importorskip(package)


def assert_as_pandas_has_it(found: Table, frame: Frame, case: Case) -> None:
    """Every count, share, mean and deviation of every column and of the label, and the sites."""
    pooled, features = preparation.pooled(found), frame.drop(columns=["hospital", "patient", case.label])
    assert [column.name for column in found.schema.columns] == list(features.columns)
    assert pooled.rows == len(frame)
    for one in pooled.numbers:
        values = pandas.to_numeric(frame[one.name]).astype("Float64").dropna().astype(float)
        assert round(one.present * len(frame)) == len(values)
        assert one.mean == pytest.approx(values.mean(), rel=1e-12)
        assert one.deviation == pytest.approx(values.std(ddof=0), rel=1e-12)
    for name, levels in pooled.levels.items():
        counts = frame[name].value_counts(normalize=False).to_dict()
        assert {level: round(share * len(frame)) for level, share in levels.items()} == counts
    label = frame[case.label] if case.positive is None else frame[case.label] == case.positive
    assert pooled.target_mean == pytest.approx(label.astype(float).mean(), rel=1e-12)
    assert sorted(found.sites) == sorted({str(site).strip() for site in frame.hospital})


def test_every_file_is_a_case() -> None:
    assert {case.name for case in CASES} == {path.name for path in TABLES.iterdir()} and len(
        list(TABLES.iterdir())
    ) == 32


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{'-'.join(case.options)}")
def test_a_file_gives_the_figures_of_pandas_or_one_message(case: Case) -> None:
    need(case)
    if case.refused:
        with pytest.raises(FedsecError) as told:
            load(source(case))
        assert all(part in str(told.value) for part in case.refused), told.value
    found = load(source(case, **case.options))
    assert_as_pandas_has_it(found, case.careful(case.read(TABLES / case.name)), case)
    told_of = "\n".join([*found.notes, *map(str, found.suspicions)])
    for part in case.said:
        assert part in told_of
    assert bool(told_of) == bool(case.said), "what nothing is to be said of, nothing is said of"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{'-'.join(case.options)}")
def test_a_schema_is_drawn_up_for_every_file_and_reads_it_alike(case: Case, tmp_path: Path) -> None:
    """What was found out stands in it: no option is needed besides, and a hospital reads its own file by it."""
    need(case)
    text = draft_text(source(case, **case.options), 0)
    (tmp_path / "schema.toml").write_text(text, encoding="utf-8")
    by_options, schema = load(source(case, **case.options)), str(tmp_path / "schema.toml")
    by_schema = load(RowsSource(str(TABLES / case.name), "hospital", person=case.person, schema=schema))
    assert by_schema.schema == by_options.schema == parse(text, "here")
    own = load_hospital(TABLES / case.name, tmp_path / "schema.toml")
    for one in (by_schema, own):
        assert np.array_equal(one.numbers, by_options.numbers, equal_nan=True)
        assert np.array_equal(one.levels, by_options.levels) and np.array_equal(one.target, by_options.target)
    if case.refused:  # without the cures too, as far as it goes
        tomllib.loads(draft_text(source(case), 0))


SUSPICIOUS = [
    case for case in CASES if any("look" in one or "far from" in one or "hospital" in one for one in case.said)
]


@pytest.mark.parametrize("case", SUSPICIOUS, ids=lambda case: case.name)
def test_strict_makes_a_suspicion_an_error(case: Case) -> None:
    expected = load(source(case, **case.options)).suspicions
    with pytest.raises(DataError) as told:
        load(source(case, **case.options, strict=True))
    assert expected and all(str(one) in str(told.value) for one in expected)


def test_all_that_is_wrong_is_in_one_message(tmp_path: Path) -> None:
    """Each with its cure: with the cures the file is read."""
    lines = ["site;who;lactate;icd;seen;empty;died"]
    for row in range(60):
        lactate = ["1,5", "2,25", "<1" if row < 12 else "1,0"][row % 3]
        site, who = "" if row == 7 else "abc"[row % 3], "" if row == 9 else row
        lines.append(f"{site};{who};{lactate};I{row};{row % 28 + 1}.05.2021;;{['no', 'yes', ''][row % 3]}")
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as told:
        load(RowsSource(str(path), "site", "died", "who"))
    text = str(told.value)
    assert text.startswith("rows has 7 problems:\n  1. ") and text.count("\n") == 7
    for part in (
        "column 'icd' has 60 different words",
        "column 'seen' has dates",
        "column 'empty' has no value in any of 60 rows",
        "column 'lactate', row 3: '<1' is not a number (4 of 60 are not: '<1' (4))",
        "label 'died', row 3: no value (20 of 60",
        "the site of row 8 is empty (1 of 60",
        "the person of row 10 is empty (1 of 60",
    ):
        assert part in text
    path.write_text("\n".join(lines).replace("\n;", "\na;").replace(";;1,5", ";9;1,5"), encoding="utf-8")
    cured = {"drop": ("icd", "empty"), "dates": ("drop",), "missing": ("<1",), "drop_unlabelled": True}
    found = load(RowsSource(str(path), "site", "died", "who", **cured))
    assert len(found.target) == 40 and [column.name for column in found.schema.columns] == ["lactate"]


ROWS = "hospital,age,Größe\n" + "".join(f"h{row % 3},{20 + row},{1 + row / 100}\n" for row in range(30))
PACKED: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def zipped(data: bytes) -> bytes:
    place = io.BytesIO()
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("rows.csv", data)
    return place.getvalue()


@pytest.mark.parametrize("packed", ["", *PACKED, "zip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_text_is_read_however_it_is_written(delimiter: str, encoding: str, packed: str, tmp_path: Path) -> None:
    data = ROWS.replace(",", delimiter).encode(encoding)
    data = zipped(data) if packed == "zip" else PACKED.get(packed, bytes)(data)
    path = tmp_path / f"rows.csv{f'.{packed}' if packed else ''}"
    path.write_bytes(data)
    found = load(RowsSource(str(path), "hospital", "Größe"))
    assert found.name == "rows" and found.target.tolist() == [1 + row / 100 for row in range(30)]
    assert found.numbers[:, 0].tolist() == [20.0 + row for row in range(30)]
    words = {",": "", ";": "semicolons", "\t": "tabs", "|": "strokes"}[delimiter]
    assert words in str(found.notes) and (
        encoding == "utf-8" or "byte-order mark" in str(found.notes) or encoding in str(found.notes)
    )


def test_r_s_names_of_rows_are_no_column(tmp_path: Path) -> None:
    """As write.csv and write.table write them: with an empty name above, and with none."""
    body = "".join(f'"{row}","{"abc"[row % 3]}",{row * row},{row % 2}\n' for row in range(1, 31))
    for header in ('"","site","age","died"\n', '"site","age","died"\n'):
        (tmp_path / "rows.csv").write_text(header + body, encoding="utf-8")
        found = load(RowsSource(str(tmp_path / "rows.csv"), "site", "died"))
        assert [column.name for column in found.schema.columns] == ["age"] and len(found.target) == 30
        assert "numbers the rows, left out" in found.notes[0]


def test_codes_for_missing_values_are_no_values_of_any_type(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"site": list("abc") * 10, "age": [-9, 50, 60] * 10, "died": [0, 1] * 15})
    frame.to_parquet(tmp_path / "whole.parquet")
    frame.astype({"age": float}).to_feather(tmp_path / "float.feather")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for name in ("whole.parquet", "float.feather", "rows.csv"):
        found = load(RowsSource(str(tmp_path / name), "site", "died", missing=("-9.0",)))
        assert (
            np.isnan(found.numbers[::3]).all() and np.nanmin(found.numbers) == 50 and found.schema.missing == ("-9.0",)
        )


@pytest.mark.parametrize(
    ("choice", "expected"), [("age at 2021-01-01", 21.0), ("age at seen", 20.5), ("days since 1999-12-31", 1.0)]
)
def test_a_date_becomes_what_was_chosen(choice: str, expected: float, tmp_path: Path) -> None:
    lines = "".join(f"{'abc'[row % 3]},2000-01-{1 + row % 2:02},{row % 28 + 1}/7/2020,{row % 2}\n" for row in range(30))
    (tmp_path / "rows.csv").write_text("site,born,seen,died\n" + lines, encoding="utf-8")
    found = load(RowsSource(str(tmp_path / "rows.csv"), "site", "died", drop=("seen",), dates=(f"born={choice}",)))
    (born,) = found.schema.numbers
    assert born.date == choice and found.numbers[0, 0] == pytest.approx(expected, abs=0.05)
    assert f"column 'born' becomes {choice}" in found.notes


def test_dates_that_can_be_read_in_two_ways_are_refused(tmp_path: Path) -> None:
    for mark in "/-":
        lines = "".join(f"{'abc'[row % 3]},{row % 12 + 1}{mark}7{mark}2020,{row % 2}\n" for row in range(30))
        (tmp_path / "rows.csv").write_text("site,seen,died\n" + lines, encoding="utf-8")
        source = RowsSource(str(tmp_path / "rows.csv"), "site", "died", dates=("seen=days since 2020-01-01",))
        with pytest.raises(DataError, match=r"column 'seen': '1.7.2020' and other dates .* two ways, for no day is"):
            load(source)


@pytest.mark.parametrize(
    "form", ["%d.%m.%y", "%m/%d/%y", "%d-%m-%y", "%y-%m-%d", "%d%b%y", "%d-%b-%y", "%d.%m.%y %H:%M"]
)
def test_years_of_two_digits_are_refused_for_their_century_is_open(form: str, tmp_path: Path) -> None:
    """Excel takes 47 as 1947, R as 2047: neither is believed, whether dates are asked for or not."""
    born = pandas.Timestamp("1931-05-22") + pandas.to_timedelta(np.arange(0, 24_000, 600), unit="D")
    frame = pandas.DataFrame({"site": list("abcd") * 10, "born": born.strftime(form), "age": range(40)})
    frame.assign(died=[0, 1] * 20).to_csv(tmp_path / "rows.csv", index=False)
    said = f"column 'born' has dates with two digits for the year, '{frame['born'][0]}' and others, which leave the"
    for choices in ((), ("born=age at 2020-01-01",), ("born=days since 2020-01-01",)):
        with pytest.raises(DataError) as raised:
            load(RowsSource(str(tmp_path / "rows.csv"), "site", "died", dates=choices))
        assert said in str(raised.value) and "write years with four digits" in str(raised.value)
    left = load(RowsSource(str(tmp_path / "rows.csv"), "site", "died", dates=("drop",)))
    assert [column.name for column in left.schema.columns] == ["age"]


def test_words_of_digits_are_no_dates_of_two_digits(tmp_path: Path) -> None:
    """Codes beside a few that could be dates stay words; with four digits in most rows, the one cell is named."""
    codes = ["12-13-14", "33.40.51", "1.2.3", "10:30:22"] * 10
    born = ["1947-02-01"] * 39 + ["01.02.47"]
    frame = pandas.DataFrame({"site": list("abcd") * 10, "code": codes, "born": born, "died": [0, 1] * 20})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    source = RowsSource(str(tmp_path / "rows.csv"), "site", "died", dates=("born=age at 2020-01-01",))
    with pytest.raises(DataError, match=r"column 'born', row 40: '01\.02\.47' is not a date") as raised:
        load(source)
    assert "code" not in str(raised.value)


def test_a_column_that_names_patients_is_told_of_person(tmp_path: Path) -> None:
    """And one of many words that come again is not."""
    frame = pandas.DataFrame({"site": list("abcd") * 60, "died": [0, 1] * 120})
    frame["mrn"] = [f"P{row}" for row in range(240)]
    frame["icd"] = [f"I{row % 80}" for row in range(240)]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError) as raised:
        load(RowsSource(str(tmp_path / "rows.csv"), "site", "died"))
    said = str(raised.value)
    assert "letters: set person to it if it names patients, add the column to drop" in said
    assert said.count("set person") == 1 and "column 'icd' has 80 different words" in said


@pytest.mark.parametrize(
    ("suffix", "cure"),
    [
        (".sas7bdat", "SAS's own format, which is not read: export it as CSV (proc export) or SAS transport, .xpt"),
        (".SAS7BDAT", "SAS's own format"),
        (".xls", "save it as .xlsx or CSV"),
        (".rds", 'write.csv(rows, "rows.csv", row.names = FALSE)'),
        (".RData", "R's own format"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_its_cure(suffix: str, cure: str, tmp_path: Path) -> None:
    (tmp_path / f"rows{suffix}").write_bytes(b"anything")
    with pytest.raises(ConfigurationError) as raised:
        load(RowsSource(str(tmp_path / f"rows{suffix}"), "site", "died"))
    assert cure in str(raised.value) and f"rows{suffix} is in " in str(raised.value)


def test_words_that_look_like_missing_values_and_are_none(tmp_path: Path) -> None:
    """Sodium beside potassium, and a rhesus factor; with a schema that has them, a hospital reads them alike."""
    lines = "".join(f"{'abc'[row % 3]},{['Na', 'K', 'NA'][row % 3]},{'+-'[row % 2]},{row % 2}\n" for row in range(30))
    (tmp_path / "rows.csv").write_text("site,ion,rhesus,died\n" + lines, encoding="utf-8")
    found = load(RowsSource(str(tmp_path / "rows.csv"), "site", "died"))
    assert [column.levels for column in found.schema.categories] == [("K", "Na"), ("+", "-")]
    assert found.levels[:3].tolist() == [[1, 0], [0, 1], [-1, 0]]
    (tmp_path / "schema.toml").write_text(found.schema.to_toml(), encoding="utf-8")
    (tmp_path / "rows.csv").write_text("ion,rhesus,died\nna,-,0\nNA,+,1\n", encoding="utf-8")
    assert load_hospital(tmp_path / "rows.csv", tmp_path / "schema.toml").levels.tolist() == [[1, 1], [-1, 0]]


def test_files_of_statistics_packages_with_labels_and_dates(tmp_path: Path) -> None:
    """Values that a package names come as these names, and its dates as dates, with its missing values left out."""
    pyreadstat = pytest.importorskip("pyreadstat")
    seen = pandas.date_range("2021-01-01", periods=30)
    frame = pandas.DataFrame(
        {"site": list("abc") * 10, "sex": [1.0, 2.0, np.nan] * 10, "seen": seen, "died": [0, 1] * 15}
    )
    names = {"sex": {1.0: "female", 2.0: "male"}}
    pyreadstat.write_sav(frame, str(tmp_path / "rows.sav"), variable_value_labels=names)
    pyreadstat.write_xport(frame, str(tmp_path / "rows.xpt"), file_format_version=5)
    labelled = frame.assign(sex=frame.sex.map(names["sex"]).astype("category"))
    labelled.to_stata(tmp_path / "rows.dta", write_index=False)
    labelled.to_excel(tmp_path / "rows.xlsx", index=False)
    days = {"dates": ("seen=days since 2021-01-01",)}
    for name in ("rows.sav", "rows.dta", "rows.xlsx", "rows.xpt"):
        found = load(RowsSource(str(tmp_path / name), "site", "died", **days))
        assert found.numbers[:, -1].tolist() == list(range(30)) and found.sites == ("a", "b", "c")
        if name != "rows.xpt":  # SAS transport holds no names of values
            assert found.schema.categories[0].levels == ("female", "male")
            assert found.levels[:3, 0].tolist() == [0, 1, -1]
    with pandas.ExcelWriter(tmp_path / "two.xlsx") as book:
        frame.to_excel(book, sheet_name="rows", index=False)
        frame.to_excel(book, sheet_name="older", index=False)
    with pytest.raises(DataError, match="has 2 sheets with cells, rows, older: leave one"):
        load(RowsSource(str(tmp_path / "two.xlsx"), "site", "died"))


def test_a_workbook_as_people_leave_them(tmp_path: Path) -> None:
    """Empty rows and columns around, dates and truth values among the cells; a column without a name is refused."""
    openpyxl = pytest.importorskip("openpyxl")
    for name in ("age", None):
        book = openpyxl.Workbook()
        sheet, _ = book.active, book.create_sheet("empty")
        for row in (
            [],
            [None, "site", name, None, "died"],
            *([None, "abc"[n % 3], n + 0.5, None, n % 2 == 0] for n in range(30)),
        ):
            sheet.append(row)
        book.save(tmp_path / "rows.xlsx")
        source = RowsSource(str(tmp_path / "rows.xlsx"), "site", "died")
        if name:
            found = load(source)
            assert (
                found.numbers[:, 0].tolist() == [n + 0.5 for n in range(30)]
                and found.target.tolist() == [1.0, 0.0] * 15
            )
        else:
            with pytest.raises(DataError, match="empty name"):
                load(source)


def test_each_hospital_writes_dates_in_its_own_order(tmp_path: Path) -> None:
    """And all columns of one file are in the same."""
    forms = {"east": "%d/%m/%Y", "north": "%m/%d/%Y", "west": "%Y-%m-%d"}
    days = pandas.date_range("2021-01-01", periods=60)
    for name, form in forms.items():
        born = [f"{pandas.Timestamp('2000-03-05'):{form}}"] * 60  # alone it could be in March or in May
        died = [row % 2 for row in range(60)]
        pandas.DataFrame({"seen": days.strftime(form), "born": born, "died": died}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    choices = ("seen=days since 2021-01-01", "born=days since 2000-03-05")
    found = load(RowsSource(str(tmp_path), label="died", dates=choices))
    assert found.numbers[:, 0].tolist() == [*range(60)] * 3 and not found.numbers[:, 1].any()
    assert "east.csv: dates with the day before month in seen and born" in found.notes
