"""Rows as hospitals have them: columns with gaps, words beside numbers, the site that each row is from, and the label.

A table is checked against its schema when it is made; what does not fit is refused by column and row. Preparation
turns it into the numbers that a model is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Dataset, Floats, held_out
from fedsec.data.schema import OTHER, Category, Label, Number, Schema, Task
from fedsec.errors import ConfigurationError, DataError

Integers = NDArray[np.int64]
OTHERS = "other sites"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows under a schema.

    numbers: float64[rows, numeric columns], NaN where missing. levels: int64[rows, columns of words], the index in the
    vocabulary, -1 where missing. target: float64[rows], 0 or 1 for classification. sites: the hospitals' names, empty
    where the data have none; site: int64[rows], the index in `sites`. person: int64[rows]; rows of one person go
    together to the training or to the test part.
    """

    name: str
    schema: Schema
    numbers: Floats
    levels: Integers
    target: Floats
    source: str
    sites: tuple[str, ...] = ()
    site: Integers | None = None
    person: Integers | None = None

    @property
    def task(self) -> Task:
        """What the label is predicted as."""
        return self.schema.label.task

    def take(self, rows: Integers) -> Table:
        """The table of these rows alone, in their order."""
        return replace(
            self,
            numbers=self.numbers[rows],
            levels=self.levels[rows],
            target=self.target[rows],
            site=None if self.site is None else self.site[rows],
            person=None if self.person is None else self.person[rows],
        )

    def grouped(self, minimum: int) -> Table:
        """The same rows, with all sites of fewer than `minimum` rows as one, called "other sites".

        Where these together are too few as well, the smallest other site joins them.
        """
        if self.site is None or not self.sites:
            raise ConfigurationError(
                f"minimum-rows is {minimum}, but {self.name} has no sites to join: leave minimum-rows out"
            )
        sizes = np.bincount(self.site, minlength=len(self.sites))
        order = sorted(range(len(self.sites)), key=lambda index: sizes[index])
        small = [index for index in order if sizes[index] < minimum]
        while small and sum(sizes[index] for index in small) < minimum and len(small) < len(order):
            small = order[: len(small) + 1]
        if len(small) < 2:
            return self
        kept = [index for index in range(len(self.sites)) if index not in small]
        new = np.full(len(self.sites), len(kept), np.int64)
        new[kept] = np.arange(len(kept))
        return replace(self, sites=(*(self.sites[index] for index in kept), OTHERS), site=new[self.site])


def of_dataset(dataset: Dataset, ranges: Mapping[str, tuple[float, float]], target: tuple[float, float]) -> Table:
    """A dataset of numbers without gaps, as a table; `ranges` by column."""
    columns = tuple(Number(name, *ranges[name]) for name in dataset.feature_names)
    label = Label("target", dataset.task, *target)
    numbers, none = dataset.features, np.empty((len(dataset.target), 0), np.int64)
    table = Table(dataset.name, Schema(columns, label), numbers, none, dataset.target, dataset.source)
    _check_ranges(dataset.name, table.schema, numbers)
    return table


def of_columns(
    name: str,
    columns: Mapping[str, Sequence[Any]],
    schema: Schema,
    source: str,
    site: Sequence[Any] | None = None,
    person: Sequence[Any] | None = None,
) -> Table:
    """A table from columns of raw values; None, NaN and blank words are gaps. Rows are counted from 1.

    Raises DataError naming column, row, value and what was expected.
    """
    missing = [one for one in [*(column.name for column in schema.columns), schema.label.name] if one not in columns]
    if missing:
        raise DataError(f"{name}: columns {missing} of the schema are missing; there are {sorted(columns)}")
    rows = len(columns[schema.label.name])
    if not rows:
        raise DataError(f"{name}: no rows")
    numbers = np.empty((rows, len(schema.numbers)))
    for index, number in enumerate(schema.numbers):
        numbers[:, index] = _numbers(name, number.name, columns[number.name])
    levels = np.empty((rows, len(schema.categories)), np.int64)
    for index, category in enumerate(schema.categories):
        levels[:, index] = _levels(name, category, columns[category.name])
    _check_ranges(name, schema, numbers)
    target = _target(name, schema.label, columns[schema.label.name])
    sites, where = _sites(name, site) if site is not None else ((), None)
    people = None
    if person is not None:
        if gaps := [row for row, value in enumerate(person) if is_gap(value)]:
            raise DataError(
                f"{name}: the person of row {gaps[0] + 1} is empty ({len(gaps)} of {len(person)} rows have none): fill "
                "it in, so that each person's rows stay together"
            )
        people = np.unique([word(one) for one in person], return_inverse=True)[1].astype(np.int64)
    return Table(name, schema, numbers, levels, target, source, sites, where, people)


