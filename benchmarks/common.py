"""What every benchmark shares: the rows, the machine they were measured on, and how they are printed and kept.

A benchmark prints a table, or with `--json` one JSON object and nothing else; `--output DIR` writes JSON, CSV and the
figure. Ratios are taken in one run: the machine's own speed cancels.
"""

from __future__ import annotations

import argparse
import csv
import functools
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from fedsec.cli.option_types import whole_number
from fedsec.primitives import mersenne

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mersenne.always_compile()


@dataclass(frozen=True)
class Row:
    """One measurement; `ratio` is how many times as fast as `over` in the same run (None where nothing is compared)."""

    subject: str
    operation: str
    setting: dict[str, Any]
    per_second: float
    over: str = ""
    ratio: float | None = None
    note: str = ""


@dataclass
class Report:
    """The rows of one benchmark run."""

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""

    def add(self, row: Row) -> None:
        """Keep a row."""
        self.rows.append(row)

    def document(self) -> dict[str, Any]:
        """Machine, versions and rows."""
        names = ("fedsec", "flwr", "ray", "numpy", "cryptography", "gmpy2", "numba")
        return {
            "title": self.title,
            "machine": {"system": platform.platform(), "cpu": _cpu(), "cpus": os.cpu_count(), "load": os.getloadavg()},
            "versions": {name: importlib.metadata.version(name) for name in names} | {"python": sys.version.split()[0]},
            "rows": [asdict(row) for row in self.rows],
            "notes": self.notes,
        }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


Clock = Callable[[], float]


def best(step: Callable[[], object], seconds: float = 1.0, least: int = 3, clock: Clock = time.perf_counter) -> float:
    """Seconds of the fastest of as many repetitions as fit: noise on a shared machine only ever adds."""
    fastest, until, count = float("inf"), time.perf_counter() + seconds, 0
    while count < least or time.perf_counter() < until:
        started = clock()
        step()
        fastest = min(fastest, clock() - started)
        count += 1
    return fastest


def interleaved(
    steps: Mapping[str, Callable[[], object]], seconds: float, turns: int, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """The best seconds of each step, taken in turns of `seconds` each: a burst of load meets them all."""
    fastest = dict.fromkeys(steps, float("inf"))
    for _ in range(turns):
        for name, step in steps.items():
            fastest[name] = min(fastest[name], best(step, seconds, 1, clock))
    return fastest


def count(text: str) -> int:
    """A number of at least 1, as `fedsec` reads it: 1000, 1e3 or 1k."""
    try:
        number = whole_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def amount(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number above 0")
    return number


def parser(description: str) -> argparse.ArgumentParser:
    """A parser of the options that every benchmark takes, for one that takes more."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else")
    made.add_argument("--output", type=Path, metavar="DIR", help="write JSON, CSV and the figure")
    return made


def arguments(description: str, values: Sequence[str] | None = None) -> argparse.Namespace:
    """The options that every benchmark takes, as given."""
    return parser(description).parse_args(values)


def publish(report: Report, name: str, options: argparse.Namespace, draw: Callable[[], Figure] | None = None) -> None:
    """Print the rows and write the files asked for, with the figure that `draw` returns instead of bars of ratios."""
    if options.output is not None:
        _write(report, name, options.output, draw or functools.partial(_bars, report))
    if options.json:
        sys.stdout.write(json.dumps(report.document()) + "\n")
        return
    table = Table(title=report.title)
    for heading in ("subject", "operation", "setting", "per second", "over", "ratio", "note"):
        table.add_column(heading, justify="right" if heading in ("per second", "ratio") else "left")
    for row in report.rows:
        setting = ", ".join(f"{key} {value}" for key, value in row.setting.items())
        ratio = "" if row.ratio is None else f"{row.ratio:.4g}"
        table.add_row(row.subject, row.operation, setting, f"{row.per_second:.4g}", row.over, ratio, row.note)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for note in report.notes:
        console.print(note, markup=False)


def _write(report: Report, name: str, folder: Path, draw: Callable[[], Figure]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    document = report.document()
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(document["rows"][0]))
        writer.writeheader()
        writer.writerows(document["rows"])
    figure = draw()
    for kind in ("svg", "png"):
        figure.savefig(folder / f"{name}.{kind}", dpi=150)
    pyplot.close(figure)


def _bars(report: Report) -> Figure:
    from matplotlib import pyplot

    compared = [row for row in report.rows if row.ratio is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.32 * len(compared)), layout="constrained")
    labels = [f"{row.subject}: {row.operation} / {row.over}" for row in compared]
    bars = axes.barh(labels, [row.ratio or 0.0 for row in compared], color="#33658a")
    axes.bar_label(bars, [f" {row.ratio:.3g}" for row in compared])
    axes.axvline(1.0, color="#999999", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("times as fast as the peer, in the same run (log scale)")
    axes.set_title(report.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
