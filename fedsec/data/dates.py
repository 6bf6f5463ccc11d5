"""Dates in a column of rows, and the numbers that they become: an age in years, or days since a day.

A model takes numbers. Which number a date becomes is for the hospitals to agree on: `days since 2020-01-01`,
`age at 2022-12-31`, or `age at COLUMN`, where the other column holds dates too. How a file writes its dates is its
hospital's own matter: it is found out, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from fedsec.data.cells import is_gap, quoted
from fedsec.errors import ConfigurationError

YEAR = 365.25
EXCEL = date(1899, 12, 30)
"""From here Excel counts days."""
SERIALS = (36_526, 55_153)
"""The days of the years 2000 to 2050 as Excel counts them."""
SHORTEST = len("1.1.2020")
SAMPLE = 1000
"""Where none of so many values is a date, the column holds none."""
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
_ISO = re.compile(rf"(?P<y>\d{{4}})[-/](?P<m>\d{{1,2}})[-/](?P<d>\d{{1,2}})(?:[ T]{_TIME})?")
_DOTS = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?: \d{1,2}:\d{2}(?::\d{2})?)?")
_SLASHES = re.compile(r"(?P<a>\d{1,2})([/-])(?P<b>\d{1,2})\2(?P<y>\d{4})(?: \d{1,2}:\d{2}(?::\d{2})?)?")
_NAMED = re.compile(r"(?P<d>\d{1,2})[- ]?(?P<m>[A-Za-z]{3})[- ]?(?P<y>\d{4})(?::\d{2}:\d{2}:\d{2})?")
_SHORT = re.compile(r"(?P<a>\d{1,2})([./-])(?P<b>\d{1,2})\2(?P<c>\d{2})(?: \d{1,2}:\d{2}(?::\d{2})?)?")
_SHORT_NAMED = re.compile(r"\d{1,2}[- ]?(?P<m>[A-Za-z]{3})[- ]?\d{2}(?::\d{2}:\d{2}:\d{2})?")
"""Dates whose years have two digits, in whatever order."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CHOICE = re.compile(r"(days since|age at) +(.+)")
CHOICES = "'NAME=days since 2020-01-01', 'NAME=age at 2020-01-01', 'NAME=age at COLUMN' or 'NAME=drop'"


