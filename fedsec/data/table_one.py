"""Table 1: who the rows of all hospitals are, by class of the label, from the sums of the one statistics session.

Counts, means and standard deviations are those of the pooled rows. A quantile comes from the histogram: it is off by
less than the width of the bin that it lies in, wider where bins have too few rows, which is stated with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from fedsec.data import preparation, suspicion, table_cells
from fedsec.data.bundled import Floats
from fedsec.data.number_cells import NumberCells
from fedsec.data.preparation import PRESENT, SQUARE, SUSPICIOUS, TARGET, VALUE
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table import Table
from fedsec.data.table_cells import BIN, LEVEL
from fedsec.errors import BadMessage

FILE = "table-one.json"
"""What a deployment's server leaves of it; a simulation has it in result.json."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ALL = "all"


@dataclass(frozen=True)
class NumberRow:
    """A column of numbers: the edges of its bins, and its cells in each group of rows."""

    name: str
    edges: tuple[float, ...]
    groups: tuple[NumberCells, ...]

    @property
    def width(self) -> float:
        """The width of the widest bin."""
        return max(high - low for low, high in pairwise(self.edges))


@dataclass(frozen=True)
class LevelCells:
    """A column of words in a group of rows: rows of each level, in cells too small at their hospital, and without."""

    counts: tuple[int, ...]
    suppressed: int
    missing: int


@dataclass(frozen=True)
class CategoryRow:
    """A column of words, and its cells in each group of rows."""

    name: str
    levels: tuple[str, ...]
    groups: tuple[LevelCells, ...]


@dataclass(frozen=True)
class Suspected:
    """How many hospitals have a suspicion; `column` is empty where their rows as a whole are meant."""

    kind: str
    column: str
    hospitals: int

    def text(self, of: int) -> str:
        """In words: `2 of 5 hospitals: column 'lactate' never varies`."""
        return f"{self.hospitals} of {of} hospitals: {suspicion.in_words(self.kind, self.column)}"


@dataclass(frozen=True)
class TableOne:
    """Table 1, with the groups in the order all, other classes, positive class, or several as the schema has them; all
    alone where the label is a number.

    part: which rows they are. groups, rows: the groups' names and their rows. hospitals: how many added theirs. least:
    the least cell of a hospital; 0 where none is suppressed. sent: how many numbers each hospital added. label_mean,
    label_deviation: of a label that is a number, a count or a time.
    """

    part: str
    label: str
    groups: tuple[str, ...]
    rows: tuple[int, ...]
    hospitals: int
    least: int
    sent: int
    numbers: tuple[NumberRow, ...]
    categories: tuple[CategoryRow, ...]
    suspicions: tuple[Suspected, ...] = ()
    label_mean: float | None = None
    label_deviation: float | None = None

    @classmethod
    def of(
        cls, schema: Schema, means: Mapping[str, Any], rows: int, hospitals: int, least: int = 0, part: str = "training"
    ) -> TableOne:
        """From the means that `Preparation.of` takes, over so many rows at so many hospitals.

        Raises BadMessage where they are not those of this schema, or no rows have such counts.
        """
        preparation.check_lengths(schema, means)
        sums = {key: rows * np.asarray(value, np.float64) for key, value in means.items() if isinstance(value, list)}
        label = schema.label
        sizes = label.sizes(sums[TARGET].tolist(), rows)
        about: tuple[float | None, float | None] = (None, None)
        if label.task not in ("classification", "multiclass"):
            value, square = (float(each) / rows for each in sums[TARGET][:2])
            about = preparation.moments_of(value, square, label.low, label.high)
        found = [hospitals and round(each) for each in sums[SUSPICIOUS].tolist()]
        _check(max(found, default=0) <= hospitals, "more hospitals than there are have a suspicion")
        return cls(
            part,
            schema.label.name,
            group_names(schema),
            _with_sum(sizes),
            hospitals,
            least,
            sum(preparation.lengths(schema).values()),
            tuple(_numbers(schema, sums, sizes)),
            tuple(_categories(schema, sums, sizes)),
            tuple(
                Suspected(kind, column, count)
                for (kind, column), count in zip(suspicion.places(schema), found, strict=True)
                if count
            ),
            *about,
        )

    def to_json(self) -> str:
        """As it stands in a run's folder."""
        return json.dumps(asdict(self))

    @property
    def suspected(self) -> tuple[str, ...]:
        """The suspicions in words, with how many hospitals have each, and never which."""
        return tuple(one.text(self.hospitals) for one in self.suspicions)

    @property
    def suppressed(self) -> bool:
        """Whether any cell was too small to be told."""
        cells = [one for row in self.numbers for one in row.groups]
        words = [one for row in self.categories for one in row.groups]
        return any(one.suppressed or any(map(any, one.wider)) for one in cells) or any(one.suppressed for one in words)


