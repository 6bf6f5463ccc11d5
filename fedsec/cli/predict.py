"""`fedsec predict`: a trained model applied to new patients' rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from fedsec import atomic
from fedsec.cli.options import Json, print_json
from fedsec.data.bundled import Floats
from fedsec.data.files import read_columns
from fedsec.data.new_rows import NewRows, new_rows
from fedsec.data.row_files import name_of
from fedsec.errors import ConfigurationError, DataError, expect_new
from fedsec.learning import trained_model
from fedsec.learning.intervals import HIGH, LOW, no_intervals
from fedsec.learning.trained_model import TrainedModel

NAMED = 10
"""How many refused rows are printed; the file has them all."""
REFUSED = "refused"


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run, or its model.safetensors.")],
    data: Annotated[Path, typer.Argument(metavar="FILE", help="The new rows: a file with the model's columns.")],
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where the scored rows go. [default: NAME-scored.csv]"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "--decision-threshold",
            metavar="P",
            help="The probability from which on a row counts as positive. [default: the run's own]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Apply a run's model to new patients' rows: probabilities with intervals, and rows refused in words.

    Added are, of two classes, the probability and the class that is predicted; of several, the probability of each; of
    a number or a count, what is expected; of a survival time, the risk of the event by the end of each interval.

    Columns are found by their names, and others are kept as they are; a label is not needed. A gap is filled as in
    training. A row with a value that the schema does not allow is refused, and the others are scored.

    interval_low and interval_high say how sure a prediction is. Of a probability: of rows that were given about the
    same one, how many were positive, as a share with its 95% interval. Of a number: where 95% of labels lie.

    Research software: no medical device. What a prediction is good for, the model card of the run says.

    Examples:

    `fedsec predict results/rows new.csv`

    `fedsec predict results/rows/model.safetensors new.csv --threshold 0.3 -o scored.csv`
    """
    trained = trained_model.read(run.expanduser())
    if threshold is not None:
        if trained.task != "classification":
            raise ConfigurationError(
                f"threshold is for two classes, and this model is of the task {trained.task}: leave it out"
            )
        trained = trained.with_threshold(threshold)
    data = data.expanduser()
    target = Path(f"{name_of(data)}-scored.csv") if target is None else target.expanduser()
    expect_new("output", target, force)
    columns = read_columns(data)
    rows = new_rows(data.name, columns, trained.schema)
    if len(rows.refused) == len(rows.numbers):
        row, why = next(iter(rows.refused.items()))
        raise DataError(f"{data.name}: every row was refused; row {row + 1}: {why}")
    added = scored(trained, rows)
    if twice := sorted(added.keys() & columns.keys()):
        raise DataError(f"{data.name} has a column {twice[0]!r} already, which the scored file gets: rename it")
    atomic.write(target, _csv({**columns, **added}))
    refused = {row + 1: why for row, why in rows.refused.items()}
    counted, label = len(rows.numbers) - len(refused), trained.schema.label
    if as_json:
        found = trained.intervals and trained.intervals.words(label.name, label.positive)
        return print_json({"output": str(target), "scored": counted, REFUSED: refused, "intervals": found})
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"Scored {counted} of {len(rows.numbers)} rows of {data.name}: {target}")
    if trained.intervals is None:
        console.print(no_intervals(trained.task))
    else:
        console.print(f"{LOW}, {HIGH}: {trained.intervals.words(label.name, label.positive)}")
    if ignored := [name for name in columns if name not in {one.name for one in trained.schema.columns}]:
        console.print(f"Not read by the model: {', '.join(ignored)}")
    for row, why in list(refused.items())[:NAMED]:
        console.print(f"Refused: row {row}: {why}")
    if len(refused) > NAMED:
        console.print(f"and {len(refused) - NAMED} more rows; column {REFUSED!r} of {target} has them all")


def scored(trained: TrainedModel, rows: NewRows) -> dict[str, list[str]]:
    """The columns that are added: what was predicted, how sure that is, and why a row was refused."""
    label = trained.schema.label
    found = trained.predict(rows.numbers, rows.levels)
    reasons = [rows.refused.get(row, "") for row in range(len(found))]
    if label.event:
        risks = {
            f"{label.event} by {label.name} {edge:g}": 1.0 - found[:, at] for at, edge in enumerate(label.edges[1:])
        }
        return {**{name: _texts(risk, reasons) for name, risk in risks.items()}, REFUSED: reasons}
    if label.task == "multiclass":
        chances = {f"{label.name} probability {one}": found[:, at] for at, one in enumerate(label.classes)}
        likeliest = [label.classes[at] for at in found.argmax(axis=1)]
        named = ["" if why else one for one, why in zip(likeliest, reasons, strict=True)]
        told = {name: _texts(chance, reasons) for name, chance in chances.items()}
        return {**told, f"{label.name} predicted": named, REFUSED: reasons}
    values = _texts(found, reasons)
    if label.task == "count":
        return {f"{label.name} predicted": values, REFUSED: reasons}
    intervals = np.full((len(found), 2), np.nan) if trained.intervals is None else trained.intervals.of(found)
    sure = {name: _texts(ends, reasons) for name, ends in zip((LOW, HIGH), intervals.T, strict=True)}
    if label.task == "regression":
        return {f"{label.name} predicted": values, **sure, REFUSED: reasons}
    other = label.negative[0] if len(label.negative) == 1 else f"not {label.positive}"
    classes = [
        "" if why else label.positive if value >= trained.threshold else other
        for value, why in zip(found, reasons, strict=True)
    ]
    return {f"{label.name} probability": values, f"{label.name} predicted": classes, **sure, REFUSED: reasons}


def _texts(values: Floats, reasons: Sequence[str]) -> list[str]:
    """A number of each row that is not refused and has one."""
    return ["" if why or np.isnan(value) else f"{value:.6g}" for value, why in zip(values, reasons, strict=True)]


def _csv(columns: Mapping[str, Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(["" if cell is None else cell for cell in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue().encode()
