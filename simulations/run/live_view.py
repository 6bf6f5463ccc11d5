"""What `fedsec run` shows: live progress on the terminal, and the comparison when the run is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from fedsec.app.config import RunConfig
from fedsec.learning import outcomes
from fedsec.report.clinical_document import Clinical
from fedsec.report.clinical_words import threshold_text, warned
from fedsec.report.run_document import RunDocument, final_table
from fedsec.report.run_page import disclosure
from fedsec.report.units import measure
from fedsec.report.units import plain_size as size
from fedsec.simulations.run.driver import Follow
from fedsec.simulations.run.scalars import Listen

MEASURES = tuple(outcome.measure for outcome in outcomes.OUTCOMES.values())
SHORT = 4
"""Letters of a measure that is named twice in a line."""
WHERE = {"setup": "set-up", "query.statistics": "statistics"}


@contextmanager
def live(
    path: Path, config: RunConfig, quiet: bool, listen: Listen = lambda event: None, starting: str = "starting"
) -> Iterator[Follow]:
    """Yields a function that reads new events from `path` and shows them; on stderr, so that stdout stays clean.

    `listen` is called with each of them too. `starting` is shown until the first one.
    """
    console = Console(stderr=True, quiet=quiet)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    console.print(
        f"{config.clients} hospitals, {escape(config.data_name)}, {config.rounds} rounds, secure aggregation by "
        f"[bold]{config.protocol().name}[/bold]",
        highlight=False,
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(starting, total=config.rounds, state="")
        yield _Watcher(path, bar, task, console, config, listen)


class _Watcher:
    """Reads the run's events as they are written and keeps the bar and the printed lines up to date."""

    def __init__(
        self, path: Path, bar: Progress, task: TaskID, console: Console, config: RunConfig, listen: Listen
    ) -> None:
        self._path, self._bar, self._task, self._console, self._listen = path, bar, task, console, listen
        self._rounds = config.rounds
        self._position, self._bytes, self._reported = 0, 0, 0
        self._line: dict[str, Any] = {}

    def __call__(self, status: str) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                event = json.loads(line)
                self._take(event)
                self._listen(event)

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "phase":
            self._bytes += event["bytes_up"] + event["bytes_down"]
            where = WHERE.get(event["stage"]) or f"round {event['round']}/{self._rounds} {event['stage']}"
            answered = f"{event['phase']} {event['replies']}/{event['parties']} answered, {size(self._bytes)} in all"
            self._bar.update(self._task, description=where, state=answered)
        elif kind == "round":
            self._round(event)
        elif kind == "tested" and event["round"]:
            name = next((key for key in (*MEASURES, "loss") if event.get(key) is not None), "")
            named = f"test {measure(name)}" if len(measure(name)) <= SHORT else "test"  # the line has 80 letters
            self._line |= {named: event[name]} if name else {}
            self._bar.update(self._task, completed=event["round"])
        elif kind == "suspicions":
            for text in event["texts"]:
                self._console.print(f"  Warning: {text}", style="yellow", highlight=False, markup=False)
        elif kind == "compiling":
            text = "  compiling kernels for this machine; later runs find them in a cache"
            self._console.print(text, style="dim", highlight=False)
        elif kind == "left-out":
            if event["number"] == 1:
                self._flush()
                text = f"  leave one site out: {event['hospitals']} trainings more, each without one hospital"
                self._console.print(text, style="dim", highlight=False)
            state = f"without {event['hospital']}, {event['number']} of {event['hospitals']}"
            self._bar.update(self._task, description="leave one site out", state=state, total=None)
        elif kind == "baselines":
            self._flush()
            self._bar.update(self._task, description="baselines", state="pooled, alone, plain FedAvg", total=None)

    def _round(self, event: Mapping[str, Any]) -> None:
        if event["stage"] == "train":
            self._flush()
            self._line = {"round": event["round"]}
        for phase, party, reason in event["incidents"] or []:
            text = f"  {phase}: party {party}: {reason}"
            self._console.print(text, style="yellow", highlight=False, markup=False)
        if event["failure"]:
            text = f"  round {event['round']} {event['stage']} is void: {event['failure']}"
            self._console.print(text, style="red", highlight=False, markup=False)
            return
        for text in event.get("warnings") or []:
            line = f"  round {event['round']} {event['stage']}: {text}"
            self._console.print(line, style="yellow", highlight=False, markup=False)
        self._reported, metrics = self._bytes, event["metrics"] or {}
        if event["stage"] not in ("train", "evaluate"):
            return
        self._line.setdefault("hospitals", event["included"])  # those that trained, where somebody did
        self._line["loss"] = metrics.get("train_loss", metrics.get("loss"))
        if event["stage"] == "evaluate":
            self._line |= {measure(name): value for name, value in outcomes.measured(metrics).items()}

    def _flush(self) -> None:
        """Print the round that is complete, in one line of 80 letters."""
        if len(self._line) > 1:
            figures = [
                f"{key} {value:.4f}" for key, value in self._line.items() if isinstance(value, float) and value == value
            ]
            who = f"{self._line.get('hospitals', 0)} hospitals"
            text = f"  round {self._line['round']}/{self._rounds}: {', '.join([who, *figures, size(self._reported)])}"
            self._console.print(text, highlight=False, markup=False)
        self._line = {}


