"""How many of a hospital's rows lie in each cell of Table 1: the bins of a number and the levels of words, by class.

A cell with fewer rows than the least that is agreed on is not told: bins are joined to wider ones, of four, of sixteen
and so on, until these have enough, and what is left is added to one cell, `suppressed`, of the same column and class.
So what cells add up to stays right, and a few patients of one hospital are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fedsec.data.bundled import Floats
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table import Integers, Table

BIN, LEVEL = "rows.bin", "rows.level"
LEAST = 5
"""Rows of the least cell in a deployment, where nothing else is agreed on."""
JOINED = 4
"""How many cells of one width are joined to one of the next."""


def classes(schema: Schema) -> int:
    """By how many groups of the label rows are counted: 1 where it is a number or a count."""
    return max(len(schema.label.groups), 1)


def widths(schema: Schema) -> dict[str, list[int]]:
    """Of each list of cells, how many each column has in a class: a column of numbers its bins, wider ones, and
    `suppressed`, one of words its levels, those without a value, and `suppressed`."""
    return {
        BIN: [sum(levels_of(column)) + 1 for column in schema.numbers],
        LEVEL: [len(category.levels) + 2 for category in schema.categories],
    }


def levels_of(column: Number) -> list[int]:
    """How many bins a column of numbers has, and how many of each width that they are joined to: 32, 8 and 2."""
    found = [len(column.edges) - 1]
    while found[-1] > JOINED:
        found.append(-(-found[-1] // JOINED))
    return found


def lengths(schema: Schema) -> dict[str, int]:
    """How many cells each list has; a list without any is left out."""
    found = {key: classes(schema) * sum(each) for key, each in widths(schema).items()}
    return {key: length for key, length in found.items() if length}


def cells(table: Table, least: int = 0) -> dict[str, list[float]]:
    """The rows in each cell, class by class and within it column by column; those of fewer than `least` suppressed."""
    found: dict[str, list[float]] = {BIN: [], LEVEL: []}
    group = table.group
    for number in range(classes(table.schema)):
        part = table.take(np.flatnonzero(group == number))
        for index, column in enumerate(table.schema.numbers):
            found[BIN] += joined(_bins(column, part.numbers[:, index]), least)
        for index, category in enumerate(table.schema.categories):
            found[LEVEL] += suppressed(_levels(category, part.levels[:, index]), least)
    return {key: counts for key, counts in found.items() if counts}


def joined(counts: Integers, least: int) -> list[float]:
    """Bins' counts, then those of wider ones, to which bins of fewer rows than `least` are joined, then the rest."""
    *kept, rest = suppressed(counts, least)
    if len(counts) <= JOINED:
        return [*kept, rest]
    small = np.where(counts < least, counts, 0)
    return [*kept, *joined(np.add.reduceat(small, np.arange(0, len(small), JOINED)), least)]


def suppressed(counts: Integers, least: int) -> list[float]:
    """The counts, those below `least` as 0, and what these come to."""
    small = counts < least
    return [*np.where(small, 0, counts).astype(float).tolist(), float(counts[small].sum())]


def _bins(column: Number, values: Floats) -> Integers:
    edges = np.array(column.edges)
    place = np.searchsorted(edges, values[~np.isnan(values)], side="right") - 1
    return np.bincount(np.clip(place, 0, len(edges) - 2), minlength=len(edges) - 1)


def _levels(category: Category, levels: Integers) -> Integers:
    """Rows of each level, and last those without one."""
    return np.roll(np.bincount(levels + 1, minlength=len(category.levels) + 1), -1)


def parted(values: Sequence[float], widths: Sequence[int]) -> Iterator[Floats]:
    """A list of cells, one array for each column of each class, in their order."""
    array = np.asarray(values, np.float64)
    number = len(array) // (sum(widths) or 1)
    yield from np.split(array, np.cumsum([*widths] * number)[:-1]) if array.size else ()


def values_of(means: Mapping[str, Sequence[float]], schema: Schema) -> Floats:
    """float64[columns of numbers]: how many rows have a value, suppressed ones too, in what `means` counts in."""
    width = widths(schema)[BIN]
    counts = [part.sum() for part in parted(means.get(BIN, ()), width)]
    found: Floats = np.reshape(np.array(counts, np.float64), (classes(schema), len(width))).sum(axis=0)
    return found
