"""What hospitals agree on before they compute anything: columns, units, ranges, vocabularies and the label.

A schema depends on nobody's rows. Its ranges bound what a hospital's statistics can be, which the secure sum needs to
know beforehand; its vocabularies say which categories there are, so that no hospital's own list has to leave it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from fedsec.data import dates, label
from fedsec.data.label import Label
from fedsec.errors import ConfigurationError, expect, expect_path, shown

MOST_LEVELS = 50
BINS, MOST_BINS = 32, 1000
"""Bins of a column's histogram, where the schema does not say, and at most."""


@dataclass(frozen=True)
class Number:
    """A numeric column, in [low, high]; a value outside is refused at its hospital.

    date: where the column holds dates, the number that they become: `days since 2020-01-01`, or an age in years,
    `age at 2022-12-31` or `age at COLUMN`. bins: of its histogram, how many of equal width, or their edges, rising from
    low to high.
    """

    name: str
    low: float
    high: float
    date: str = ""
    bins: int | tuple[float, ...] = BINS

    def __post_init__(self) -> None:
        if self.date != "":
            expect(f"schema: date of column {self.name!r}", self.date, str, "a text")
            dates.check_choice(self.name, self.date)
        for bound in (self.low, self.high):
            expect(f"schema: a bound of column {self.name!r}", bound, (int, float), "a number")
        if not (all(map(_finite, (self.low, self.high))) and _finite(self.high - self.low) and self.low < self.high):
            raise ConfigurationError(
                f"schema: column {self.name!r} has range {self.low} to {self.high}; low must be below high, and both "
                "finite"
            )
        self._check_bins()

    def _check_bins(self) -> None:
        """Raise ConfigurationError where the bins are no number of them and no rising edges of the range."""
        bins, number = self.bins, type(self.bins) is int
        edges = list(bins) if isinstance(bins, tuple) and all(map(_real, bins)) else []
        rising = len(edges) > 1 and (edges[0], edges[-1]) == (self.low, self.high) and sorted(set(edges)) == edges
        count = bins if number else len(edges) - 1
        if not ((number or rising) and 1 <= count <= MOST_BINS):  # type: ignore[operator]
            raise ConfigurationError(
                f"schema: bins of column {self.name!r} is {shown(list(bins) if isinstance(bins, tuple) else bins)}; a "
                f"whole number from 1 to {MOST_BINS} was expected, or a list of up to {MOST_BINS + 1} rising edges, "
                f"the first {self.low:g} and the last {self.high:g}"
            )

    @property
    def edges(self) -> tuple[float, ...]:
        """The edges of the histogram's bins, from low to high; a bin holds its lower edge, the last one both."""
        if isinstance(self.bins, tuple):
            return tuple(map(float, self.bins))
        return tuple(np.linspace(self.low, self.high, self.bins + 1).tolist())

    def __str__(self) -> str:
        bins = len(self.edges) - 1
        cut = "" if self.bins == BINS else f", {bins} bins{' of its own edges' if isinstance(self.bins, tuple) else ''}"
        return f"range {self.low:g} to {self.high:g}{f', {self.date}' if self.date else ''}{cut}"


OTHER = "other"
"""A level of this name takes every word that the schema does not name."""


@dataclass(frozen=True)
class Category:
    """A column of words, each one of `levels`; where one of them is `other`, it takes all words that have no own."""

    name: str
    levels: tuple[str, ...]

    def __post_init__(self) -> None:
        expect(f"schema: the levels of column {self.name!r}", self.levels, tuple, "a tuple of texts")
        for level in self.levels:
            expect(f"schema: a level of column {self.name!r}", level, str, "a text")
        if not 1 <= len(self.levels) <= MOST_LEVELS or len(set(self.levels)) != len(self.levels):
            raise ConfigurationError(
                f"schema: column {self.name!r} has {len(self.levels)} levels, {len(set(self.levels))} of them "
                f"different; list 1 to {MOST_LEVELS} levels, each once"
            )

    def joined(self, kept: Collection[str]) -> Category:
        """The column with these levels of its own, and all others as `other`."""
        return Category(self.name, (*(level for level in self.levels if level in kept and level != OTHER), OTHER))

    def __str__(self) -> str:
        return f"levels {', '.join(self.levels)}"