def is_date(value: Any) -> bool:
    """Whether a raw value is written as a date."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) < SHORTEST or not text[0].isdigit():
            return False
        return any(form.fullmatch(text) for form in (_ISO, _DOTS, _SLASHES)) or bool(_named(text))
    return isinstance(value, date)


def has_short_year(value: Any) -> bool:
    """Whether a raw value is written as a date with two digits for its year, such as 01.02.47."""
    if not isinstance(value, str):
        return False
    if named := _SHORT_NAMED.fullmatch(value.strip()):
        return named["m"].casefold() in _MONTHS
    found = _SHORT.fullmatch(value.strip())
    if not found:
        return False
    first, second, last = (int(found[part]) for part in "abc")
    month, day = sorted((second, last if first > 31 else first))
    return 1 <= month <= 12 and day <= 31


def short_years(name: str, there: Sequence[Any]) -> str:
    """What is wrong with a column of such dates, and its cure; empty unless they are most of its values, gaps left out.

    Which century is meant cannot be found out: programs that export and read such dates draw the line at other years.
    """
    if not any(map(has_short_year, there[:SAMPLE])):
        return ""
    found = [value for value in there if has_short_year(value)]
    if 2 * len(found) <= len(there):
        return ""
    return (
        f"column {name!r} has dates with two digits for the year, {quoted(found[:1])} and others, which leave the "
        "century open (Excel reads 47 as 1947, R as 2047): write years with four digits, or add the column to drop"
    )


def _named(text: str) -> re.Match[str] | None:
    found = _NAMED.fullmatch(text)
    return found if found and found["m"].casefold() in _MONTHS else None


def check_choice(name: str, choice: str) -> None:
    """Raise ConfigurationError unless a choice is one of those above."""
    found = _CHOICE.fullmatch(choice)
    if not found or (found[1] == "days since" and _day(found[2]) is None):
        raise ConfigurationError(f"dates: column {name!r} has the choice {choice!r}; {CHOICES} was expected")


def numbers(
    name: str,
    values: Sequence[Any],
    choice: str,
    columns: Mapping[str, Sequence[Any]],
    gap: Callable[[Any], bool] = is_gap,
) -> list[float | None]:
    """Dates as numbers by a choice: NaN for a gap, None where a cell is no date.

    Raises ValueError, in words, where an age is to be counted at a column that is not there, or where a column of dates
    can be read in two ways.
    """
    days, ends = _read_column(name, values, gap), None
    check_choice(name, choice)
    kind, _, since = choice.removeprefix("age ").removeprefix("days ").partition(" ")
    start = _day(since)
    if start is None:
        if since not in columns:
            raise ValueError(f"the age of column {name!r} is counted at {since!r}, which is no column and no day")
        ends = _read_column(since, columns[since], gap)
    found: list[float | None] = []
    for row, day in enumerate(days):
        end = start if ends is None else ends[row]
        if isinstance(day, date) and isinstance(end, date):
            found.append(float((day - end).days) if kind == "since" else (end - day).days / YEAR)
        else:
            found.append(None if day is None or end is None else float("nan"))
    return found


def _read_column(name: str, values: Sequence[Any], gap: Callable[[Any], bool]) -> list[date | float | None]:
    """Each raw value as a day, NaN for a gap, None for anything else; numbers are days as Excel counts them.

    Raises ValueError, in words, where days and months cannot be told apart, or centuries.
    """
    if wrong := short_years(name, [value for value in values if not gap(value)]):
        raise ValueError(wrong)
    try:
        month_first = _month_first(values)
    except ValueError as error:
        raise ValueError(f"column {name!r}: {error}") from error
    return [float("nan") if gap(value) else _read(value, month_first) for value in values]


def _read(value: Any, month_first: bool | None) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    if found := _ISO.fullmatch(text) or _DOTS.fullmatch(text):
        return _valid(found["y"], found["m"], found["d"])
    if found := _SLASHES.fullmatch(text):
        month, day = (found["a"], found["b"]) if month_first else (found["b"], found["a"])
        return _valid(found["y"], month, day)
    if found := _named(text):
        return _valid(found["y"], str(_MONTHS.index(found["m"].casefold()) + 1), found["d"])
    try:
        serial = float(text)
        return EXCEL + timedelta(days=int(serial)) if 0 < serial < 2_958_466 else None
    except ValueError:
        return None


def _month_first(values: Sequence[Any]) -> bool | None:
    """Whether 03/04/2022 is in March, by days above 12 in the column; None where no date is written so."""
    pairs = [found for value in values if isinstance(value, str) and (found := _SLASHES.fullmatch(value.strip()))]
    if not pairs:
        return None
    first, second = (max(int(pair[side]) for pair in pairs) for side in ("a", "b"))
    if (first > 12) == (second > 12):
        raise ValueError(
            f"{quoted([pairs[0][0]])} and other dates can be read in two ways, for "
            f"{'days and months are mixed' if first > 12 else 'no day is above 12'}: write them as 2022-12-31"
        )
    return second > 12


def example(choice: str, number: float) -> tuple[date, str, date]:
    """A day that a choice turns into about this number; the column at which it is counted, or ""; and that day."""
    _, _, since = choice.removeprefix("age ").removeprefix("days ").partition(" ")
    start = _day(since) or date(2020, 1, 1)
    at = start - timedelta(days=round(number * YEAR)) if choice.startswith("age") else start + timedelta(round(number))
    return at, "" if _day(since) else since, start


def with_iso_dates(columns: dict[str, list[str]]) -> str:
    """Write dates as 2022-12-31, in place, where days and months can be told apart; returns what was done, in words.

    One file writes its dates in one way, so a column in which no day is above 12 is read as the others are. What can
    still be read in two ways stays as it is, and is refused where it is used.
    """
    orders = {name: order for name, cells in columns.items() if (order := _order(cells)) is not None}
    known = {month_first for month_first, _ in orders.values() if month_first is not None}
    said: dict[bool, list[str]] = {}
    for name, (own, resolvable) in orders.items():
        month_first = own if own is not None else next(iter(known)) if len(known) == 1 and resolvable else None
        if month_first is not None:
            days = [_read(cell, month_first) if _SLASHES.fullmatch(cell.strip()) else None for cell in columns[name]]
            columns[name] = [day.isoformat() if day else cell for day, cell in zip(days, columns[name], strict=True)]
            said.setdefault(month_first, []).append(name)
    forms = ((first, "month before day" if first else "day before month") for first in sorted(said))
    return ", ".join(f"dates with the {form} in {' and '.join(said[first])}" for first, form in forms)


def _order(cells: Sequence[str]) -> tuple[bool | None, bool] | None:
    """Whether months come first in a column's dates, and, where that is open, whether either order would do.

    None for a column of which few cells are written as such dates.
    """
    if not any(_SLASHES.fullmatch(cell.strip()) for cell in cells[:SAMPLE]):
        return None
    there = [cell for cell in cells if not is_gap(cell)]
    if 2 * sum(bool(_SLASHES.fullmatch(cell.strip())) for cell in there) <= len(there):
        return None
    try:
        return _month_first(cells), True
    except ValueError:
        return None, not any(int(found["a"]) > 12 for cell in there if (found := _SLASHES.fullmatch(cell.strip())))


def _valid(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
