"""Files of rows as columns of raw values: CSV and its kin, Excel, Stata, SAS transport, SPSS, parquet and feather.

Raw values are texts, numbers, truth values, dates, and None for nothing. The names of columns lose the blanks around
them. How a file is written is its hospital's own matter, is found out, and is said in `RowsFile.form`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsec import extras
from fedsec.data import frames
from fedsec.data.cells import as_number, is_gap, quoted
from fedsec.data.dates import with_iso_dates
from fedsec.data.decimal_comma import with_points
from fedsec.data.delimited import read_text
from fedsec.data.row_files import SUFFIXES, format_of
from fedsec.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    import pandas

Columns = dict[str, list[Any]]
INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+|")
"""What pandas and R call an index or names of rows that they write beside the columns."""


@dataclass(frozen=True)
class RowsFile:
    """What a file holds. form: how it is written, as far as it is worth a word. problems: of single columns."""

    columns: Columns
    form: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_file(path: Path) -> RowsFile:
    """The columns of a file.

    Raises ConfigurationError where the format is not known or its reader not installed, and DataError, naming path and
    cure, where the file is not a table.
    """
    suffix = format_of(path)
    if suffix in FOREIGN:
        raise ConfigurationError(f"data {path} is in {FOREIGN[suffix]}")
    if suffix not in READERS:
        raise ConfigurationError(
            f"data {path} has {f'the suffix {path.suffix}' if path.suffix else 'no suffix'}: save it as CSV (known are "
            f"{', '.join(SUFFIXES)}, and text files compressed by gzip, bzip2, xz or zip)"
        )
    try:
        names, columns, form = READERS[suffix](path)
    except OSError as error:
        raise ConfigurationError(f"data {path} cannot be read: {error.strerror or error}") from error
    named, left_out = _named(path, names, columns)
    if not named or not len(next(iter(named.values()))):
        raise DataError(f"data {path} has no rows below the header")
    commas, problems = with_points(named, ";" in form or "\t" in form) if suffix in TEXT else ("", [])
    ordered = with_iso_dates(named) if suffix in TEXT else ""
    form = [*(text for text in form if len(text) > 1), *filter(None, [commas, ordered]), *left_out]
    return RowsFile(named, tuple(form), tuple(problems))


def _named(path: Path, names: Sequence[str], columns: Sequence[list[Any]]) -> tuple[Columns, list[str]]:
    """The columns by name, without an index; raises DataError where a name is missing or given twice."""
    names = [name.strip() for name in names]
    left_out = []
    kept = list(zip(names, columns, strict=True))
    for name, values in list(kept):
        if INDEX.fullmatch(name) and (name.startswith("__") or _counts_up(values)):
            kept.remove((name, values))
            left_out.append(f"the column {name!r}, which numbers the rows, left out")
    if kept and not kept[0][0]:
        raise DataError(f"data {path}: the first column has no name: name it, or save without the names of rows")
    names = [name for name, _ in kept]
    if len(names) > 1 and all(as_number(name) is not None and not is_gap(name) for name in names):
        raise DataError(f"data {path} has no names of columns: its first row holds numbers alone; put a header above")
    if len(set(names)) != len(names) or "" in names:
        odd = [name for name, times in Counter(names).items() if times > 1 or not name]
        raise DataError(
            f"data {path}: the header has a name twice or an empty name ({quoted(odd)}): name each column once"
        )
    return dict(kept), left_out


def _counts_up(values: Sequence[Any]) -> bool:
    """Whether these are 0, 1, 2 … or 1, 2, 3 …"""
    return any([as_number(value) for value in values] == list(range(start, start + len(values))) for start in (0, 1))


Read = tuple[list[str], list[list[Any]], list[str]]
"""Names, columns, and how the file is written; a delimiter among these, one character, is not said."""


def _text(path: Path) -> Read:
    names, columns, delimiter, form = read_text(path)
    return names, list(columns), [*form, delimiter]


def _arrow(path: Path) -> Read:
    extras.require("pyarrow", f"data {path}")
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    reader = pyarrow.parquet.read_table if format_of(path) == ".parquet" else pyarrow.feather.read_table
    try:
        table = reader(path)
        columns = [
            [value if not isinstance(value, list | dict) else str(value) for value in column.to_pylist()]
            for column in table.columns
        ]
        return list(map(str, table.column_names)), columns, []
    except (pyarrow.ArrowException, ValueError) as error:
        raise DataError(f"data {path} is not {format_of(path).removeprefix('.')}: {error}") from error


def _excel(path: Path) -> Read:
    extras.require("openpyxl", f"data {path}")
    import pandas

    try:
        sheets = pandas.read_excel(
            path, sheet_name=None, header=None, dtype=object, keep_default_na=False, engine="openpyxl"
        )
    except Exception as error:  # openpyxl and zipfile raise of many kinds at a damaged file
        raise DataError(f"data {path} is not a workbook of Excel: {error}; save it as .xlsx or CSV") from error
    full = {str(name): cells for name, sheet in sheets.items() if len(cells := _trimmed(sheet))}
    if len(full) > 1:
        raise DataError(
            f"data {path} has {len(full)} sheets with cells, {', '.join(full)}: leave one, or save it as CSV"
        )
    if not full:
        return [], [], []
    (name, sheet) = next(iter(full.items()))
    header, rows = sheet.iloc[0].tolist(), sheet.iloc[1:]
    return ["" if pandas.isna(one) else str(one) for one in header], _columns(rows), [f"sheet {name}"]


def _trimmed(sheet: pandas.DataFrame) -> pandas.DataFrame:
    """Without the rows and columns that are empty; an empty cell is None."""
    full = sheet.notna() & (sheet != "")
    return sheet.where(full, None).loc[full.any(axis=1), full.any(axis=0)]


def _stata(path: Path) -> Read:
    import pandas

    try:
        return _of_frame(pandas.read_stata(path))
    except Exception as error:  # of other kinds by release, as at a file that is cut off
        raise DataError(
            f"data {path} cannot be read as Stata: {error}; copy the whole file, or save it as CSV"
        ) from error


def _statistics_package(path: Path) -> Read:
    extras.require("pyreadstat", f"data {path}")
    import pyreadstat

    spss = format_of(path) == ".sav"
    try:
        if spss:
            frame, _ = pyreadstat.read_sav(path, apply_value_formats=True)
        else:
            frame, _ = pyreadstat.read_xport(path)
    except Exception as error:  # of other kinds by release
        kind = "SPSS" if spss else "SAS transport"
        raise DataError(f"data {path} cannot be read as {kind}: {error}; save it as CSV") from error
    return _of_frame(frame)


def _frame(path: Path) -> Read:
    frame = frames.frame_at(path)
    if frame is None:
        raise ConfigurationError(f"data {path} is no frame of this process: give it to `run` in Python")
    return _of_frame(frame)


def _of_frame(frame: pandas.DataFrame) -> Read:
    return list(map(str, frame.columns)), _columns(frame), []


def _columns(frame: pandas.DataFrame) -> list[list[Any]]:
    """A frame's columns as raw values."""
    objects = frame.astype(object)
    return [
        [None if gap else value for value, gap in zip(column.tolist(), column.isna().tolist(), strict=True)]
        for _, column in objects.items()
    ]


TEXT = (".csv", ".tsv", ".txt")
FOREIGN: Mapping[str, str] = {
    ".sas7bdat": "SAS's own format, which is not read: export it as CSV (proc export) or SAS transport, .xpt",
    ".xls": "the format of Excel before 2007, which is not read: save it as .xlsx or CSV",
    ".rds": 'R\'s own format, which is not read: write.csv(rows, "rows.csv", row.names = FALSE) makes a CSV of it',
    ".rdata": 'R\'s own format, which is not read: write.csv(rows, "rows.csv", row.names = FALSE) makes a CSV of it',
}
"""What hospitals have, and how it becomes a file that is read."""
READERS: Mapping[str, Callable[[Path], Read]] = {
    **dict.fromkeys(TEXT, _text),
    ".parquet": _arrow,
    ".feather": _arrow,
    ".xlsx": _excel,
    ".dta": _stata,
    ".xpt": _statistics_package,
    ".sav": _statistics_package,
    frames.SUFFIX: _frame,
}
