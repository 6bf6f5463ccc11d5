"""The schema that `fedsec stats --write-schema` writes: the one that was given, or a draft of the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fedsec import atomic
from fedsec.app.config import RunConfig
from fedsec.data import files, schema_draft
from fedsec.data.schema import Category, Number, Schema
from fedsec.errors import ConfigurationError, FedsecError, expect_new
from fedsec.simulations.run import hospitals
from fedsec.simulations.run.hospitals import Hospitals


def write(path: Path, here: Hospitals, given: bool, least: int, force: bool) -> list[str]:
    """Write the schema of these rows, a draft unless it was given; a sentence on each column that the draft changes."""
    drafted, joined = here.train.schema, list[str]()
    if not given:
        drafted, joined = with_least_cell(here, least)
    _write(path, schema_draft.commented(drafted, drafted.label.name, {}), force)
    return joined


def with_least_cell(here: Hospitals, least: int) -> tuple[Schema, list[str]]:
    """A draft in which no level singles out a few rows or one hospital, and a sentence on each column that it changes.

    Levels with fewer than `least` training rows, or at one hospital alone, are joined as `other`; 0 joins none.
    """
    columns, said = list[Number | Category](), list[str]()
    places = iter(range(len(here.train.schema.categories)))
    for column in here.train.schema.columns:
        if isinstance(column, Category):
            levels = here.train.levels[:, next(places)]
            counts = [
                np.bincount(part[part >= 0], minlength=len(column.levels)) for part in map(levels.take, here.parts)
            ]
            column = schema_draft.joined(column, np.array(counts), least, said)
        columns.append(column)
    return replace(here.train.schema, columns=tuple(columns)), said


def with_draft(config: RunConfig, path: Path, least: int, force: bool, error: ConfigurationError) -> ConfigurationError:
    """The error, after a schema was written as far as the rows allow one; the error alone if they do not."""
    try:
        text = files.draft_text(hospitals.source_of(config), least)
    except FedsecError:
        return error
    _write(path, text, force)
    return ConfigurationError(
        f"{error}\nSchema: {path} is what could be drawn up; complete it, and give it as --schema {path}"
    )


def _write(path: Path, text: str, force: bool) -> None:
    expect_new("schema", path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, text.encode())
    except OSError as error:
        raise ConfigurationError(f"schema {path} cannot be written: {error.strerror}") from error
