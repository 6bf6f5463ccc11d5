"""A rehearsal of a deployment of the study's app: the real app, here, over rows that are drawn from the schema.

What it sums has the layouts that the deployment will sum, for layouts follow from the schema, from which columns have
gaps, and from the options; so an agreement can be drawn up before any hospital's row is read.
"""

from __future__ import annotations

import csv
import secrets
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from fedsec.app import client_app, server_app
from fedsec.app.config import OWN_ROWS, RunConfig
from fedsec.app.own_rows import DATA, SCHEMA
from fedsec.data import dates, schema
from fedsec.data.label import Label
from fedsec.data.schema import Number, Schema
from fedsec.errors import unknown
from fedsec.flower import SecureAggregation
from fedsec.flower.simulation import simulating
from fedsec.simulations.run.local_engine import logged
from fedsec.simulations.run.local_grid import LocalGrid

ROWS = 40
"""Rows that are drawn for each hospital."""


def rehearse(config: RunConfig, columns: Path, hospitals: int, gaps: Collection[str] = ()) -> SecureAggregation:
    """The run that `hospitals` hospitals with this schema would do, over invented rows.

    columns: the file of the schema. gaps: its numeric columns of which more than 1% of all values are missing; each
    of them gets a second feature. Raises ConfigurationError on other names, and RunFailed where the run fails.
    """
    agreed = schema.read(columns)
    numbers = [column.name for column in agreed.numbers]
    for name in gaps:
        if name not in numbers:
            raise unknown("numeric column of the schema, in gaps,", name, numbers)
    own = config.model_copy(
        update={"dataset": OWN_ROWS, "data": "", "schema_file": str(columns), "clients": hospitals, "output": ""}
    )
    own.prove(hospitals)
    with tempfile.TemporaryDirectory(prefix="fedsec-rehearsal-") as place:
        files = [Path(place) / f"{number}.csv" for number in range(hospitals)]
        for number, file in enumerate(files):
            _write_rows(file, agreed, gaps, np.random.default_rng(number))
        nodes = [{DATA: str(file), SCHEMA: str(columns)} for file in files]
        with simulating(), logged(Path(place) / "log"):
            grid = LocalGrid(
                client_app.client, own.model_dump(by_alias=True), hospitals, secrets.randbits(63), nodes=nodes
            )
            return server_app.lead(grid, own)


def _write_rows(file: Path, agreed: Schema, gaps: Collection[str], rng: np.random.Generator) -> None:
    """Rows that fit the schema, both classes of a label among them; every fourth value of `gaps` is missing."""
    columns: dict[str, list[str]] = {}
    for column in agreed.columns:
        if isinstance(column, Number):
            numbers = rng.uniform(column.low, column.high, ROWS)
            values = [repr(float(value)) for value in numbers]
            if column.date:
                middle = (column.low + column.high) / 2  # a day is a step: none may round beyond the range
                days = [dates.example(column.date, middle + 0.98 * (number - middle)) for number in numbers]
                values = [day.isoformat() for day, _, _ in days]
                columns |= {at: [start.isoformat()] * ROWS for _, at, start in days if at}
            missing = range(0, ROWS, 4) if column.name in gaps else ()
            columns[column.name] = ["" if row in missing else value for row, value in enumerate(values)]
        else:
            columns[column.name] = [column.levels[place] for place in rng.integers(0, len(column.levels), ROWS)]
    columns |= _labels(agreed.label, rng)
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([list(columns), *zip(*columns.values(), strict=True)])


def _labels(label: Label, rng: np.random.Generator) -> dict[str, list[str]]:
    """The columns of a label that the schema allows, with rows of every class."""
    numbers = rng.uniform(label.low, label.high, ROWS)
    other = label.negative[0] if label.negative else f"not {label.positive}"
    classes = label.classes or (other, label.positive)
    words = [classes[row % len(classes)] for row in range(ROWS)]
    if label.task in ("classification", "multiclass"):
        return {label.name: words}
    if label.task == "count":
        numbers = np.floor(numbers)
    found = {label.name: [repr(float(number)) for number in numbers]}
    return found | ({label.event: words} if label.event else {})