def of_rows(table: Table, least: int = 0, part: str = "training") -> TableOne:
    """Table 1 of the rows of one hospital alone: what a simulation shows of each, and no server of a deployment has."""
    rows = len(table.target)
    return TableOne.of(table.schema, preparation.statistics(table, least), rows, 1, least, part)


def group_names(schema: Schema) -> tuple[str, ...]:
    """All rows, and each class: `died = 0` and `died = 1`; `died: other` where the schema lists no other classes."""
    return (ALL, *schema.label.groups)


def _with_sum(numbers: Sequence[int]) -> tuple[int, ...]:
    """The sum first, where there are several."""
    return tuple(numbers) if len(numbers) == 1 else (sum(numbers), *numbers)


def _numbers(schema: Schema, sums: Mapping[str, Floats], sizes: Sequence[int]) -> Iterator[NumberRow]:
    columns = len(schema.numbers)
    parts = list(table_cells.parted(sums.get(BIN, np.zeros(0)).tolist(), table_cells.widths(schema)[BIN]))
    for index, column in enumerate(schema.numbers):
        groups = []
        for place, size in enumerate(sizes):
            at = place * columns + index
            moments = [float(sums[key][at]) for key in (PRESENT, VALUE, SQUARE)]
            groups.append(_number_cells(column, parts[at], moments, size))
        yield NumberRow(column.name, column.edges, _groups(groups))


def _number_cells(column: Number, part: Floats, moments: Sequence[float], size: int) -> NumberCells:
    *cells, small = _counts(part)
    ends = list(accumulate(table_cells.levels_of(column)))
    bins, *wider = (tuple(cells[first:last]) for first, last in pairwise([0, *ends]))
    counted, missing = round(moments[0]), size - sum(cells) - small
    _check(missing >= 0 and 0 <= counted <= sum(cells) + small, f"rows by bin of column {column.name!r}")
    mean, deviation = None, None
    if counted:
        value, square = (each / moments[0] for each in moments[1:])
        mean, deviation = preparation.moments_of(value, square, column.low, column.high)
    return NumberCells(counted, mean, deviation, bins, tuple(wider), small, missing)


def _groups(groups: Sequence[NumberCells]) -> tuple[NumberCells, ...]:
    """All classes together first, where there are several."""
    if len(groups) == 1:
        return tuple(groups)
    counted = sum(one.counted for one in groups)
    known = [(one.counted, one.mean, one.deviation or 0.0) for one in groups if one.mean is not None]
    mean = math.fsum(number * each for number, each, _ in known) / counted if counted else None
    deviation = None
    if mean is not None:
        deviation = math.sqrt(math.fsum(n * (spread**2 + (each - mean) ** 2) for n, each, spread in known) / counted)
    bins = _added([one.bins for one in groups])
    wider = tuple(_added(level) for level in zip(*(one.wider for one in groups), strict=True))
    small, missing = sum(one.suppressed for one in groups), sum(one.missing for one in groups)
    return (NumberCells(counted, mean, deviation, bins, wider, small, missing), *groups)


def _added(counts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*counts, strict=True)))


def _categories(schema: Schema, sums: Mapping[str, Floats], sizes: Sequence[int]) -> Iterator[CategoryRow]:
    columns = len(schema.categories)
    parts = list(table_cells.parted(sums.get(LEVEL, np.zeros(0)).tolist(), table_cells.widths(schema)[LEVEL]))
    for index, category in enumerate(schema.categories):
        cells = [_counts(part) for part in parts[index::columns]]
        _check(all(sum(one) == size for one, size in zip(cells, sizes, strict=True)), f"rows of {category.name!r}")
        yield CategoryRow(category.name, category.levels, _level_groups(category, cells))


def _level_groups(category: Category, cells: Sequence[Sequence[int]]) -> tuple[LevelCells, ...]:
    every = cells if len(cells) == 1 else [[sum(each) for each in zip(*cells, strict=True)], *cells]
    return tuple(LevelCells(tuple(counts), small, missing) for *counts, missing, small in every)


def _counts(part: Floats) -> list[int]:
    return [round(each) for each in part.tolist()]


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise BadMessage(f"the statistics contradict each other: {what} are not those of any rows")
