"""Which rows a hospital trains on: its own, from its own configuration, and in a simulation its part of all."""

from __future__ import annotations

import functools
import logging
import secrets
from pathlib import Path

from flwr.app import Context

from fedsec.app import simulated
from fedsec.app.config import OWN_ROWS, RunConfig
from fedsec.data import files, schema
from fedsec.data.bundled import Dataset
from fedsec.data.preparation import Preparation
from fedsec.data.row_files import fingerprint
from fedsec.data.table import Table
from fedsec.errors import ConfigurationError
from fedsec.flower.simulation import in_simulation

LOG = logging.getLogger(__name__)
DATA, SCHEMA, STRICT = "fedsec-data", "fedsec-schema", "fedsec-strict"
"""Keys of a node's configuration: the file with this hospital's rows, the schema that all agreed on, and whether rows
in which something looks wrong are refused, before anything is sent."""


def index(context: Context) -> int:
    """What tells this hospital's random draws of training apart: its index in a simulation, which can be repeated.

    In a deployment it is drawn anew for each answer: whoever knew the draws could tell rows from an update.
    """
    part = None if context.node_config.get(DATA) else context.node_config.get("partition-id")
    return secrets.randbelow(2**32) if part is None else int(part)


def rows(config: RunConfig, context: Context) -> Table:
    """This hospital's rows.

    Raises ConfigurationError where a deployed node names no file, or the run asks it for rows that are not its own:
    which file is read is decided at the hospital, never by whoever submits the run.
    """
    node = context.node_config
    if node.get(DATA):
        if config.dataset != OWN_ROWS:
            raise ConfigurationError(
                f"the run's dataset is {config.data_name!r}, but this hospital's node offers its own rows ({DATA}): "
                f"start the run with dataset={OWN_ROWS}"
            )
        data, schema_file, strict = str(node[DATA]), str(node.get(SCHEMA, "")), node.get(STRICT, False)
        if not isinstance(strict, bool):
            raise ConfigurationError(f"{STRICT} is {strict!r} in this node's configuration; true or false was expected")
        return _own(data, schema_file, fingerprint(data, *filter(None, [schema_file])), strict)
    if config.dataset == OWN_ROWS or not in_simulation():
        raise ConfigurationError(
            f"this hospital's node names no rows: set {DATA} in its node configuration to the file of its rows, and "
            f"{SCHEMA} to the schema that all hospitals agreed on"
        )
    return _part(config, int(node["partition-id"]), int(node["num-partitions"]))


def check_schema(table: Table, asked: object) -> None:
    """Raise ConfigurationError where a run's schema, as TOML, is not the one of these rows.

    Two schemas with as many columns but other ranges would give sums that mean nothing, and nobody would notice.
    """
    if not isinstance(asked, str):
        raise ConfigurationError("the run names no schema; one is needed to add up statistics of hospitals' own rows")
    if differences := table.schema.differences(schema.parse(asked, "of the run")):
        raise ConfigurationError(
            f"the run's schema is not the one that {SCHEMA} names here: {'; '.join(differences)}. Agree on one file"
        )


def prepared(config: RunConfig, context: Context, preparation: str) -> Dataset:
    """This hospital's rows as features, prepared by what all hospitals' rows together say."""
    return _features(rows(config, context), preparation)


@functools.lru_cache(maxsize=64)
def _features(table: Table, preparation: str) -> Dataset:
    return Preparation.from_json(preparation).apply(table)


@functools.lru_cache(maxsize=1)
def _own(data: str, schema_file: str, contents: str, strict: bool) -> Table:
    """`contents` is a digest of the files: rows that were corrected between two runs are read again.

    Where `strict`, a suspicion is a DataError: this hospital then adds nothing to any sum, which counts it as one
    without usable input and no more, and its own log says why.
    """
    if not schema_file:
        raise ConfigurationError(
            f"{DATA} is {data!r}, but {SCHEMA} is not set: name the schema that all hospitals agreed on"
        )
    table = files.load_hospital(Path(data).expanduser(), Path(schema_file).expanduser(), strict)
    for note in table.notes:
        LOG.info("rows of %s: %s", data, note)
    for suspicion in table.suspicions:
        LOG.warning("rows of %s: %s", data, suspicion)
    return table


@functools.lru_cache(maxsize=64)
def _part(config: RunConfig, index: int, count: int) -> Table:
    return simulated.study(config, count).rows(index)
