"""Rows as hospitals have them: columns with gaps, words beside numbers, the site that each row is from, and the label.

`table_columns` makes a table of raw values and checks it against its schema; preparation turns it into the numbers that
a model is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats, held_out
from fedsec.data.label import Task
from fedsec.data.schema import Schema
from fedsec.errors import ConfigurationError, DataError

Integers = NDArray[np.int64]
OTHERS = "other sites"


@dataclass(frozen=True)
class Suspicion:
    """What may be wrong with rows: a sentence with its cure.

    kind: one of `suspicion.KINDS`. column: of the schema; empty where no column is meant. rows: those that it is about,
    where they may be at one hospital and not at another; None where they are not kept.
    """

    kind: str
    text: str
    column: str = ""
    rows: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return self.text

    def within(self, rows: Integers) -> Suspicion:
        """The same of these rows alone, numbered in their order."""
        if self.rows is None:
            return self
        return replace(self, rows=tuple(np.flatnonzero(np.isin(rows, self.rows)).tolist()))


@dataclass(frozen=True, eq=False)
class Table:
    """Rows under a schema.

    numbers: float64[rows, numeric columns], NaN where missing. levels: int64[rows, columns of words], the index in the
    vocabulary, -1 where missing. target: float64[rows], as fedsec.data.label has it. sites: the hospitals' names, empty
    where the data have none; site: int64[rows], the index in `sites`. person: int64[rows]; rows of one person go
    together to the training or to the test part. notes: how the rows were read, in sentences. suspicions: what may be
    wrong with them.
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
    notes: tuple[str, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()

    @property
    def task(self) -> Task:
        """What the label is predicted as."""
        return self.schema.label.task

    @property
    def outputs(self) -> int:
        """How many scores a model has for a row."""
        return self.schema.label.outputs

    @property
    def group(self) -> Integers:
        """int64[rows]: the group of the label that each row belongs to."""
        return self.schema.label.group_of(self.target)

    @property
    def stratum(self) -> Integers:
        """int64[rows]: the group, or the quartile of a number, that parts are to have alike."""
        return self.schema.label.stratum(self.target)

    def take(self, rows: Integers) -> Table:
        """The table of these rows alone, in their order."""
        return replace(
            self,
            numbers=self.numbers[rows],
            levels=self.levels[rows],
            target=self.target[rows],
            site=None if self.site is None else self.site[rows],
            person=None if self.person is None else self.person[rows],
            suspicions=tuple(one.within(rows) for one in self.suspicions),
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


def split(table: Table, seed: int, test_fraction: float = 0.2) -> tuple[Table, Table]:
    """A training part and a held-out test part, drawn by `seed`: whole persons, balanced over sites and classes.

    The parts are as `bundled.split` draws them where the data have neither sites nor persons. Else persons are ordered
    by site and class (for a number or a count, quartile of it) and by chance within these, and every fifth, at a
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
    np.maximum.at(stratum, np.searchsorted(people, person), table.stratum)
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
