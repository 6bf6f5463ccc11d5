"""Partitions: every row in exactly one hospital, none too small, the same for the same seed, and offline."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from datasets import Dataset as Table
from flwr_datasets.partitioner import IidPartitioner
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsec.data.bundled import Dataset, load, split
from fedsec.data.label import Task
from fedsec.errors import ConfigurationError, DataError
from fedsec.simulations.run.partitions import MINIMUM_ROWS, PARTITIONINGS, Partitioning, Rows, partition
from tests.tiers import examples

pytestmark = pytest.mark.versions  # its parts are those of flwr_datasets and NumPy


def toy(task: Task, rows: int) -> Dataset:
    rng = np.random.default_rng(rows)
    target = (rng.random(rows) < 0.3).astype(np.float64) if task == "classification" else rng.normal(size=rows)
    return Dataset("toy", task, rng.normal(size=(rows, 1)), target, ("a",), "made up")


def fresh(code: str) -> str:
    """What this code prints in a new interpreter, where nothing has been imported yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def check(parts: Sequence[Rows], rows: int, hospitals: int) -> None:
    assert len(parts) == hospitals
    assert all(part.dtype == np.int64 and len(part) >= MINIMUM_ROWS for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(rows))


@settings(max_examples=examples(25), deadline=None)
@given(
    task=st.sampled_from(["classification", "regression"]),
    how=st.sampled_from(PARTITIONINGS),
    hospitals=st.integers(1, 12),
    spare=st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
    concentration=st.floats(0.01, 1e6),
)
def test_every_row_in_exactly_one_hospital(
    task: Task, how: Partitioning, hospitals: int, spare: int, seed: int, concentration: float
) -> None:
    rows = hospitals * MINIMUM_ROWS + spare
    dataset = toy(task, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = partition(dataset, hospitals, how, seed, concentration)
        again = partition(dataset, hospitals, how, seed, concentration)
    check(parts, rows, hospitals)
    assert all(np.array_equal(first, second) for first, second in zip(parts, again, strict=True))


@pytest.mark.parametrize("how", PARTITIONINGS)
def test_another_seed_gives_other_parts(how: Partitioning) -> None:
    dataset = toy("regression", 100)
    assert not np.array_equal(partition(dataset, 2, how, 0)[0], partition(dataset, 2, how, 1)[0])


@pytest.mark.parametrize(("rows", "hospitals"), [(455, 3), (103, 10), (80, 10), (9, 1)])
def test_even_parts_are_those_of_flwr_datasets(rows: int, hospitals: int) -> None:
    order = np.random.default_rng(5).permutation(rows)
    partitioner = IidPartitioner(hospitals)
    partitioner.dataset = Table.from_dict({"row": order.tolist()})
    for number, part in enumerate(partition(toy("classification", rows), hospitals, "even", 5)):
        assert part.tolist() == sorted(partitioner.load_partition(number)["row"])


def test_even_parts_differ_by_one_row_at_most() -> None:
    sizes = [len(part) for part in partition(toy("classification", 103), 5, "even", 0)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", ["breast-cancer", "diabetes"])
def test_smaller_concentration_skews_more(name: str) -> None:
    """Spread of the hospitals' mean target, averaged over seeds: even < mild < strong."""
    train, _ = split(load(name), 0)

    def spread(how: Partitioning, concentration: float) -> float:
        draws = [partition(train, 5, how, seed, concentration) for seed in range(8)]
        return float(np.mean([np.std([train.target[part].mean() for part in parts]) for parts in draws]))

    assert spread("even", 0.5) < spread("label-skew", 5.0) < spread("label-skew", 0.2)


def test_unreliable_draws_are_topped_up() -> None:
    """20 hospitals at concentration 0.5: DirichletPartitioner's own minimum gives up here, whatever the seed."""
    train, _ = split(load("breast-cancer"), 0)
    for seed in range(5):
        check(partition(train, 20, "label-skew", seed), len(train.target), 20)


def test_pinned_parts() -> None:
    """A change in flwr_datasets or numpy that moves rows between hospitals must not go unseen."""
    train, _ = split(load("breast-cancer"), 0)
    assert [len(part) for part in partition(train, 5, "label-skew", 0)] == [98, 50, 158, 104, 45]
    assert partition(train, 5, "even", 0)[0][:4].tolist() == [2, 5, 18, 19]


def test_too_few_rows_says_the_counts() -> None:
    with pytest.raises(DataError, match=r"toy has 39 training rows for 5 hospitals.*at least 8.*at most 4 hospitals"):
        partition(toy("classification", 39), 5, "even", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hospitals": 0}, "hospitals is 0; it must be at least 1"),
        ({"how": "label-skewed"}, r"unknown partition 'label-skewed'; did you mean 'label-skew'"),
        ({"seed": -1}, "seed is -1"),
        ({"concentration": 0.0}, "concentration is 0.0; it must be from 0.01 to 1e6"),
        ({"concentration": float("nan")}, "concentration is nan"),
    ],
)
def test_out_of_range_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"hospitals": 3, "how": "even", "seed": 0} | change
    with pytest.raises(ConfigurationError, match=message):
        partition(toy("classification", 60), **arguments)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_no_network() -> None:
    """Neither importing flwr_datasets nor partitioning looks up a name or opens a connection."""
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise SystemExit('partition reached for the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from fedsec.data.bundled import load\n"
        "from fedsec.simulations.run.partitions import PARTITIONINGS, partition\n"
        "print([len(partition(load('diabetes'), 3, how, 0)) for how in PARTITIONINGS])"
    )
    assert fresh(code) == "[3, 3]"


def test_slow_imports_are_put_off() -> None:
    """Neither flwr_datasets nor scikit-learn is loaded by importing the simulations' modules."""
    code = (
        "import sys, fedsec.simulations.run.partitions, fedsec.simulations.run.baselines;"
        "print([name for name in ('flwr', 'flwr_datasets', 'datasets', 'sklearn') if name in sys.modules])"
    )
    assert fresh(code) == "[]"