@dataclass(frozen=True)
class Schema:
    """Columns that are features, in their order, and the label.

    missing: words and numbers that stand for a missing value, besides those that R, pandas, SAS and Excel write.
    """

    columns: tuple[Number | Category, ...]
    label: Label
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expect("schema: columns", self.columns, tuple, "a tuple of columns")
        expect("schema: label", self.label, Label, "a Label")
        for column in self.columns:
            expect("schema: a column", column, (Number, Category), "a Number or a Category")
        names = [column.name for column in self.columns]
        every = [*names, *self.label.columns]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice or not names:
            raise ConfigurationError(
                f"schema: {f'columns {twice} are named twice' if twice else 'there is no feature column'}"
            )

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The numeric columns, in their order."""
        return tuple(column for column in self.columns if isinstance(column, Number))

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """The columns of words, in their order."""
        return tuple(column for column in self.columns if isinstance(column, Category))

    def differences(self, other: Schema) -> list[str]:
        """What differs in `other`, in words, one item a column; empty where the two are the same."""
        mine, theirs = ({one.name: one for one in (*schema.columns, schema.label)} for schema in (self, other))
        found = [
            f"{name!r} has {mine.get(name, 'nothing')} here and {theirs.get(name, 'nothing')} there"
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        ]
        if self.missing != other.missing:
            here, there = (", ".join(one.missing) or "nothing" for one in (self, other))
            found.append(f"missing is {here} here and {there} there")
        return found or ([] if self == other else ["the columns are the same, but in another order"])

    def to_toml(self) -> str:
        """The schema as the text of a TOML file, which `read` reads."""
        document: dict[str, Any] = {"missing": list(self.missing)} if self.missing else {}
        columns = {column.name: column_table(column) for column in self.columns}
        return tomli_w.dumps(document | {"label": self.label.table(), "columns": columns})


def column_table(column: Number | Category) -> dict[str, Any]:
    """The table [columns.NAME] of a schema's file."""
    if isinstance(column, Category):
        return {"levels": list(column.levels)}
    bins = {} if column.bins == BINS else {"bins": list(column.bins) if isinstance(column.bins, tuple) else column.bins}
    return {"low": column.low, "high": column.high} | ({"date": column.date} if column.date else {}) | bins


def with_bins(schema: Schema, bins: int) -> Schema:
    """The same with so many bins in each histogram, but for columns that have their own."""
    columns = (
        replace(one, bins=bins) if isinstance(one, Number) and one.bins == BINS else one for one in schema.columns
    )
    return replace(schema, columns=tuple(columns))


def read(path: Path) -> Schema:
    """The schema in a TOML file; raises ConfigurationError naming path, field and value."""
    path = expect_path("schema", path)
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigurationError(f"schema {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"schema {path} is not TOML: {error}") from error


def parse(text: str, source: str) -> Schema:
    """The schema in the text of a TOML file; raises ConfigurationError naming source, field and value."""
    expect(f"schema {source}", text, str, "the text of a TOML file")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"schema {source} is not TOML: {error}") from error
    about, columns = document.get("label"), document.get("columns")
    if not isinstance(about, dict) or not isinstance(columns, dict) or set(document) - {"label", "columns", "missing"}:
        raise ConfigurationError(
            f"schema {source}: it must have the tables [label] and [columns.NAME]; it may have a list, missing, above "
            "them, and nothing else"
        )
    missing = _words(source, "missing", document.get("missing", []))
    found = tuple(_column(source, name, one) for name, one in columns.items())
    words = {field: _words(source, field, about.get(field, [])) for field in ("negative", "classes")}
    return Schema(found, label.of_table(source, about, words), missing)


def _column(source: str, name: str, about: Any) -> Number | Category:
    if (
        isinstance(about, dict)
        and set(about) - {"date", "bins"} == {"low", "high"}
        and all(map(_real, (about["low"], about["high"])))
    ):
        date, bins = about.get("date", ""), about.get("bins", BINS)
        expect(f"schema {source}: date of column {name!r}", date, str, "a text")
        return Number(
            name, float(about["low"]), float(about["high"]), date, tuple(bins) if isinstance(bins, list) else bins
        )
    if isinstance(about, dict) and set(about) == {"levels"} and isinstance(about["levels"], list):
        return Category(name, tuple(map(str, about["levels"])))
    raise ConfigurationError(
        f"schema {source}: column {name!r} needs two numbers, low and high, with date and bins if it likes, or a list, "
        "levels"
    )


def _words(source: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) or _real(one) for one in value):
        raise ConfigurationError(f"schema {source}: {key} is {value!r}; a list of words and numbers was expected")
    return tuple(map(str, value))


def _finite(value: float) -> bool:
    """Whether a float holds it."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
