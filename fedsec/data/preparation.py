"""Imputation, standardisation and vocabularies from securely summed statistics, so that no hospital's figures leave it.

A hospital's statistics are what Table 1 counts of its rows, by class of the label: of each column of numbers how many
rows have a value, the value within the schema's range and its square, and the rows in each bin; of each column of words
the rows of each level; and which suspicions it has. They are the metrics of one secure aggregation, weighted by rows,
so that the server learns what the pooled data would give it and nothing of one hospital. Where all hospitals weigh the
same they are totals over its rows, and how many these are, which come to the same.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fedsec.data import suspicion, table_cells
from fedsec.data.bundled import Dataset, Floats
from fedsec.data.label import Label
from fedsec.data.schema import Schema
from fedsec.data.table import Integers, Table
from fedsec.data.table_cells import BIN, LEVEL, classes
from fedsec.errors import BadMessage, DataError

Statistics = dict[str, list[float]]
PRESENT, VALUE, SQUARE, TARGET, SUSPICIOUS = (
    f"rows.{name}" for name in ("present", "value", "square", "target", "suspicious")
)
COUNT = "rows.count"
_SLACK = 1e-9
"""What the rounding of sums may add to a total, as a share of all rows."""
RANGES: Mapping[str, tuple[float, float]] = dict.fromkeys(
    (PRESENT, VALUE, SQUARE, BIN, LEVEL, TARGET, SUSPICIOUS), (0.0, 1.0)
)
"""All of them lie between 0 and 1: the secure sum's metrics are exact to 2^-53 of that a row."""
WHOLE = (PRESENT, BIN, LEVEL, SUSPICIOUS)
"""Those that are whole numbers, times a hospital's rows where they are shares of them."""
GAPS = 0.01
"""A numeric column with a larger share of gaps gets a second feature, which says where they are."""


def statistics(table: Table, least: int = 0) -> Statistics:
    """`totals` over the number of a hospital's rows: shares and means, so that weights of rows make them totals."""
    rows = len(table.target)
    return {key: [each / rows for each in value] for key, value in _sums(table, least).items()}


def totals(table: Table, least: int = 0) -> dict[str, Any]:
    """What a hospital adds to the sums, and how many rows it has.

    rows.present: how many rows of a class have a value in a numeric column · rows.value, rows.square: the sum of
    (x - low) / (high - low) and of its square over these · rows.bin, rows.level: see table_cells · rows.target: what
    Label.sums has · rows.suspicious: 1 for each suspicion, see suspicion.places. All but
    the last two are class by class and within it in the schema's order. None of the lists is empty.

    least: cells with fewer rows are suppressed, and so are the values of a column that fewer rows of a class have.
    """
    return {**_sums(table, least), COUNT: float(len(table.target))}


def _sums(table: Table, least: int) -> Statistics:
    low = np.array([column.low for column in table.schema.numbers])
    width = np.array([column.high - column.low for column in table.schema.numbers])
    group, found = table.group, ~np.isnan(table.numbers)
    scaled = np.where(found, (np.nan_to_num(table.numbers) - low) / width, 0.0)
    sums: dict[str, list[Floats]] = {PRESENT: [], VALUE: [], SQUARE: []}
    for number in range(classes(table.schema)):
        part, there = scaled[group == number], found[group == number]
        kept = there.sum(axis=0) >= least
        for key, each in ((PRESENT, there), (VALUE, part), (SQUARE, part**2)):
            sums[key].append(each.sum(axis=0) * kept)
    lists = {key: np.concatenate(parts).astype(float).tolist() for key, parts in sums.items()}
    return {
        **{key: values for key, values in lists.items() if values},
        **table_cells.cells(table, least),
        TARGET: table.schema.label.sums(table.target),
        SUSPICIOUS: suspicion.flags(table, least),
    }


def lengths(schema: Schema) -> dict[str, int]:
    """How many numbers each list of the statistics has."""
    columns = classes(schema) * len(schema.numbers)
    moments = dict.fromkeys((PRESENT, VALUE, SQUARE), columns) if columns else {}
    return {
        **moments,
        **table_cells.lengths(schema),
        TARGET: schema.label.summed,
        SUSPICIOUS: len(suspicion.places(schema)),
    }


def whole(largest_weight: int) -> dict[str, float]:
    """The grids of a secure sum's metrics that say which are whole numbers: those travel in few bits, and exactly.

    largest_weight: rows of a hospital at most; 1 with equal weights, where the statistics are totals.
    """
    return dict.fromkeys(WHOLE, 1 / math.ldexp(0.5, math.frexp(largest_weight)[1]))


