"""Which rows a hospital trains on: its own, from its own configuration, and in a simulation its part of all."""

from __future__ import annotations

import functools
from pathlib import Path

from flwr.app import Context

from fedsec.app import simulated
from fedsec.app.config import OWN_ROWS, RunConfig
from fedsec.data import files
from fedsec.data.bundled import Dataset
from fedsec.data.preparation import Preparation
from fedsec.data.table import Table
from fedsec.errors import ConfigurationError
from fedsec.flower.client import in_simulation

DATA, SCHEMA = "fedsec-data", "fedsec-schema"
"""Keys of a node's configuration: the file with this hospital's rows, and the schema that all agreed on."""


def place(context: Context) -> int:
    """The hospital's index in a simulation, from 0; in a deployment its place in the random draws of training."""
    return int(context.node_config.get("partition-id", context.node_id))


def rows(config: RunConfig, context: Context) -> Table:
    """This hospital's rows.

    Raises ConfigurationError where a deployed node names no file, or the run asks it for rows that are not its own:
    which file is read is decided at the hospital, never by whoever submits the run.
    """
    node = context.node_config
    if node.get(DATA):
        return _own(str(node[DATA]), str(node.get(SCHEMA, "")))
    if config.dataset == OWN_ROWS or not in_simulation():
        raise ConfigurationError(
            f"no rows are configured at this hospital: {DATA} in its node configuration names the file, and {SCHEMA} "
            "the schema"
        )
    return _part(config, int(node["partition-id"]), int(node["num-partitions"]))


def prepared(config: RunConfig, context: Context, preparation: str) -> Dataset:
    """This hospital's rows as features, prepared by what all hospitals' rows together say."""
    return _features(rows(config, context), preparation)


@functools.lru_cache(maxsize=64)
def _features(table: Table, preparation: str) -> Dataset:
    return Preparation.from_json(preparation).apply(table)


@functools.lru_cache(maxsize=1)
def _own(data: str, schema: str) -> Table:
    if not schema:
        raise ConfigurationError(f"{DATA} is set, and {SCHEMA}, the schema that all hospitals agreed on, is not")
    return files.load_own(Path(data).expanduser(), Path(schema).expanduser())


@functools.lru_cache(maxsize=64)
def _part(config: RunConfig, place: int, count: int) -> Table:
    return simulated.study(config, count).rows(place)
