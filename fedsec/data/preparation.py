"""Imputation, standardisation and vocabularies from securely summed statistics, so that no hospital's figures leave it.

A hospital's statistics are means over its rows of values in 0..1: whether a column has a value, the value within the
schema's range, its square, and each category of the vocabulary. They are the metrics of one secure aggregation,
weighted by rows, so that the server learns what the pooled data would give it and nothing of one hospital. Where all
hospitals weigh the same they are totals over its rows, and how many these are, which come to the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fedsec.data.bundled import Dataset, Floats
from fedsec.data.schema import Schema
from fedsec.data.table import Integers, Table
from fedsec.errors import BadMessage, DataError

Statistics = dict[str, list[float]]
PRESENT, VALUE, SQUARE, LEVEL, TARGET = (f"rows.{name}" for name in ("present", "value", "square", "level", "target"))
COUNT = "rows.count"
_SLACK = 1e-9
"""What the rounding of sums may add to a total, as a share of all rows."""
RANGES: Mapping[str, tuple[float, float]] = dict.fromkeys((PRESENT, VALUE, SQUARE, LEVEL, TARGET), (0.0, 1.0))
"""All of them lie between 0 and 1: the secure sum's metrics are exact to 2^-53 of that a row."""
GAPS = 0.01
"""A numeric column with a larger share of gaps gets a second feature, which says where they are."""


def statistics(table: Table) -> Statistics:
    """A hospital's means over its rows, each list in the order of the schema; none of the lists is empty.

    rows.present: whether a numeric column has a value · rows.value, rows.square: (x - low) / (high - low) and its
    square, 0 where missing · rows.level: each level of each vocabulary · rows.target: the label and its square, scaled
    like a column.
    """
    found = ~np.isnan(table.numbers)
    low = np.array([column.low for column in table.schema.numbers])
    width = np.array([column.high - column.low for column in table.schema.numbers])
    scaled = np.where(found, (np.nan_to_num(table.numbers) - low) / width, 0.0)
    label = table.schema.label
    target = (table.target - label.low) / (label.high - label.low)
    levels = [
        float((table.levels[:, index] == level).mean())
        for index, column in enumerate(table.schema.categories)
        for level in range(len(column.levels))
    ]
    means: dict[str, Any] = {PRESENT: found.mean(axis=0), VALUE: scaled.mean(axis=0), SQUARE: (scaled**2).mean(axis=0)}
    lists = {key: [float(one) for one in values] for key, values in means.items() if values.size}
    return lists | ({LEVEL: levels} if levels else {}) | {TARGET: [float(target.mean()), float((target**2).mean())]}


def totals(table: Table) -> dict[str, Any]:
    """`statistics` times the number of rows, as sums over these, and that number."""
    rows = len(table.target)
    found: dict[str, Any] = {key: [rows * mean for mean in means] for key, means in statistics(table).items()}
    for key in (PRESENT, LEVEL):
        found |= {key: [float(round(count)) for count in found[key]]} if key in found else {}
    return found | {COUNT: float(rows)}


def of_totals(means: Mapping[str, Any], hospitals: float) -> tuple[dict[str, float | list[float]], int]:
    """Means over all rows, and how many rows there are, from the mean of this many hospitals' totals.

    Raises BadMessage where no hospital had a row, or where no rows have such totals: one hospital's input is enough for
    this. Within it a hospital can count any number of rows of its own.
    """
    rows = float(means.get(COUNT, 0.0))
    if not rows > 0:
        raise BadMessage("the statistics are totals over no rows")
    for key, value in means.items():
        whole = means[PRESENT] if key == VALUE else means[VALUE] if key == SQUARE else rows
        if key != COUNT and not _parts(value, whole, rows * _SLACK):
            raise BadMessage(
                f"the statistics contradict each other: {key} is a total over rows of values from 0 to 1, and exceeds "
                f"what {rows:g} rows at a hospital, on average, can come to"
            )
    found: dict[str, float | list[float]] = {
        key: [each / rows for each in value] for key, value in means.items() if isinstance(value, list)
    }
    return found, round(rows * hospitals)


def _parts(value: Any, whole: Any, slack: float) -> bool:
    """Whether each of these totals lies between 0 and the whole that it is a part of."""
    parts, most = np.asarray(value, np.float64), np.asarray(whole, np.float64)
    return bool(np.all(parts >= -slack) and np.all(parts <= most + slack))


