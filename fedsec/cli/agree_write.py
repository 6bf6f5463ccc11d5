"""`fedsec agree write`: an agreement for a deployment, from a simulation or from a rehearsal over a schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from click.core import ParameterSource
from rich.console import Console

from fedsec.agreement import agreement_file
from fedsec.agreement.agreement_file import Agreement
from fedsec.agreement.explanation import TRUST, about_metrics, how_often, needs_trust, short
from fedsec.agreement.proposal import for_deployment
from fedsec.app.config import RunConfig
from fedsec.cli.agree_members import read_hospitals, read_key
from fedsec.cli.options import Json, print_json
from fedsec.cli.run_options import with_config
from fedsec.data.preparation import GAPS
from fedsec.encoding.mean_spec import WeightRule
from fedsec.errors import ConfigurationError, expect_new, unknown
from fedsec.report import output
from fedsec.report.run_document import AGREEMENT, RESULT, RunDocument
from fedsec.simulations.run.rehearsal import rehearse

RUN = (
    "strategy",
    "parameters",
    "model",
    "fraction",
    "cohort",
    "rounds",
    "seed",
    "aggregator",
    "epochs",
    "batch_size",
    "learning_rate",
    "proximal",
    "clip",
    "largest_weight",
    "decision_threshold",
    "least_cell",
)
"""The options of a run that a deployment has too."""
ENCODING = ("clip", "largest_weight")
"""Those of them that say how updates are encoded: they change what a simulation had."""
OWN = "query.statistics"


@with_config(*RUN)
def write(
    config: RunConfig,
    *,
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A simulation's result folder, or the agreement.toml derived from one."),
    ] = None,
    target: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The agreement to write.")] = Path(
        AGREEMENT
    ),
    server: Annotated[
        str, typer.Option(metavar="KEY", help="The server's public key, in hexadecimal digits or a file that holds it.")
    ],
    hospital: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KEY",
            help="A hospital and its public key; NAME=KEY,WEIGHT with powers-of-two. May be repeated.",
        ),
    ] = None,
    hospitals: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with a hospital on each line, as --hospital has it.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rehearse the app that comes with fedsec, over rows drawn from this schema."),
    ] = None,
    gaps: Annotated[
        str,
        typer.Option(
            metavar="COLUMN,...",
            help=f"Numeric columns of which more than {GAPS:.0%} of all hospitals' values are missing; with a RUN of "
            "`fedsec run`, those that it found.",
        ),
    ] = "",
    weights: Annotated[
        str, typer.Option(metavar="RULE", help=f"How much a hospital counts: {', '.join(get_args(WeightRule))}.")
    ] = "equal",
    bundle: Annotated[
        Path | None, typer.Option(metavar="APP", help="The app of the deployment: its folder, or its .fab file.")
    ] = None,
    free: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key of the run configuration that may be anything. May be repeated."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The study's name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write an agreement for a deployment, from a simulation or from a schema.

    RUN is what a simulation did: `fedsec run` leaves agreement.toml in its folder, and an app of your own writes one by
    `strategy.agreement_of_run(context.run_config).write(path)`. The app that comes with fedsec has other options in a
    deployment, where each hospital has its own rows: give --schema too, and the app is rehearsed over invented rows. It
    takes its options from RUN, from the command line, or from both.

    Weights are proposed equal: exact ones equal FedAvg's, but row counts can be derived from sums with them. Nothing is
    measured in a deployment, so a clip is named. The file is a proposal: nobody has approved it.

    Examples:

    `fedsec agree write simulated.toml --server server.pub --hospitals hospitals.txt --bundle my-study`

    `fedsec agree write results/rows --schema schema.toml --server server.pub --hospitals hospitals.txt --bundle .`

    `fedsec agree write --schema schema.toml --strategy secagg --server 8e91…1164 --hospital north=0d4c…77aa …`
    """
    expect_new("agreement", target, force)
    if weights not in get_args(WeightRule):
        raise unknown("weights", weights, get_args(WeightRule))
    members = read_hospitals(hospital or [], hospitals)
    config = config.model_copy(update={"equal_weights": weights == "equal"})
    given = {
        name: getattr(config, name)
        for name in RUN
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    }
    if "parameters" in given or "strategy" in given:
        given |= {"strategy": config.strategy, "parameters": config.parameters}
    if schema is not None:
        drafted = _rehearsed(config, run, given, schema, gaps, len(members))
    else:
        drafted = _of_run(run, given, gaps)
    agreement = for_deployment(
        drafted,
        read_key("server", server),
        members,
        weights=weights,  # type: ignore[arg-type]
        clip=(given.get("clip") or None) if schema is None else None,
        largest_weight=(given.get("largest_weight") or None) if schema is None or weights == "exact" else None,
        bundle=None if bundle is None else _digest(bundle),
        title=title,
        free=free or [],
    )
    agreement.write(target)
    if as_json:
        return print_json({"agreement": str(target), "hash": agreement.hash.hex(), "notes": list(_notes(agreement))})
    console = Console()
    console.print(f"Agreement {short(agreement)}: {target}", highlight=False, markup=False, soft_wrap=True)
    for note in _notes(agreement):
        console.print(f"  {note}", highlight=False, markup=False, soft_wrap=True)


