"""Which hospital holds which rows: an even deal, or label skew by the partitioner of flwr_datasets.

flwr_datasets is imported where it is used: with Hugging Face `datasets`, pandas and pyarrow it takes about 3 seconds.
The rows are handed to it in memory, so it neither reaches the network nor writes a cache.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Labelled
from fedsec.data.label import groups_of
from fedsec.errors import ConfigurationError, DataError, unknown

Partitioning = Literal["even", "label-skew"]
Rows = NDArray[np.int64]

PARTITIONINGS: tuple[str, ...] = get_args(Partitioning)
MINIMUM_ROWS = 8
"""The fewest rows a hospital is given."""


def partition(
    dataset: Labelled, hospitals: int, how: Partitioning, seed: int, concentration: float = 0.5
) -> list[Rows]:
    """Row indices of each hospital, int64 and ascending: every row is in exactly one hospital.

    even: a shuffle by `seed`, dealt out in parts whose sizes differ by at most one.
    label-skew: each class is divided by its own Dirichlet(concentration) draw over the hospitals (Yurochkin et al.,
    arXiv:1905.12022): hospitals differ in size and in class balance, the more so the smaller the concentration. For
    a number or a count its quartiles take the place of the classes. A hospital may hold a single class.
    Every hospital has at least MINIMUM_ROWS rows; the same arguments always give the same parts.

    hospitals: at least 1. seed: 0 .. 2**32 - 1. concentration: 0.01 .. 1e6.
    Raises ConfigurationError for an argument out of range and DataError for too few rows, with the counts.
    """
    _check(dataset, hospitals, how, seed, concentration)
    if how == "even":
        parts = np.array_split(np.random.default_rng(seed).permutation(len(dataset.target)), hospitals)
    else:
        parts = _top_up(_label_skew(_labels(dataset), hospitals, seed, concentration))
    return [np.sort(rows) for rows in parts]


def _check(dataset: Labelled, hospitals: int, how: str, seed: int, concentration: float) -> None:
    if how not in PARTITIONINGS:
        raise unknown("partition", how, PARTITIONINGS)
    if hospitals < 1:
        raise ConfigurationError(f"hospitals is {hospitals}; it must be at least 1")
    if not 0 <= seed < 2**32:
        raise ConfigurationError(f"seed is {seed}; it must be from 0 to 2**32 - 1")
    if not 0.01 <= concentration <= 1e6:
        raise ConfigurationError(f"concentration is {concentration}; it must be from 0.01 to 1e6")
    rows = len(dataset.target)
    if rows < hospitals * MINIMUM_ROWS:
        raise DataError(
            f"{dataset.name} has {rows} training rows for {hospitals} hospitals; each needs at least {MINIMUM_ROWS} "
            f"rows, so use at most {rows // MINIMUM_ROWS} hospitals"
        )


def _labels(dataset: Labelled) -> Rows:
    """int64[rows]: the class, or whether the event came, or for a number or a count its quartile, 0 to 3."""
    if dataset.task not in ("regression", "count"):
        return groups_of(dataset.task, dataset.target)
    quartiles = np.quantile(dataset.target, [0.25, 0.5, 0.75])
    return np.searchsorted(quartiles, dataset.target, side="right").astype(np.int64)


def _label_skew(labels: Rows, hospitals: int, seed: int, concentration: float) -> list[Rows]:
    from datasets import Dataset as Table
    from flwr_datasets.partitioner import DirichletPartitioner

    # min_partition_size=0: above it, DirichletPartitioner draws anew with a warning and gives up with a ValueError
    # after the eleventh draw, for 3 of 30 seeds with 10 hospitals at concentration 0.5 and for all 30 with 20 (two
    # classes, 455 rows, 8 at least); and the draws that pass are less skewed than asked for. Nor self_balancing,
    # which divides by zero once every hospital is above average.
    partitioner = DirichletPartitioner(
        hospitals, "label", float(concentration), min_partition_size=0, self_balancing=False, shuffle=True, seed=seed
    )
    partitioner.dataset = Table.from_dict({"row": list(range(len(labels))), "label": labels.tolist()})
    return [np.asarray(partitioner.load_partition(k)["row"], dtype=np.int64) for k in range(hospitals)]


def _top_up(parts: list[Rows]) -> list[Rows]:
    """The same parts, with rows of the largest hospitals given to those below MINIMUM_ROWS, one row at a time.

    DirichletPartitioner has shuffled each part, so the last row of a part is a random one.
    """
    parts = list(parts)
    for poor in range(len(parts)):
        while len(parts[poor]) < MINIMUM_ROWS:
            rich = max(range(len(parts)), key=lambda k: len(parts[k]))
            parts[poor] = np.append(parts[poor], parts[rich][-1])
            parts[rich] = parts[rich][:-1]
    return parts
