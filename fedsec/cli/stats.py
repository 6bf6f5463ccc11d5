"""`fedsec stats`: what the hospitals' rows look like together, by a secure sum, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec.app.config import FEWEST, RunConfig
from fedsec.app.progress import tidy
from fedsec.cli import stats_schema, stats_tables
from fedsec.cli.options import Json, print_json
from fedsec.cli.run_options import ROWS, with_config
from fedsec.data import preparation, table_cells, table_one
from fedsec.data.preparation import Preparation, statistics
from fedsec.data.schema import Schema
from fedsec.data.table_one import TableOne
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError, DataError, RunFailed
from fedsec.local import LocalFederation, Update
from fedsec.metering import Ledger
from fedsec.report import run_document
from fedsec.report.table_one_text import chosen, document, side_by_side
from fedsec.report.units import plain_size as size
from fedsec.simulations.run import hospitals
from fedsec.simulations.run.hospitals import Hospitals
from fedsec.simulations.run.reading import print_reading


class Part(StrEnum):
    """Which rows are shown."""

    TRAIN = "train"
    ALL = "all"


PARTS = {Part.TRAIN: "training", Part.ALL: "all"}


class Form(StrEnum):
    """How the table is printed."""

    TABLE = "table"
    CSV = "csv"
    MARKDOWN = "markdown"
    JSON = "json"


BY_SITE = (
    "A column for each hospital: only a simulation can show it, where one machine has all rows. In a deployment no sum "
    "is of a single hospital."
)
NO_SITES = "in a deployment the server receives sums over all hospitals, and none of a single one"


@with_config("strategy", "parameters", *ROWS, "least_cell", file="file", one_class=True)
def stats(
    config: RunConfig,
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A file or folder of rows, as --data; or a run's folder, whose Table 1 is shown again.",
        ),
    ] = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="A column for each class of the label.")] = False,
    by_site: Annotated[
        bool, typer.Option("--by-site", help="A column for each hospital, which only a simulation can show.")
    ] = False,
    part: Annotated[Part, typer.Option("--part", help="The training rows, or the test rows too.")] = Part.TRAIN,
    form: Annotated[Form, typer.Option("--format", help="How the table is printed; json is --json.")] = Form.TABLE,
    write_schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the schema; where none was given, a draft for the hospitals to agree on."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the schema file if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Show Table 1 of all hospitals' rows, and what looks wrong with them, by one secure aggregation.

    Counts, means, standard deviations, quantiles from histograms, missing values, and how many hospitals have what
    looks wrong. The server learns these figures of all hospitals together, and none of a single hospital. `fedsec run`
    prepares its rows by the same figures. Runs in one process, without Flower.

    FILE is a file or a folder of rows, as --data, or the folder of a run, whose Table 1 is shown again.

    Examples:

    `fedsec stats --dataset lung --by-class`

    `fedsec stats rows.csv --site hospital --label died --person patient --write-schema schema.toml`

    `fedsec stats rows.csv --site hospital --label died --by-site --part all`

    `fedsec stats results/shamir-rows --by-class --format markdown > table-1.md`

    `fedsec stats --dataset randhie --strategy secagg --json`
    """
    form = Form.JSON if as_json else form
    if (stored := stored_table(config)) is not None:
        return _show_stored(config, stored, by_class, by_site, form)
    if 0 < config.clients < FEWEST:
        config.prove(config.clients)
    least = table_cells.LEAST if config.least_cell < 0 else config.least_cell
    try:
        here = of_command(config, all_rows=part is Part.ALL)
    except ConfigurationError as error:
        if write_schema is None or not config.data or config.schema_file:
            raise
        raise stats_schema.with_draft(config, write_schema.expanduser(), least, force, error) from error
    config = config.resolved([len(part) for part in here.parts])
    config.prove(config.clients)
    joined: list[str] = []
    if write_schema is not None:
        joined = stats_schema.write(write_schema.expanduser(), here, bool(config.schema_file), least, force)
    totals, described, ledger = collect(config, here, PARTS[part])
    shown = groups_shown(described, by_class)
    if by_site:
        own = [groups_shown(one, by_class) for one in of_sites(config, here, PARTS[part])]
        shown = side_by_side(("all hospitals", *here.names), (shown, *own))
    if form is not Form.TABLE:
        return _print_file(config, here, totals, described, shown, ledger, form)
    console = Console()
    print_reading(console, here.train)
    stats_tables.print_suspected(console, described)
    stats_tables.print_all(console, config.data_name, here.train.schema.label, described, shown, by_class or by_site)
    if by_site:
        stats_tables.say(console, BY_SITE)
    moved = sum(row.bytes_up + row.bytes_down for row in ledger.rows if row.role == "hospital")
    seen = "these sums only" if config.protocol().private else "each hospital's own figures"
    text = f"Strategy {config.strategy}: the server saw {seen}, of {described.sent:,} numbers from each hospital; "
    text += f"{size(moved)} were sent."
    if not described.suppressed:
        off = deviation(totals, preparation.pooled(here.train), here.train.schema)
        text += f" Largest deviation from the pooled rows: {off:.1e} of a column's range."
    stats_tables.say(console, text)
    if write_schema is not None:
        for text in joined:
            stats_tables.say(console, text)
        console.print(f"Schema: {write_schema}", highlight=False, markup=False, soft_wrap=True)


