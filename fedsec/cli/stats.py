"""`fedsec stats`: what the hospitals' rows look like together, by a secure sum, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed

from fedsec import atomic
from fedsec.app.config import FEWEST, RunConfig
from fedsec.app.progress import tidy
from fedsec.cli.options import Json, print_json
from fedsec.cli.run_options import ROWS, with_config
from fedsec.data import files, preparation, schema_draft
from fedsec.data.preparation import Preparation, statistics
from fedsec.data.schema import Category, Number, Schema
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError, DataError, FedsecError, RunFailed
from fedsec.local import LocalFederation, Update
from fedsec.metering import Ledger
from fedsec.report.units import plain_size as size
from fedsec.simulations.run import hospitals
from fedsec.simulations.run.hospitals import Hospitals
from fedsec.simulations.run.reading import print_reading


@with_config("strategy", "parameters", *ROWS, one_class=True)
def stats(
    config: RunConfig,
    *,
    write_schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the schema; where none was given, a draft for the hospitals to agree on."
        ),
    ] = None,
    least_cell: Annotated[
        int,
        typer.Option(
            metavar="ROWS",
            help="In a draft, join levels with fewer rows, or at one hospital alone, as `other`; 0 joins none.",
        ),
    ] = 5,
    force: Annotated[bool, typer.Option("--force", help="Replace the schema file if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Show counts, gaps, means, spreads and class balance of all training rows, by one secure aggregation.

    The server learns these figures of all hospitals together, and none of a single hospital. `fedsec run` prepares its
    rows with the same figures. Runs in one process, without Flower.

    Examples:

    `fedsec stats --dataset lung`

    `fedsec stats --data rows.csv --site hospital --label died --person patient --write-schema schema.toml`

    `fedsec stats --dataset randhie --strategy secagg --json`
    """
    if least_cell < 0:
        raise ConfigurationError(f"least-cell is {least_cell}; a number of rows from 0 on was expected")
    if 0 < config.clients < FEWEST:
        config.prove(config.clients)
    try:
        here = of_command(config)
    except ConfigurationError as error:
        if write_schema is None or not config.data or config.schema_file:
            raise
        raise _with_draft(config, write_schema.expanduser(), least_cell, force, error) from error
    config = config.resolved([len(part) for part in here.parts])
    config.prove(config.clients)
    joined: list[str] = []
    if write_schema is not None:
        drafted = here.train.schema
        if not config.schema_file:
            drafted, joined = with_least_cell(here, least_cell)
        _write(write_schema.expanduser(), schema_draft.commented(drafted, drafted.label.name, {}), force)
    totals, ledger = collect(config, here)
    off = deviation(totals, preparation.pooled(here.train), here.train.schema)
    if as_json:
        return print_json(
            {
                "data": config.data_name,
                "strategy": config.strategy,
                "hospitals": len(here.parts),
                "statistics": tidy(asdict(totals)),
                "notes": list(here.train.notes),
                "suspicions": list(map(str, here.train.suspicions)),
                "largest_deviation_from_pooled": off,
                "bytes_up": sum(row.bytes_up for row in ledger.rows),
                "bytes_down": sum(row.bytes_down for row in ledger.rows),
            }
        )
    print_reading(Console(), here.train)
    print_tables(Console(), config, here, totals)
    moved = sum(row.bytes_up + row.bytes_down for row in ledger.rows if row.role == "hospital")
    seen = "these sums only" if config.protocol().private else "each hospital's own figures"
    Console().print(
        f"Strategy {config.strategy}: the server saw {seen}; {size(moved)} were sent. Largest deviation from the "
        f"pooled rows: {off:.1e} of a column's range.",
        highlight=False,
        markup=False,
    )
    if write_schema is not None:
        for text in joined:
            Console().print(text, highlight=False, markup=False)
        Console().print(f"Schema: {write_schema}", highlight=False, markup=False, soft_wrap=True)


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


def _with_draft(
    config: RunConfig, path: Path, least: int, force: bool, error: ConfigurationError
) -> ConfigurationError:
    """The error, after a schema was written as far as the rows allow one; the error alone if they do not."""
    try:
        text = files.draft_text(hospitals.source_of(config), least)
    except FedsecError:
        return error
    _write(path, text, force)
    return ConfigurationError(
        f"{error}\nSchema: {path} is what could be drawn up; complete it, and give it as --schema {path}"
    )