def of_totals(means: Mapping[str, Any], hospitals: float) -> tuple[dict[str, float | list[float]], int]:
    """Means over all rows, and how many rows there are, from the mean of this many hospitals' totals.

    Raises BadMessage where no hospital had a row, or where no rows have such totals: one hospital's input is enough for
    this. Within it a hospital can count any number of rows of its own.
    """
    rows = float(means.get(COUNT, 0.0))
    if not rows > 0:
        raise BadMessage("the statistics are totals over no rows")
    wholes = {VALUE: means.get(PRESENT), SQUARE: means.get(VALUE), SUSPICIOUS: 1.0}
    for key, value in means.items():
        if key != COUNT and not _parts(value, wholes.get(key, rows), rows * _SLACK):
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
    target_mean, target_deviation: of the label in its units; the mean is the share of class 1 of two, and 0 of several.
    target_shares: the shares of several classes, or of the rows without and with the event of a survival time.
    """

    rows: int
    numbers: tuple[Measured, ...]
    levels: Mapping[str, Mapping[str, float]]
    target_mean: float
    target_deviation: float
    target_shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, schema: Schema, means: Mapping[str, Any], rows: int) -> Preparation:
        """From weighted means of `statistics`; raises BadMessage where they are not those of this schema."""
        check_lengths(schema, means)
        value_shares, numbers = table_cells.values_of(means, schema), []
        moments = [_by_class(means.get(key, ()), schema).sum(axis=0) for key in (PRESENT, VALUE, SQUARE)]
        for column, share, counted, value, square in zip(schema.numbers, value_shares, *moments, strict=True):
            known = counted > 0  # or all values are suppressed
            present = min(max(float(share), 0.0), 1.0) if known else 0.0
            mean, deviation = moments_of(value / (counted or 1.0), square / (counted or 1.0), column.low, column.high)
            numbers.append(Measured(column.name, present, mean if known else math.nan, deviation if known else 0.0))
        parts = list(table_cells.parted(means.get(LEVEL, ()), table_cells.widths(schema)[LEVEL]))
        levels = {}
        for index, category in enumerate(schema.categories):
            shares = np.sum(parts[index :: len(schema.categories)], axis=0).clip(0.0)
            levels[category.name] = dict(zip(category.levels, shares.tolist(), strict=False))
        return cls(rows, tuple(numbers), levels, *_of_label(schema.label, means[TARGET]))

    def to_json(self) -> str:
        """As hospitals receive it; floats survive exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preparation:
        """What `to_json` wrote; raises BadMessage on anything else."""
        try:
            document = json.loads(text)
            numbers, shares = (document.get(key, ()) for key in ("numbers", "target_shares"))
            found = {"numbers": tuple(Measured(**one) for one in numbers), "target_shares": tuple(map(float, shares))}
            return cls(**document | found)
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

        A number to predict is standardised likewise, a count divided by its mean, and their scale kept; a survival time
        counts in intervals. Raises DataError where the label never varies.
        """
        label = table.schema.label
        if not self._varies(label):
            same = "has no event in any training row" if label.event else "is the same in all training rows"
            raise DataError(f"{table.name}: label {label.columns[-1]!r} {same}; nothing to learn")
        if not self.features():
            raise DataError(f"{table.name}: no column has a value in any training row")
        target, mean, scale = self._scaled(table)
        return Dataset(
            table.name,
            table.task,
            self.matrix(table.numbers, table.levels),
            target,
            self.features(),
            table.source,
            mean,
            scale,
            table.outputs,
            self.start(table.schema.label),
        )

    def start(self, label: Label) -> tuple[float, ...]:
        """The log of the hazard of each interval of a survival time, if it were the same at all times; else empty.

        Of all hospitals' rows that is the number with the event over the time that all were seen.
        """
        if not label.event or not (self.target_shares[1] > 0.0 and self.target_mean > 0.0):
            return ()
        rate = self.target_shares[1] / self.target_mean
        return tuple(math.log(rate * (last - first)) for first, last in itertools.pairwise(label.edges))

    def _varies(self, label: Label) -> bool:
        """Whether there is anything to learn."""
        if label.event:
            return self.target_shares[1] > 0.0
        if self.target_shares:
            return max(self.target_shares) < 1.0
        return self.target_deviation > 0.0

    def _scaled(self, table: Table) -> tuple[Floats, float, float]:
        """The target as a model learns it, and what it is in the units of the source: so many times this, plus that."""
        if table.schema.label.event:
            edges = table.schema.label.edges
            places = np.interp(np.abs(table.target), edges, np.arange(len(edges), dtype=np.float64))
            return np.copysign(places, table.target), 0.0, 1.0
        mean, scale = 0.0, 1.0
        if table.task == "regression":
            mean, scale = self.target_mean, self.target_deviation
        elif table.task == "count":
            scale = self.target_mean
        return (table.target - mean) / scale, mean, scale

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


def check_lengths(schema: Schema, means: Mapping[str, Any]) -> None:
    """Raise BadMessage where these lists are not those of the statistics of this schema."""
    expected = lengths(schema)
    got = {key: len(value) for key, value in means.items() if isinstance(value, list)}
    if got != expected:
        raise BadMessage(f"statistics have lists of {got}, but the schema needs {expected}: use one schema everywhere")


def _of_label(label: Label, sums: Sequence[float]) -> tuple[float, float, tuple[float, ...]]:
    """Mean, standard deviation and shares of the label, from the means of `Label.sums` over all rows."""
    if label.task == "multiclass":
        found = np.clip(np.asarray(sums, np.float64), 0.0, None)
        return 0.0, 0.0, tuple((found / (found.sum() or 1.0)).tolist())
    moments = moments_of(sums[0], sums[1], label.low, label.high)
    if not label.event:
        return *moments, ()
    events = min(max(float(sums[2]), 0.0), 1.0)
    return *moments, (1.0 - events, events)


def _by_class(values: Sequence[float], schema: Schema) -> Floats:
    """float64[classes, columns of numbers]"""
    return np.reshape(np.asarray(values, np.float64), (classes(schema), len(schema.numbers)))


def moments_of(value: float, square: float, low: float, high: float) -> tuple[float, float]:
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
    label, rows = table.schema.label, len(table.target)
    shares = np.bincount(table.group, minlength=len(label.groups)) / rows
    if label.task == "multiclass":
        return Preparation(rows, tuple(numbers), levels, 0.0, 0.0, tuple(shares.tolist()))
    target = np.abs(table.target) if label.event else table.target
    told = tuple(shares.tolist()) if label.event else ()
    return Preparation(rows, tuple(numbers), levels, float(target.mean()), float(target.std()), told)
