"""Which hospital of a run holds which rows, before anything is computed on them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedsec.app.config import RunConfig
from fedsec.data import files, registry
from fedsec.data.row_files import fingerprint
from fedsec.data.schema import BINS, with_bins
from fedsec.data.table import Table, split
from fedsec.errors import ConfigurationError, DataError
from fedsec.simulations.run.partitions import MINIMUM_ROWS, partition

FEW = 1
"""Bins of a histogram in the statistics where each value of a sum is costly, and no schema says otherwise."""
EVEN = 5
"""How many hospitals share data that have no sites, where nothing else is said."""


@dataclass(frozen=True, eq=False)
class Hospitals:
    """Training rows and common test rows; which training rows each hospital holds, and the hospitals' names."""

    train: Table
    test: Table
    parts: tuple[NDArray[np.int64], ...]
    names: tuple[str, ...]

    def rows(self, place: int) -> Table:
        """What one hospital holds."""
        return self.train.take(self.parts[place])


def of_config(config: RunConfig, hospitals: int = 0, strict: bool = True, all_rows: bool = False) -> Hospitals:
    """The hospitals of a run: `hospitals` of them, or, for 0, as many as the data have sites, and five where none.

    Raises ConfigurationError where the number is not that of the sites, and DataError, naming the hospital and the
    counts, where one has too few rows or a single class; `strict` False lets these pass. With `all_rows` the test rows
    are among the training rows too, and each hospital has its own.
    """
    return _of(
        source_of(config) if config.data else config.dataset,
        fingerprint(config.data, *filter(None, [config.schema_file])) if config.data else "",
        config.minimum_rows,
        config.seed,
        config.partition,
        hospitals,
        config.one_class,
        strict,
        all_rows,
        FEW if config.protocol().costly else BINS,
    )


def source_of(config: RunConfig) -> files.RowsSource:
    """Where the rows of a run are, by its options about rows of one's own."""
    drop, missing, dates = (
        tuple(filter(None, (part.strip() for part in text.split(","))))
        for text in (config.drop, config.missing, config.dates)
    )
    return files.RowsSource(
        config.data,
        config.site,
        config.label,
        config.person,
        config.positive,
        drop,
        config.schema_file,
        config.task,
        missing,
        dates,
        config.drop_unlabelled,
        config.strict,
        config.event,
    )


@functools.lru_cache(maxsize=4)
def _of(
    source: str | files.RowsSource,
    contents: str,
    minimum: int,
    seed: int,
    how: str,
    hospitals: int,
    one_class: bool,
    strict: bool,
    all_rows: bool,
    bins: int,
) -> Hospitals:
    """`contents` is a digest of the files: rows that were corrected are read again."""
    table = registry.load(source) if isinstance(source, str) else files.load(source)
    if bins != BINS and not (isinstance(source, files.RowsSource) and source.schema):  # what was agreed on stays
        table = replace(table, schema=with_bins(table.schema, bins))
    if minimum:
        table = table.grouped(minimum)
    train, test = split(table, seed)
    train = table if all_rows else train
    label = train.schema.label
    varied = train.group if label.groups else train.target
    if varied.min() == varied.max() and not (label.event and varied[0]):
        raise DataError(
            f"{table.name}: label {label.columns[-1]!r} is {varied[0]:g} in all {len(varied)} training rows; there is "
            "nothing to learn"
        )
    natural = how == "natural" or (how == "auto" and table.site is not None)
    if not natural:
        count = hospitals or EVEN
        parts = partition(train, count, "even" if how == "auto" else how, seed)  # type: ignore[arg-type]
        return Hospitals(train, test, tuple(parts), tuple(f"hospital {place}" for place in range(1, count + 1)))
    if train.site is None:
        raise ConfigurationError(f"partition is 'natural', but {table.name} has no sites; use even or label-skew")
    if hospitals not in (0, len(table.sites)):
        raise ConfigurationError(
            f"clients is {hospitals}, but {table.name} has {len(table.sites)} sites: {_list(table.sites)}; leave "
            "clients out, or use partition even or label-skew"
        )
    found = tuple(np.flatnonzero(train.site == place) for place in range(len(table.sites)))
    if strict:
        check(train, found, table.sites, one_class)
    elif empty := [name for name, rows in zip(table.sites, found, strict=True) if not len(rows)]:
        raise DataError(f"hospitals without a training row: {_list(tuple(empty))}; join small sites with minimum-rows")
    return Hospitals(train, test, found, table.sites)


def check(train: Table, parts: tuple[NDArray[np.int64], ...], names: tuple[str, ...], one_class: bool) -> None:
    """Raise DataError where a hospital has too few training rows, or one class where `one_class` does not allow it."""
    for name, rows in zip(names, parts, strict=True):
        if len(rows) < MINIMUM_ROWS:
            raise DataError(
                f"hospital {name!r} has {len(rows)} training rows; each needs at least {MINIMUM_ROWS}. Join small "
                "sites with minimum-rows"
            )
        label, group = train.schema.label, train.group[rows]
        if label.groups and not label.event and not one_class and group.min() == group.max():
            named = label.classes[group[0]] if label.classes else group[0]
            raise DataError(
                f"hospital {name!r}: label {label.name!r} is {named} in all of its {len(rows)} training rows; "
                "two classes were expected. Join small sites with minimum-rows, or set one-class"
            )


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