def _rehearsed(
    config: RunConfig, run: Path | None, given: Mapping[str, Any], schema: Path, gaps: str, hospitals: int
) -> Agreement:
    """What the study's app would do in a deployment: it is run over invented rows."""
    missing = [name.strip() for name in gaps.split(",") if name.strip()]
    if run is not None:
        drafted, document = _read(run)
        aliases = {name: RunConfig.model_fields[name].alias or name for name in RUN}
        ran = {name: drafted.configuration[key] for name, key in aliases.items() if key in drafted.configuration}
        if set(RUN) - set(ran) - {"decision_threshold"}:  # which runs of earlier releases lack
            raise ConfigurationError(f"{run} is no run of `fedsec run`: leave schema out, and give this app's own run")
        ran |= dict(given) | {"equal_weights": config.equal_weights}
        config = RunConfig.read({name.replace("_", "-"): value for name, value in ran.items()})
        if document is not None and document.statistics is not None and not missing:
            missing = [one.name for one in document.statistics.numbers if 0.0 < one.present < 1.0 - GAPS]
    secure = rehearse(config, schema, hospitals, missing)
    own = config.model_copy(update={"dataset": "own", "clients": hospitals})
    own = own.model_copy(update={"least_cell": own.smallest_cell})  # said, for it is agreed on
    return secure.agreement_of_run(own.model_dump(by_alias=True))


def _of_run(run: Path | None, given: Mapping[str, Any], gaps: str) -> Agreement:
    """What a simulation did, of an app whose deployment has the same options."""
    if run is None:
        raise ConfigurationError("RUN is missing: name a simulation's folder, or give --schema to rehearse one")
    if others := sorted(set(given) - set(ENCODING)):
        raise ConfigurationError(
            f"{', '.join(others)} stand in RUN's own configuration, {run}: leave them out, or give --schema to rehearse"
        )
    if gaps:
        raise ConfigurationError("gaps is about the columns of a schema: give --schema too")
    drafted, _ = _read(run)
    dataset = drafted.configuration.get("dataset")
    if OWN in drafted.stages and dataset not in (None, "own"):
        raise ConfigurationError(
            f"{run} is a run of fedsec's own app, on {drafted.configuration.get('data') or dataset}; in a deployment "
            "each hospital has its own rows: add --schema FILE (`fedsec stats --write-schema` drafts one)"
        )
    return drafted


def _read(run: Path) -> tuple[Agreement, RunDocument | None]:
    """The agreement that was derived from a run, and the run's document, where RUN is its folder."""
    if not run.is_dir():
        return agreement_file.read(run), None
    if not (run / AGREEMENT).is_file():
        raise ConfigurationError(f"{run} has no {AGREEMENT}: name the folder of a run by this release of fedsec")
    return agreement_file.read(run / AGREEMENT), output.read(run / RESULT, RunDocument, "a run")


def _digest(app: Path) -> str:
    from fedsec.flower.bundle import digest_of_app

    return digest_of_app(app)


def _notes(agreement: Agreement) -> list[str]:
    """What was proposed and why, and what comes next."""
    encoding = agreement.encoding
    why = {
        "equal": "equal: row counts are no weights in a sum",
        "exact": "exact: they equal FedAvg's, but row counts and signs of updates can be derived from sums",
        "powers-of-two": "powers of two, agreed on here: no row count enters a sum as a weight",
    }
    notes = [
        f"Weights are {why[encoding.weights]}.",
        *about_metrics(agreement),
        f"An update is scaled down to changes of at most {encoding.clip:g} (clip); nothing is measured.",
        *(f"Stage {name}: {how_often(stage)}." for name, stage in agreement.stages.items()),
        f"The app's files have the SHA-256 {agreement.bundle}."
        if agreement.bundle
        else "No bundle is named, and nodes refuse every app that `flwr run` sends: name it with --bundle APP.",
    ]
    if needs_trust(agreement):
        notes.append(TRUST)
    if OWN in agreement.stages and agreement.configuration.get("dataset") == "own":
        notes.append(_about_cells(agreement))
        words = run_configuration(agreement).replace('"', '\\"')
        notes.append(f'The run: flwr run . SUPERLINK --run-config "{words}"')
    return [*notes, "Next, each hospital: fedsec agree show FILE, then fedsec agree approve FILE --identity KEY"]


def _about_cells(agreement: Agreement) -> str:
    """What the statistics tell of few rows."""
    least = agreement.configuration.get("least-cell", 0)
    small = f"joins cells of fewer than {least} rows to others" if least else "tells cells of any number of rows"
    numbers = sum(length or 1 for length in agreement.stages[OWN].metrics.values())
    return (
        f"Table 1: a hospital {small} (--least-cell); its part of the statistics is {numbers:,} numbers, summed once."
    )


def run_configuration(agreement: Agreement) -> str:
    """What a deployment of the study's app passes as `--run-config`: what is not a default, and the server's files."""
    defaults = RunConfig().model_dump(by_alias=True)
    set_here = {key: value for key, value in agreement.configuration.items() if defaults.get(key) != value}
    paths = {"schema-file": "…", "identity": "…", "agreement": "…", "output": "…"}
    return " ".join(f"{key}={_toml(value)}" for key, value in (set_here | paths).items())


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else str(value)