def summary(console: Console, document: RunDocument, target: Path) -> None:
    """The final table, and what to know of the run."""
    setting, metric = document.configuration, document.intervals.metric if document.intervals else ""
    title = f"{escape(document.data_name)}, {setting['model']}, {setting['rounds']} rounds: quality on common test rows"
    table = Table(title=title, box=SIMPLE, padding=0, pad_edge=False, show_edge=False)
    table.add_column("trained", overflow="fold")  # a long name wraps: figures never do
    for key in document.quality.federated:
        table.add_column(measure(key), justify="right", no_wrap=" " not in measure(key))
    table.add_column(f"95% of {measure(metric)}", justify="right", no_wrap=len(measure(metric)) <= SHORT)
    for place, (who, quality, interval) in enumerate(final_table(document)):
        table.add_row(
            escape(who),
            *("-" if value is None else f"{value:.4f}" for value in quality.values()),
            "" if interval is None or None in interval else f"{interval[0]:.3f}-{interval[1]:.3f}",
            style="bold" if place == 0 else None,
            end_section=place in (0, 3),
        )
    console.print(table)
    tolerance = ", ".join(f"{count} in {phase}" for phase, count in document.tolerance.items())
    text = f"Dropouts tolerated, of {document.cohort} hospitals: {tolerance}, if none dropped out in an earlier phase."
    console.print(text, highlight=False)
    for outcome in document.void:
        text = f"Void: round {outcome.round} {outcome.stage}: {outcome.failure}"
        console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)
    difference = document.largest_difference_to_fedavg
    if difference is not None:
        console.print(f"Every weight is within {difference:.1e} of plain FedAvg's.", highlight=False)
    if document.clinical is not None:
        _clinical(console, document.clinical)
    if text := warned(document):
        console.print(f"Warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    for text, where in document.cautions:
        console.print(
            f"Warning: {', '.join(where)}: {text}.", style="yellow", highlight=False, markup=False, soft_wrap=True
        )
    warn(console, document)
    text = f"Results: {target}\nPage: {target / 'report.html'}\nNew patients: fedsec predict {target} FILE"
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _clinical(console: Console, found: Clinical) -> None:
    """A threshold that was asked for, and each hospital under a model that was trained without it."""
    if found.rule != RunConfig.model_fields["decision_threshold"].default:
        console.print(threshold_text(found), highlight=False, markup=False, soft_wrap=True)
    if not found.left_out:
        return
    title = "leave one site out, simulation only"
    table = Table(title=title, box=SIMPLE, padding=0, pad_edge=False, show_edge=False)
    table.add_column("hospital", overflow="fold")
    for name in ("rows", "positive", "auc", "calibration in the large"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.left_out:
        values = (one.measures.get("auc"), one.measures.get("calibration_in_the_large"))
        figures = ["-" if value is None else f"{value:.3f}" for value in values]
        table.add_row(escape(one.hospital), f"{one.rows:,}", f"{one.positive:,}", *figures)
    console.print(table)


def warn(console: Console, document: RunDocument) -> None:
    """What the released totals disclose together, and what they could."""
    for one in document.disclosed:
        text = f"Disclosed by the released totals together: {disclosure(one)}."
        console.print(text, style="red", highlight=False, markup=False)
    for text in document.warnings:
        console.print(f"Warning: {text}.", style="yellow", highlight=False, soft_wrap=True)
    if document.disclosed or document.warnings:
        text = "Use --cohort fixed: a round without one of its hospitals is void, so there is nothing to subtract."
        console.print(text, style="dim", highlight=False, soft_wrap=True)