def of_command(config: RunConfig) -> Hospitals:
    """The hospitals, unusual ones included; raises ConfigurationError where the user's data cannot work."""
    try:
        return hospitals.of_config(config, config.clients, strict=False)
    except DataError as error:
        raise ConfigurationError(str(error)) from error


def collect(config: RunConfig, here: Hospitals) -> tuple[Preparation, Ledger]:
    """The statistics of the training rows, by the strategy, in process."""
    ledger, places = Ledger(), range(len(here.parts))
    spec = MeanSpec(largest_weight=config.spec().largest_weight, ranges=preparation.RANGES)
    federation = LocalFederation(config.protocol(), len(here.parts), spec, ledger=ledger)
    updates = {place + 1: Update({}, statistics(here.rows(place)), len(here.parts[place])) for place in places}
    mean = federation.mean(updates, {}, "query.statistics")
    if refused := [here.names[party - 1] for party in updates if party not in mean.included]:
        raise RunFailed(f"the statistics of {len(refused)} hospitals were refused: {', '.join(refused)}")
    if unusable := [f"{here.names[party - 1]}: {reason}" for party, reason in sorted(federation.unusable.items())]:
        raise RunFailed(f"the statistics of {len(unusable)} hospitals are not usable: {'; '.join(unusable)}")
    return Preparation.of(here.train.schema, mean.metrics, int(mean.weight)), ledger


def deviation(totals: Preparation, expected: Preparation, schema: Schema) -> float:
    """The largest difference of a share or a mean to another's, in parts of the column's range."""
    off = [abs(totals.target_mean - expected.target_mean) / (schema.label.high - schema.label.low)]
    for column, one, other in zip(schema.numbers, totals.numbers, expected.numbers, strict=True):
        off.append(abs(one.present - other.present))
        if one.present and other.present:
            off.append(abs(one.mean - other.mean) / (column.high - column.low))
    off += [
        abs(share - expected.levels[name][level])
        for name, levels in totals.levels.items()
        for level, share in levels.items()
    ]
    return max(off)


def print_tables(console: Console, config: RunConfig, here: Hospitals, totals: Preparation) -> None:
    """The tables."""
    label = here.train.schema.label
    console.print(
        f"[bold]{escape(config.data_name)}[/bold]: {totals.rows:,} training rows at {len(here.parts)} hospitals",
        highlight=False,
    )
    if label.task == "classification":
        positive = round(totals.rows * totals.target_mean)
        console.print(
            f"label {label.name}: {positive:,} of class {label.positive} ({totals.target_mean:.1%}), "
            f"{totals.rows - positive:,} of the other",
            highlight=False,
            markup=False,
        )
    else:
        text = f"label {label.name}: mean {totals.target_mean:.4g}, standard deviation {totals.target_deviation:.4g}"
        console.print(text, highlight=False, markup=False)
    table = _table("column", "missing", "mean", "std. dev.", "allowed")
    for column, one in zip(here.train.schema.numbers, totals.numbers, strict=True):
        known = bool(one.present)
        table.add_row(
            escape(one.name),
            _share(1.0 - one.present),
            f"{one.mean:.4g}" if known else "-",
            f"{one.deviation:.4g}" if known else "-",
            f"{column.low:g} to {column.high:g}",
        )
    if totals.numbers:
        console.print(table)
    table = _table("category", "missing", "share of each level")
    for name, levels in totals.levels.items():
        shares = ", ".join(f"{level} {share:.1%}" for level, share in levels.items())
        table.add_row(escape(name), _share(max(1.0 - sum(levels.values()), 0.0)), escape(shares))
    if totals.levels:
        console.print(table)


def _table(*headings: str) -> Printed:
    table = Printed(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place > 0 and "level" not in heading else "left")
    return table


def _share(part: float) -> str:
    return f"{part:.1%}" if part > 1e-9 else "-"


def _write(path: Path, text: str, force: bool) -> None:
    if path.exists() and not force:
        raise ConfigurationError(f"schema {path} exists already; choose another, or replace it with --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, text.encode())
    except OSError as error:
        raise ConfigurationError(f"schema {path} cannot be written: {error.strerror}") from error
