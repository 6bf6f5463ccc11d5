"""Rows from CSV or parquet: one file with a column of sites, or a folder with a file for each hospital."""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsec import extras
from fedsec.data.row_files import SUFFIXES, not_read, row_files
from fedsec.data.schema import MOST_LEVELS, Category, Label, Number, Schema, read
from fedsec.data.table import Table, as_number, is_gap, of_columns, word
from fedsec.errors import ConfigurationError, DataError, expect, expect_path, home_expanded, unknown

LOG = logging.getLogger(__name__)
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index that it keeps beside the columns."""
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
LONGEST_WORD, FEW_CLASSES = 80, 10
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class RowsSource:
    """Where the rows are, and which columns say what.

    data: a CSV or parquet file, or a folder of such files, one a hospital: hidden and temporary files, and files of
    other kinds, are left out with a warning in the log. site: the column of hospitals; none with a
    folder. label: the column to predict, and positive: its class that counts as 1. person: the column that says which
    rows belong together. drop: columns that are no features. schema: a TOML file; where there is none, the schema is
    drawn up from all rows together, which only a simulation can do.
    """

    data: str
    site: str = ""
    label: str = ""
    person: str = ""
    positive: str = ""
    drop: tuple[str, ...] = ()
    schema: str = ""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            kind, what = (tuple, "a tuple of names") if name == "drop" else (str, "a text")
            expect(name, value, kind, what)
            for one in value if name == "drop" else (value,):
                expect(name, one, str, what)
                if "\0" in one:
                    raise ConfigurationError(f"{name} is {one!r}; a text without a null character was expected")


def load(source: RowsSource) -> Table:
    """The table; raises ConfigurationError or DataError naming path, column, row and value."""
    expect("source", source, RowsSource, "a RowsSource")
    path = home_expanded("data", Path(source.data))
    try:
        path.stat()
    except FileNotFoundError:
        raise ConfigurationError(f"data {path} cannot be read: there is no such file or folder") from None
    except OSError as error:
        raise ConfigurationError(f"data {path} cannot be read: {error.strerror}") from error
    parts: dict[str, Columns] = {}
    if path.is_dir():
        columns, site, parts = _folder(path, source)
    else:
        columns = read_columns(path)
        if not source.site:
            raise ConfigurationError(f"site is not set: name the column of {path.name} that holds each row's hospital")
        site = _column(path, columns, "site", source.site)
    schema = read(home_expanded("schema", Path(source.schema))) if source.schema else None
    label = source.label or (schema.label.name if schema else "")
    if not label:
        raise ConfigurationError(f"label is not set: name the column of {path.name} to predict")
    _column(path, columns, "label", label)
    if schema is not None and schema.label.name != label:
        raise ConfigurationError(f"label is {label!r}, but the schema's label is {schema.label.name!r}: use one name")
    person = _column(path, columns, "person", source.person) if source.person else None
    for name in source.drop:
        _column(path, columns, "drop", name)
    _check_roles(source, label, schema)
    if schema is None:
        left_out = {source.site, source.person, label, *source.drop}
        schema = draw_up(
            {name: values for name, values in columns.items() if name not in left_out},
            label,
            columns[label],
            source.positive,
        )
    for hospital, part in parts.items():  # so that an error names the hospital, and its own row
        of_columns(f"{path.stem}, hospital {hospital}", part, schema, "")
    return of_columns(path.stem, columns, schema, str(path), site, person)


def load_hospital(path: Path, schema: Path) -> Table:
    """One hospital's rows from a file of its own, by the schema that all hospitals agreed on.

    Raises ConfigurationError or DataError naming path, column, row and value.
    """
    path = expect_path("data", path)
    return of_columns(path.stem, read_columns(path), read(schema), str(path))


def _check_roles(source: RowsSource, label: str, schema: Schema | None) -> None:
    """Raise ConfigurationError where one column has two parts to play, or options and schema say different things."""
    roles = {"label": label, "site": source.site, "person": source.person}
    for one, other in (("person", "label"), ("person", "site"), ("site", "label")):
        if roles[one] and roles[one] == roles[other]:
            raise ConfigurationError(f"{one} and {other} are both {roles[one]!r}: name two different columns")
    for role, column in roles.items():
        if column and column in source.drop:
            raise ConfigurationError(f"drop has {column!r}, which is the {role}: take it off the list")
    if schema is not None and source.drop:
        raise ConfigurationError(
            f"drop is {', '.join(source.drop)}, but a schema is given: leave these columns out of the schema"
        )
    if schema is not None and source.positive and source.positive != schema.label.positive:
        raise ConfigurationError(
            f"positive is {source.positive!r}, but the schema's is {schema.label.positive!r}: use one class"
        )


def read_columns(path: Path) -> Columns:
    """The columns of a CSV or parquet file as they are; in CSV all are words."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(
            f"data {path} has {f'the suffix {path.suffix}' if path.suffix else 'no suffix'}: save it as "
            f"{' or '.join(SUFFIXES)}"
        )
    try:
        columns = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except OSError as error:
        raise ConfigurationError(f"data {path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data {path} is not CSV in UTF-8: {error}; save it as UTF-8") from error
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"data {path} has no rows below the header")
    return columns