@dataclass(frozen=True)
class Measured:
    """A numeric column over all hospitals: share of rows with a value, and mean and standard deviation of these."""

    name: str
    present: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Preparation:
    """What all hospitals' rows together say, and how rows become features by it.

    rows: how many. numbers: the numeric columns. levels: by column of words, the share of rows of each level.
    target_mean, target_deviation: of the label in its units; the mean is the share of class 1 for classification.
    """

    rows: int
    numbers: tuple[Measured, ...]
    levels: Mapping[str, Mapping[str, float]]
    target_mean: float
    target_deviation: float

    @classmethod
    def of(cls, schema: Schema, means: Mapping[str, Any], rows: int) -> Preparation:
        """From weighted means of `statistics`; raises BadMessage where they are not those of this schema."""
        count, words = len(schema.numbers), sum(len(column.levels) for column in schema.categories)
        expected = {key: count for key in (PRESENT, VALUE, SQUARE) if count} | ({LEVEL: words} if words else {})
        got = {key: len(value) for key, value in means.items() if isinstance(value, list)}
        if got != expected | {TARGET: 2}:
            raise BadMessage(
                f"statistics have lists of {got}, but the schema needs {expected | {TARGET: 2}}: use one schema "
                "everywhere"
            )
        numbers = []
        for index, column in enumerate(schema.numbers):
            present = min(max(float(means[PRESENT][index]), 0.0), 1.0)
            part = present or 1.0
            mean, deviation = _moments(means[VALUE][index] / part, means[SQUARE][index] / part, column.low, column.high)
            numbers.append(Measured(column.name, present, mean if present else math.nan, deviation if present else 0.0))
        shares, levels = iter(means.get(LEVEL, ())), {}
        for category in schema.categories:
            levels[category.name] = {level: max(float(next(shares)), 0.0) for level in category.levels}
        label = schema.label
        value, square = means[TARGET]
        return cls(rows, tuple(numbers), levels, *_moments(value, square, label.low, label.high))

    def to_json(self) -> str:
        """As hospitals receive it; floats survive exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preparation:
        """What `to_json` wrote; raises BadMessage on anything else."""
        try:
            document = json.loads(text)
            return cls(**{**document, "numbers": tuple(Measured(**one) for one in document["numbers"])})
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            raise BadMessage("a preparation, as fedsec writes it in JSON, was expected") from error

    def features(self) -> tuple[str, ...]:
        """The names of the features: numeric columns, where many have gaps, and a feature for each level."""
        return (
            *(one.name for one in self.numbers if one.present),
            *(f"{one.name} missing" for one in self.numbers if 0.0 < one.present < 1.0 - GAPS),
            *(f"{name} = {level}" for name, levels in self.levels.items() for level in levels),
        )

    def apply(self, table: Table) -> Dataset:
        """Features of mean 0 and standard deviation 1 over all hospitals, gaps filled with the mean, levels as 0 or 1.

        A regression target is standardised likewise, and its scale kept. Raises DataError where the label never varies.
        """
        mean, scale = 0.0, 1.0
        if not self.target_deviation > 0.0:
            raise DataError(
                f"{table.name}: label {table.schema.label.name!r} is the same in all training rows; nothing to learn"
            )
        if not self.features():
            raise DataError(f"{table.name}: no column has a value in any training row")
        if table.task == "regression":
            mean, scale = self.target_mean, self.target_deviation
        return Dataset(
            table.name,
            table.task,
            self.matrix(table.numbers, table.levels),
            (table.target - mean) / scale,
            self.features(),
            table.source,
            mean,
            scale,
        )

    def matrix(self, numbers: Floats, levels: Integers) -> Floats:
        """The features of rows, float64[rows, features], from columns as `Table` has them.

        A column that nobody has a value in is left out; one that never varies becomes 0.
        """
        columns = []
        for index, one in enumerate(self.numbers):
            if one.present:
                values = (numbers[:, index] - one.mean) / (one.deviation or 1.0)
                columns.append(np.where(np.isnan(values), 0.0, values))
        for index, one in enumerate(self.numbers):
            if 0.0 < one.present < 1.0 - GAPS:
                columns.append(np.isnan(numbers[:, index]).astype(np.float64))
        for index, words in enumerate(self.levels.values()):
            columns += [(levels[:, index] == level).astype(np.float64) for level in range(len(words))]
        return np.column_stack(columns)


def _moments(value: float, square: float, low: float, high: float) -> tuple[float, float]:
    """Mean and standard deviation in the column's units; a spread below the sums' resolution is none."""
    variance = square - value**2
    spread = math.sqrt(variance) if variance > 1e-13 else 0.0
    return low + float(value) * (high - low), spread * (high - low)


def pooled(table: Table) -> Preparation:
    """The same of all rows in one place: the oracle of the federated way, by numpy's own means and deviations."""
    numbers = []
    for index, column in enumerate(table.schema.numbers):
        there = table.numbers[~np.isnan(table.numbers[:, index]), index]
        mean, deviation = (float(there.mean()), float(there.std())) if there.size else (math.nan, 0.0)
        numbers.append(Measured(column.name, there.size / len(table.target), mean, deviation))
    levels = {
        column.name: {
            level: float((table.levels[:, index] == number).mean()) for number, level in enumerate(column.levels)
        }
        for index, column in enumerate(table.schema.categories)
    }
    return Preparation(len(table.target), tuple(numbers), levels, float(table.target.mean()), float(table.target.std()))
