"""What an experiment leaves behind: its facts as JSON, its rows as CSV, its figures as SVG and PNG."""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from fedsec.errors import ConfigurationError
from fedsec.report import figures, output
from fedsec.simulations.poster.tables.linear_regression import Follow

SHORT_RUNS = "all.short.json"
"""Which experiments of a folder were run with --quick."""
FULL: Mapping[str, str] = {
    "tables": "200 random orders of the rows, in place of 10, for the spread of the tables",
    "network": "the encrypted 3-4-1 network on XOR and on breast cancer, the sigmoids, the precisions, and Flower",
    "shared-training": "30,000 iterations and 8 starts of each activation, in place of 600 and 1, and Flower",
}
"""What a full run has and the short form of an experiment leaves out; the others have no short form."""


def make_folder(folder: Path | None) -> None:
    """Make the folder now, before minutes of work; raises ConfigurationError where nothing can be written there."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(f"output {folder} cannot be written: {error.strerror or error}") from error


def short_runs(folder: Path) -> set[str]:
    """Which experiments of a folder were run in their short form."""
    try:
        return set(json.loads((folder / SHORT_RUNS).read_text(encoding="utf-8"))) & FULL.keys()
    except (OSError, ValueError, TypeError):
        return set()


def keep_short(folder: Path, name: str, short: bool) -> None:
    """Note in a folder whether its results of an experiment are those of the short form."""
    before = short_runs(folder)
    after = before | {name} if short else before - {name}
    if after != before:
        output.write(folder, {SHORT_RUNS: json.dumps(sorted(after)).encode()})


def write(
    folder: Path, name: str, facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], drawn: Mapping[str, Figure]
) -> list[str]:
    """Write NAME.json, NAME.csv and each figure; raises ConfigurationError where a file cannot be written."""
    contents = {
        f"{figure}.{kind}": figures.save(picture, kind) for figure, picture in drawn.items() for kind in ("svg", "png")
    }
    contents |= {f"{name}.csv": _table(rows), f"{name}.json": (json.dumps(facts, indent=1) + "\n").encode()}
    return [str(path) for path in output.write(folder, contents)]


def _table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    file = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(file, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


@contextmanager
def progress() -> Iterator[Follow]:
    """A bar on standard error, which is full once all is done: an experiment names a part when it begins it."""
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        bar.update(task, completed=1, total=1)


@contextmanager
def stdout_to_stderr(when: bool) -> Iterator[None]:
    """What is printed within goes to standard error where standard output is for one JSON object."""
    with redirect_stdout(sys.stderr) if when else nullcontext():
        yield
