"""The figures of one run, each with the sentence that says what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedsec.metering import Row
from fedsec.report import clinical_section, figures, run_figures, units
from fedsec.report.drawings import Drawn
from fedsec.report.parts import Interval
from fedsec.report.run_document import RunDocument, final_table, mean_of

LOSSES = ("loss", "rmse")
LEVELS = ("plain FedAvg", "pooled data", "alone, mean")
STAGES: Mapping[str, tuple[str, str]] = {
    "setup": ("Set-up, once", "set-up"),
    "query.statistics": ("Statistics, once", "statistics"),
    "train": ("A round of training", "training"),
    "evaluate": ("A round of evaluation", "evaluation"),
}


def stages_of(rows: Sequence[Row]) -> list[str]:
    """The stages that a ledger has, in the order of the page."""
    return [stage for stage in STAGES if any(row.stage == stage for row in rows)]


def costs_of(rows: Sequence[Row], stage: str) -> dict[str, dict[str, float]]:
    """Means over rounds by phase of what the busiest hospital computes and moves, and of the server's CPU."""
    here = [row for row in rows if row.stage == stage]
    rounds = len({row.round for row in here}) or 1
    phases = list(dict.fromkeys(row.phase for row in here))

    def mean(role: str, figure: str) -> dict[str, float]:
        return {
            phase: sum(float(getattr(row, figure)) for row in here if (row.phase, row.role) == (phase, role)) / rounds
            for phase in phases
        }

    down, up = mean("hospital", "bytes_down_max"), mean("hospital", "bytes_up_max")
    return {
        "cpu": mean("hospital", "cpu_seconds_max"),
        "server": mean("server", "cpu_seconds"),
        "down": down,
        "up": up,
        "bytes": {phase: down[phase] + up[phase] for phase in phases},
    }


def looks_of() -> dict[str, figures.Style]:
    """How each model is drawn."""
    kinds = {"federated": "smpc", **dict(zip(LEVELS, ("clear", "he", "clear"), strict=True)), **clinical_section.KINDS}
    return figures.styles(kinds)


def span_text(span: Interval | None) -> str:
    """An interval to read."""
    return f"{value_text(span[0])} to {value_text(span[1])}" if span and span[0] is not None else units.NONE


def value_text(value: Any) -> str:
    """A value to read."""
    if value is None:
        return units.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={part}" for key, part in value.items()) or units.NONE
    if isinstance(value, float):
        return f"{value:#.3g}".removesuffix(".") if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def draw(document: RunDocument, rows: Sequence[Row]) -> list[Drawn]:
    """Every figure that the run allows."""
    clinical = document.clinical
    evaluated = () if clinical is None else clinical_section.draw(clinical, looks_of())
    return [*_curves(document), *_forest(document), *evaluated, *_phases(rows)]


def _curves(document: RunDocument) -> Iterator[Drawn]:
    """A learning curve of the loss and of the measure that models are compared by, where every round has them."""
    looks, quality = looks_of(), document.quality
    names = list(quality.federated)
    chosen = dict.fromkeys([*names[:1], *([document.intervals.metric] if document.intervals else names[1:2])])
    for name in chosen:
        line = [value for row in quality.by_round if (value := row.get(name)) is not None]
        if not line or len(line) < len(quality.by_round):
            continue
        values = (quality.fedavg.get(name), quality.pooled.get(name), mean_of(quality.alone, name))
        levels = {key: value for key, value in zip(LEVELS, values, strict=True) if value is not None}
        better = "lower" if name in LOSSES else "higher"
        compared = ", ".join(f"{key} {value:.3g}" for key, value in levels.items())
        shown = units.measure(name)
        title = f"{shown} by round"
        caption = (
            f"{shown} on the common test rows, {better} is better: {line[0]:.3g} after the first round, {line[-1]:.3g} "
            f"after the last{'; ' if compared else ''}{compared}."
        )
        drawn = figures.curves({"federated": line}, levels, looks, title)
        yield Drawn(f"curve-{name}", drawn, title, caption)


def _forest(document: RunDocument) -> Iterator[Drawn]:
    """The intervals of all models, the hospitals' own below."""
    if document.intervals is None:
        return
    looks, metric, models = looks_of(), document.intervals.metric, final_table(document)
    kinds = ["federated", *LEVELS, *(LEVELS[-1:] * len(models))]
    rows = [
        (
            "federated" if kind == "federated" else model.who,
            looks[kind],
            model.quality.get(metric),
            (span[0], span[1]) if (span := model.interval) and None not in span else None,
        )
        for model, kind in zip(models, kinds, strict=False)
    ]
    if all(point is None and span is None for _, _, point, span in rows):
        return
    own, interval = rows[0], models[0].interval
    shown = units.measure(metric)
    caption = f"{shown} on the common test rows with 95% bootstrap intervals; federated {value_text(own[2])}"
    caption += f", {span_text(interval)}." if own[3] else "."
    title = f"{shown}, with its interval"
    yield Drawn("intervals", run_figures.forest(rows, title, shown), title, caption)  # type: ignore[arg-type]


def _phases(rows: Sequence[Row]) -> Iterator[Drawn]:
    """CPU and bytes by phase."""
    stages = {STAGES[stage][1]: costs_of(rows, stage) for stage in stages_of(rows)}
    for key, title, text in (
        ("cpu", "CPU by phase, busiest hospital", units.seconds),
        ("bytes", "Bytes by phase, busiest hospital", units.size),
    ):
        parts = {name: cost[key] for name, cost in stages.items()}
        if sum(map(len, parts.values())):
            caption = "; ".join(
                f"{name}: {', '.join(f'{phase} {text(value)}' for phase, value in part.items())}"
                for name, part in parts.items()
            )
            yield Drawn(f"phases-{key}", run_figures.phases(parts, title, text), title, f"{caption}.")