def is_gap(value: Any) -> bool:
    """Whether a raw value stands for none: nothing, blanks, or NaN in words too, as pandas writes it."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan")
    return value is None or (isinstance(value, float) and value != value)


def as_number(value: Any) -> float | None:
    """A raw value as a float, NaN for a gap; None where it is no number."""
    if is_gap(value):
        return float("nan")
    try:
        return None if isinstance(value, str) and "_" in value else float(value)  # Python reads 1_000 as a number
    except (TypeError, ValueError):
        return None


def word(value: Any) -> str:
    """A raw value as a word: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _numbers(name: str, column: str, values: Sequence[Any]) -> Floats:
    found = [as_number(value) for value in values]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"{name}: column {column!r}, row {row + 1}: {values[row]!r} is not a number ({found.count(None)} of "
            f"{len(found)} are not); leave a missing value empty, and give a column of words its levels in the schema"
        )
    array = np.array(found, dtype=np.float64)
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        raise DataError(f"{name}: column {column!r}, row {row + 1}: {array[row]}; a finite number was expected")
    return array


def _levels(name: str, category: Category, values: Sequence[Any]) -> Integers:
    index = {level: number for number, level in enumerate(category.levels)}
    unknown = index.get(OTHER, -2)
    found = [-1 if is_gap(value) else index.get(word(value), unknown) for value in values]
    if -2 in found:
        row = found.index(-2)
        raise DataError(
            f"{name}: column {category.name!r}, row {row + 1}: {values[row]!r} is not among the schema's levels: "
            f"{', '.join(category.levels)} (a level {OTHER!r} would take it)"
        )
    return np.array(found, dtype=np.int64)


def _check_ranges(name: str, schema: Schema, numbers: Floats) -> None:
    for index, column in enumerate(schema.numbers):
        values = numbers[:, index]
        out = np.flatnonzero((values < column.low) | (values > column.high))
        if len(out):
            raise DataError(
                f"{name}: column {column.name!r}, row {out[0] + 1}: {values[out[0]]:g}; the schema allows "
                f"{column.low:g} to {column.high:g} ({len(out)} of {len(values)} values are outside): correct the "
                "cells, or agree on a wider range"
            )


def _target(name: str, label: Label, values: Sequence[Any]) -> Floats:
    gaps = [row for row, value in enumerate(values) if is_gap(value)]
    if gaps:
        raise DataError(
            f"{name}: label {label.name!r}, row {gaps[0] + 1}: no value ({len(gaps)} rows have none); fill it in, or "
            "leave the row out"
        )
    if label.task == "regression":
        target = _numbers(name, label.name, values)
        _check_ranges(
            name, Schema((Number(label.name, label.low, label.high),), Label("", "regression")), target[:, None]
        )
        return target
    words = [word(value) for value in values]
    others = sorted(set(words) - {label.positive})
    if len(others) > 1:
        row = words.index(others[1])
        raise DataError(
            f"{name}: label {label.name!r}, row {row + 1}: {others[1]!r} is one class too many; expected "
            f"{label.positive!r} and one other, found {len(others)} others: {', '.join(others[:5])}"
        )
    return np.array([one == label.positive for one in words], dtype=np.float64)


def _sites(name: str, values: Sequence[Any]) -> tuple[tuple[str, ...], Integers]:
    gaps = [row for row, value in enumerate(values) if is_gap(value)]
    if gaps:
        raise DataError(
            f"{name}: the site of row {gaps[0] + 1} is empty ({len(gaps)} of {len(values)} rows have none): fill in "
            "each row's hospital"
        )
    words = [word(value) for value in values]
    names = sorted(set(words), key=lambda one: (not one.isdigit(), int(one) if one.isdigit() else 0, one))
    index = {site: number for number, site in enumerate(names)}
    return tuple(names), np.array([index[one] for one in words], dtype=np.int64)


def split(table: Table, seed: int, test_fraction: float = 0.2) -> tuple[Table, Table]:
    """A training part and a held-out test part, drawn by `seed`: whole persons, balanced over sites and classes.

    The parts are as `bundled.split` draws them where the data have neither sites nor persons. Else persons are ordered
    by site and class (for regression, quartile of the target) and by chance within these, and every fifth, at a
    fraction of 0.2, is held out.
    """
    if table.site is None and table.person is None:
        train, test = held_out(table, seed, test_fraction)
        return table.take(train), table.take(test)
    rng = np.random.default_rng(seed)
    rows = np.arange(len(table.target))
    person = rows if table.person is None else table.person
    site = np.zeros_like(rows) if table.site is None else table.site
    people, first = np.unique(person, return_index=True)
    stratum = np.zeros(len(people))
    np.maximum.at(stratum, np.searchsorted(people, person), _stratum(table))
    order = rng.permutation(len(people))
    order = order[np.lexsort((stratum[order], site[first][order]))]
    steps = np.floor((np.arange(len(people) + 1) + rng.random() / test_fraction) * test_fraction)
    chosen = people[order[np.diff(steps) > 0]]
    out = np.isin(person, chosen)
    if not out.any() or out.all():
        raise DataError(
            f"{table.name}: {len(people)} persons are too few to hold out a test part; more persons are needed"
        )
    return table.take(rows[~out]), table.take(rows[out])


def _stratum(table: Table) -> Floats:
    if table.task == "classification":
        return table.target
    return np.searchsorted(np.quantile(table.target, [0.25, 0.5, 0.75]), table.target).astype(np.float64)