def _csv(path: Path) -> Columns:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        names = [name.strip() for name in next(lines, [])]
        rows = [row for row in lines if row]
    if len(names) == 1 and (odd := next((mark for mark in (";", "\t", "|") if mark in names[0]), "")):
        raise DataError(f"data {path}: the header is one cell with {odd!r} in it: separate cells by commas")
    if names and not names[0] and names.count("") == 1:
        raise DataError(
            f"data {path}: the first column has no name: name it, or, if it is the index of pandas, save with "
            "index=False"
        )
    if len(set(names)) != len(names) or "" in names:
        raise DataError(
            f"data {path}: the header has a name twice or an empty name ({', '.join(names)}): name each column"
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise DataError(
                f"data {path}, row {number} has {len(row)} cells, but the header has {len(names)}: quote text that "
                "holds commas"
            )
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _parquet(path: Path) -> Columns:
    extras.require("pyarrow", f"data {path}")
    import pyarrow
    import pyarrow.parquet

    try:
        columns = pyarrow.parquet.read_table(path).to_pydict()
        return {name: values for name, values in columns.items() if not PANDAS_INDEX.fullmatch(name)}
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"data {path} is not parquet: {error}") from error


def _folder(path: Path, source: RowsSource) -> tuple[Columns, list[str], dict[str, Columns]]:
    """All files of a folder as one table, each a hospital of the file's name, with the same columns."""
    if source.site:
        raise ConfigurationError(
            f"site is {source.site!r}, but data {path} is a folder, where each file is one hospital: leave site out"
        )
    files, others = row_files(path)
    if others:
        LOG.warning("data %s: not read: %s", path, not_read(others))
    if not files:
        raise ConfigurationError(
            f"data {path}: no file ends in {' or '.join(SUFFIXES)}; put one file for each hospital there"
        )
    parts = {one.stem: read_columns(one) for one in files}
    if len(parts) < len(files):
        raise ConfigurationError(f"data {path}: two files differ in their suffix alone; a hospital has one file")
    first, expected = next(iter(parts.items()))
    for hospital, columns in parts.items():
        if odd := sorted(set(columns) ^ set(expected)):
            lacks = [name for name in odd if name in expected]
            raise DataError(
                f"hospital {hospital!r} has other columns than {first!r}: missing {lacks}, extra "
                f"{[name for name in odd if name in columns]}; give all files the same columns"
            )
    columns = {name: [value for part in parts.values() for value in part[name]] for name in expected}
    return columns, [hospital for hospital, part in parts.items() for _ in next(iter(part.values()))], parts


def _column(path: Path, columns: Mapping[str, list[Any]], what: str, name: str) -> list[Any]:
    if name not in columns:
        raise unknown(f"column for {what}", name, columns)
    return columns[name]


def draw_up(columns: Mapping[str, Sequence[Any]], label: str, target: Sequence[Any], positive: str = "") -> Schema:
    """A schema that all these rows fit: a draft to agree on. A column is numeric if at least half of its values are."""
    return Schema(tuple(_draft(name, values) for name, values in columns.items()), _label(label, target, positive))


def _draft(name: str, values: Sequence[Any]) -> Number | Category:
    there = [value for value in values if not is_gap(value)]
    if not there:
        raise DataError(f"column {name!r} has no value in any of {len(values)} rows: add it to drop")
    numbers = [number for number in map(as_number, there) if number is not None and math.isfinite(number)]
    if 2 * len(numbers) >= len(there):
        return Number(name, *_around(name, min(numbers), max(numbers)))
    levels = sorted({word(value) for value in there})
    if 2 * sum(bool(DECIMAL_COMMA.fullmatch(level)) for level in levels) >= len(levels):
        raise ConfigurationError(
            f"column {name!r} has numbers with decimal commas, {levels[0]!r} and others: write decimal points"
        )
    longest = max(levels, key=len)
    if len(levels) > MOST_LEVELS or len(longest) > LONGEST_WORD:
        raise ConfigurationError(
            f"column {name!r} has {len(levels)} different words ({levels[0][:LONGEST_WORD]!r} and others, the longest "
            f"of {len(longest)} letters); a category has at most {MOST_LEVELS}, of at most {LONGEST_WORD} letters: add "
            "the column to drop"
        )
    return Category(name, tuple(levels))


def _label(name: str, values: Sequence[Any], positive: str) -> Label:
    words = sorted({word(value) for value in values if not is_gap(value)})
    if positive and positive not in words:
        raise unknown(f"class of label {name!r}", positive, words)
    if positive or set(words) <= {"0", "1"}:
        return Label(name, "classification", positive=positive or "1")
    numbers = [as_number(one) for one in words]
    if len(words) == 2 or None in numbers:
        raise ConfigurationError(
            f"label {name!r} has {len(words)} classes: {', '.join(words[:6])}; set positive to the one that counts as 1"
        )
    found = [number for number in numbers if number is not None]
    if not found:
        raise DataError(f"label {name!r} has no value in any of {len(values)} rows: name another column")
    if len(found) <= FEW_CLASSES and all(number == int(number) for number in found if math.isfinite(number)):
        raise ConfigurationError(
            f"label {name!r} has {len(found)} values ({', '.join(words)}), which may be classes or numbers: set "
            'positive to the class that counts as 1, or give a schema with task = "regression"'
        )
    return Label(name, "regression", *_around(name, min(found), max(found)))


def _around(name: str, low: float, high: float) -> tuple[float, float]:
    """A range of round numbers around these; raises DataError where there is none."""
    if not math.isfinite(high - low):
        raise DataError(
            f"column {name!r} goes from {low:g} to {high:g}; values and their range must be finite: correct the cells"
        )
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    down, up = math.floor(low / step) * step, math.ceil(high / step) * step
    down, up = (down, up) if down < up else (down - step, up + step)
    short = float(f"{down:.12g}"), float(f"{up:.12g}")
    return short if short[0] <= low and high <= short[1] and short[0] < short[1] else (down, up)