def stored_table(config: RunConfig) -> tuple[TableOne, bool] | None:
    """Table 1 of the run whose folder is given as rows, and whether it was a simulation; None where it is no run's.

    Raises ConfigurationError where the run left none.
    """
    folder = Path(config.data)
    if not config.data or not folder.is_dir():
        return None
    if (folder / run_document.RESULT).is_file():
        document, _ = run_document.load(folder)
        if document.table_one is None:
            raise ConfigurationError(f"{folder} is a run of an earlier release, which has no Table 1: run it again")
        return document.table_one, True
    if (folder / table_one.FILE).is_file():
        return run_document.load_table_one(folder / table_one.FILE), False
    return None


def _show_stored(config: RunConfig, stored: tuple[TableOne, bool], by_class: bool, by_site: bool, form: Form) -> None:
    described, simulated = stored
    if by_site:
        what = "holds no single hospital's figures, only those of all together"
        cure = "give the rows in place of the run: --data, --dataset" if simulated else NO_SITES
        raise ConfigurationError(f"by-site is set, but the run {config.data} {what}: {cure}")
    shown = groups_shown(described, by_class)
    if form is not Form.TABLE:
        return stats_tables.print_as(shown, form.value)
    console = Console()
    stats_tables.print_suspected(console, described)
    stats_tables.print_all(console, Path(config.data).name, None, described, shown, by_class)


def _print_file(
    config: RunConfig,
    here: Hospitals,
    totals: Preparation,
    described: TableOne,
    shown: TableOne,
    ledger: Ledger,
    form: Form,
) -> None:
    """The table for a file or a program, and nothing else."""
    if form is not Form.JSON:
        return stats_tables.print_as(shown, form.value)
    off = deviation(totals, preparation.pooled(here.train), here.train.schema)
    print_json(
        {
            "data": config.data_name,
            "strategy": config.strategy,
            "hospitals": len(here.parts),
            "statistics": tidy(asdict(totals)),
            "table_one": tidy(document(shown)),
            "notes": list(here.train.notes),
            "suspicions": list(map(str, here.train.suspicions)),
            "suspected": list(described.suspected),
            "largest_deviation_from_pooled": off,
            "bytes_up": sum(row.bytes_up for row in ledger.rows),
            "bytes_down": sum(row.bytes_down for row in ledger.rows),
        }
    )


def groups_shown(table: TableOne, by_class: bool) -> TableOne:
    """All its groups, or that of all rows alone."""
    return table if by_class else chosen(table, [0])


def of_sites(config: RunConfig, here: Hospitals, part: str) -> list[TableOne]:
    """Table 1 of each hospital, which a simulation knows."""
    return [table_one.of_rows(here.rows(place), config.smallest_cell, part) for place in range(len(here.parts))]


def of_command(config: RunConfig, all_rows: bool = False) -> Hospitals:
    """The hospitals, unusual ones included; raises ConfigurationError where the user's data cannot work."""
    try:
        return hospitals.of_config(config, config.clients, strict=False, all_rows=all_rows)
    except DataError as error:
        raise ConfigurationError(str(error)) from error


def collect(config: RunConfig, here: Hospitals, part: str = "training") -> tuple[Preparation, TableOne, Ledger]:
    """The statistics of the training rows, by the strategy, in process."""
    ledger, places = Ledger(), range(len(here.parts))
    largest = config.spec().largest_weight
    spec = MeanSpec(largest_weight=largest, ranges=preparation.RANGES, grids=preparation.whole(largest or 1))
    federation = LocalFederation(config.protocol(), len(here.parts), spec, ledger=ledger)
    told = (statistics(here.rows(place), config.smallest_cell) for place in places)
    updates = {place + 1: Update({}, each, len(here.parts[place])) for place, each in zip(places, told, strict=True)}
    mean = federation.mean(updates, {}, "query.statistics")
    if refused := [here.names[party - 1] for party in updates if party not in mean.included]:
        raise RunFailed(f"the statistics of {len(refused)} hospitals were refused: {', '.join(refused)}")
    if unusable := [f"{here.names[party - 1]}: {reason}" for party, reason in sorted(federation.unusable.items())]:
        raise RunFailed(f"the statistics of {len(unusable)} hospitals are not usable: {'; '.join(unusable)}")
    schema, rows = here.train.schema, int(mean.weight)
    described = TableOne.of(schema, mean.metrics, rows, len(updates), config.smallest_cell, part)
    return Preparation.of(schema, mean.metrics, rows), described, ledger


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
