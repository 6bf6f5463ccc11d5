"""`fedsec agree identity`, `approve` and `status`: what is done where a hospital, or the server, is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedsec.agreement import admission, agreement_file, approval, proposal
from fedsec.agreement.agreement_file import Agreement
from fedsec.agreement.explanation import short
from fedsec.cli.agree_read import File, print_agreement
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError, PolicyError
from fedsec.party.identity import read_identity, write_identity
from fedsec.party.journal import Journal
from fedsec.primitives.signing import SigningKey
from fedsec.trail import Trail

Identity = Annotated[Path, typer.Option("--identity", metavar="KEY", help="This hospital's key file.")]
STATISTICS = "query.statistics"
"""The stage in which the study's app sums what its schema names."""


def identity(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key file: a new one, of its owner's alone.")],
    shown: Annotated[bool, typer.Option("--show", help="Print the public part of a key that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Make a key that identifies a hospital or the server, and print its public part.

    The file is the secret: keep it where it is made. The public part is what goes into the agreement; send it by a
    channel that the others trust, and not through the server.

    Examples:

    `fedsec agree identity /etc/fedsec/hospital.key`

    `fedsec agree identity /etc/fedsec/hospital.key --show > hospital.pub`
    """
    key = read_identity(file) if shown else write_identity(file)
    if as_json:
        return print_json({"file": str(file), "public": key.public.hex()})
    typer.echo(key.public.hex())


def approve(
    file: File,
    key_file: Identity,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="This hospital's rows, to check.")] = None,
    schema: Annotated[Path | None, typer.Option(metavar="FILE", help="The schema that all agreed on.")] = None,
    journal: Annotated[Path | None, typer.Option(metavar="FILE", help="This hospital's journal, to check.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse rows in which something looks wrong, here and at the node.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without asking.")] = False,
) -> None:
    """Check an agreement against this hospital, and sign it.

    Shows what the agreement lets leave, checks what depends on this hospital's key, rows and journal, asks, and writes
    the signature beside the file, as FILE.approved. Nothing of these checks leaves the hospital. Rows are checked now,
    since during a run whether a hospital answers never depends on them: rows that do not fit then count as no update.

    Examples:

    `fedsec agree approve agreement.toml --identity hospital.key`

    `fedsec agree approve agreement.toml --identity hospital.key --data rows.csv --schema schema.toml --yes`
    """
    if (data is None) != (schema is None):
        raise ConfigurationError("data and schema go together: give --data FILE and --schema FILE, or neither")
    agreement, key, console = agreement_file.read(file), read_identity(key_file), Console()
    print_agreement(console, agreement)
    approval.check_named(agreement, key)
    admission.admit_software(agreement)
    proposal.check_runs(agreement)
    console.print("\n[bold]At this hospital[/bold]")
    for line in _checked(agreement, key, data, schema, journal, strict):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    if not yes and not typer.confirm("\nApprove this agreement?"):
        raise typer.Exit(1)
    path = approval.path_beside(file)
    approval.approve(agreement, key, path)
    if journal is not None:
        trail = Trail(Path(f"{journal.absolute()}.trail"), agreement.name_of(key.public))
        trail.add("approved", agreement=agreement.hash.hex())
    console.print(f"Approved: {path}", highlight=False, markup=False, soft_wrap=True)
    words = _node_configuration(file, key_file, data, schema, journal) + " fedsec-strict=true" * strict
    console.print(f'Start the node with --node-config "{words}"', highlight=False, markup=False, soft_wrap=True)


def _checked(
    agreement: Agreement, key: SigningKey, data: Path | None, schema: Path | None, journal: Path | None, strict: bool
) -> Iterator[str]:
    """What was checked, in sentences; raises ConfigurationError, DataError or PolicyError where it does not hold."""
    yield f"It is {agreement.name_of(key.public)} of the agreement, and fedsec {agreement.fedsec} is installed here."
    if data is None or schema is None:
        yield "Its rows were not checked: give --data and --schema."
    else:
        yield from _rows(agreement, key, data, schema, strict)
    if journal is None:
        yield "Its journal was not checked: give --journal."
    else:
        answered = sum(Journal(journal.absolute()).answered(key.public, agreement.hash).values())
        yield f"Its journal can be written, and has {answered} answers under this agreement."


def _rows(agreement: Agreement, key: SigningKey, data: Path, schema: Path, strict: bool) -> Iterator[str]:
    from fedsec.data import files
    from fedsec.data.preparation import COUNT, statistics, totals
    from fedsec.encoding.mean import layout_of

    table = files.load_hospital(data, schema, strict)
    rows, encoding = len(table.target), agreement.encoding
    yield f"Its {rows} rows in {data.name} can be read under the schema."
    yield from (f"Read: {note}" for note in table.notes)
    yield from (f"Warning: {suspicion}" for suspicion in table.suspicions)
    label = table.schema.label
    if label.groups and not label.event and table.group.min() == table.group.max():
        raise ConfigurationError(f"label {label.name!r} has one class in all {rows} rows of {data}: correct the file")
    stage = agreement.stages.get(STATISTICS)
    told = totals if stage is not None and COUNT in stage.metrics else statistics
    if stage is not None and dict(layout_of({}, {}, told(table)).metrics) != dict(stage.metrics):
        raise ConfigurationError(
            f"schema {schema} has other columns than the agreement's statistics: use the schema that it was written by"
        )
    agreed = admission.weight_of(agreement, key.public)
    if agreed is not None:
        yield f"It counts by the weight {agreed} that was agreed on, whatever its number of rows."
    elif encoding.largest_weight is not None and rows > encoding.largest_weight:
        raise ConfigurationError(
            f"this hospital has {rows} rows; the agreement's largest_weight is {encoding.largest_weight}, and an "
            "update with more counts as none: agree on a larger one, or on equal weights"
        )


def _node_configuration(file: Path, key: Path, data: Path | None, schema: Path | None, journal: Path | None) -> str:
    paths = {"agreement": file, "identity": key, "journal": journal, "data": data, "schema": schema}
    return " ".join(
        f"fedsec-{name}='{path.absolute() if path else '…'}'"
        for name, path in paths.items()
        if path is not None or name == "journal"
    )


def status(
    file: File,
    key_file: Identity,
    journal: Annotated[Path, typer.Option(metavar="FILE", help="This hospital's journal.")],
    as_json: Json = False,
) -> None:
    """Show how many sums of each stage this hospital has answered, of those that the agreement allows.

    Counted by its journal, over all runs. When a stage has had them all, the hospital refuses it, until all agree on
    another agreement.

    Examples:

    `fedsec agree status agreement.toml --identity hospital.key --journal /var/lib/fedsec/journal`
    """
    agreement, key = agreement_file.read(file), read_identity(key_file)
    approval.check_named(agreement, key)
    if not journal.is_file():
        raise ConfigurationError(f"journal {journal} does not exist: name the one of the node's fedsec-journal")
    answered = Journal(journal.absolute()).answered(key.public, agreement.hash)
    allowed = {name: stage.sessions + stage.repeats for name, stage in agreement.stages.items()}
    missing = _not_approved(agreement, key, file)
    if as_json:
        stages = {name: {"answered": answered.get(name, 0), "allowed": most} for name, most in allowed.items()}
        return print_json({"agreement": agreement.hash.hex(), "approved": not missing, "stages": stages})
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("stage", "answered", "allowed", "left"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, most in allowed.items():
        done = answered.get(name, 0)
        table.add_row(name, str(done), str(most), str(most - done))
    console = Console()
    console.print(f"Agreement {short(agreement)}", highlight=False)
    console.print(table)
    words = f"Not approved, so the node answers nothing: {missing}." if missing else "Approved by this hospital."
    console.print(words, highlight=False, markup=False, soft_wrap=True)


def _not_approved(agreement: Agreement, key: SigningKey, file: Path) -> str:
    """Why the node would not answer under the agreement; empty where this hospital approved it."""
    try:
        approval.check(agreement, key, approval.path_beside(file))
    except (ConfigurationError, PolicyError) as error:
        return str(error)
    return ""
