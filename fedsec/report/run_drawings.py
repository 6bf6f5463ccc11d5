"""The figures of one run, each with the sentence that says what it shows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedsec.metering import Row
from fedsec.report import figures, run_figures, units
from fedsec.report.drawings import Drawn
from fedsec.report.run_document import Figures, Result

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
    kinds = {"federated": "smpc", **dict(zip(LEVELS, ("clear", "he", "clear"), strict=True))}
    return figures.styles(kinds)


def names_of(result: Result) -> list[str]:
    """The measures of quality."""
    return list(result.quality.federated)


def hospitals_of(result: Result) -> tuple[str, ...]:
    """The hospitals' names."""
    return result.hospitals or tuple(f"hospital {place}" for place in range(1, len(result.rows) + 1))


Span = tuple[float | None, float | None] | None


def spans_of(result: Result) -> tuple[str, list[Span]]:
    """The measure that has intervals, and the interval of each row of the final table."""
    found, alone = result.intervals, len(result.quality.alone)
    if found is None:
        return "", [None] * (3 + bool(alone) + alone)
    mean: list[Span] = [None] if alone else []
    return found.metric, [found.federated, found.fedavg, found.pooled, *mean, *found.alone]


def span_text(span: Span) -> str:
    """An interval to read."""
    return f"{value_text(span[0])} to {value_text(span[1])}" if span and span[0] is not None else units.NONE


def mean_of(rows: Sequence[Figures], name: str) -> float | None:
    """The mean of a measure over those models that have it."""
    known = [value for row in rows if (value := row.get(name)) is not None]
    return statistics.fmean(known) if known else None


def value_text(value: Any) -> str:
    """A value to read."""
    if value is None:
        return units.NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={part}" for key, part in value.items()) or units.NONE
    if isinstance(value, float):
        return f"{value:#.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def draw(result: Result, rows: Sequence[Row]) -> list[Drawn]:
    """Every figure that the run allows."""
    return [*_curves(result), *_forest(result), *_phases(rows)]


def _curves(result: Result) -> Iterator[Drawn]:
    """A learning curve of the loss and of the measure that models are compared by, where every round has them."""
    looks, own, names = looks_of(), "federated", names_of(result)
    chosen = dict.fromkeys([*names[:1], *([result.intervals.metric] if result.intervals else names[1:2])])
    for name in chosen:
        line = [value for row in result.quality.by_round if (value := row.get(name)) is not None]
        if not line or len(line) < len(result.quality.by_round):
            continue
        found = (result.quality.fedavg.get(name), result.quality.pooled.get(name), mean_of(result.quality.alone, name))
        levels = {key: value for key, value in zip(LEVELS, found, strict=True) if value is not None}
        better = "lower" if name in LOSSES else "higher"
        told = [f"{key} {value:.3g}" for key, value in levels.items()]
        caption = (
            f"{name} on the common test rows, {better} is better: {line[0]:.3g} after the first round, {line[-1]:.3g} "
            f"after the last{'; ' if told else ''}{', '.join(told)}."
        )
        drawn = figures.curves({own: line}, levels, looks, f"{name} by round")
        yield Drawn(f"curve-{name}", drawn, f"{name} by round", caption)


def _forest(result: Result) -> Iterator[Drawn]:
    """The intervals of all models, the hospitals' own below."""
    if result.intervals is None:
        return
    metric, spans = spans_of(result)
    kinds = ("federated", "plain FedAvg", "pooled data", *(["alone, mean"] * (len(spans) - 3)))
    quality, looks = result.quality, looks_of()
    points = [quality.federated.get(metric), quality.fedavg.get(metric), quality.pooled.get(metric)]
    points += [mean_of(quality.alone, metric), *(row.get(metric) for row in quality.alone)] if quality.alone else []
    names = ["federated", *LEVELS[:2]]
    names += [LEVELS[2], *(f"{name} alone" for name in hospitals_of(result))] if quality.alone else []
    found = [
        (name, looks[kind], point, (span[0], span[1]) if span and None not in span else None)
        for name, kind, point, span in zip(names, kinds, points, spans, strict=True)
    ]
    if all(point is None and span is None for _, _, point, span in found):
        return
    own = found[0]
    caption = f"{metric} on the common test rows with 95% bootstrap intervals; federated {value_text(own[2])}"
    caption += f", {span_text(spans[0])}." if own[3] else "."
    title = f"{metric}, with its interval"
    yield Drawn("intervals", run_figures.forest(found, title, metric), title, caption)  # type: ignore[arg-type]


def _phases(rows: Sequence[Row]) -> Iterator[Drawn]:
    """CPU and bytes by phase."""
    stages = {STAGES[stage][1]: costs_of(rows, stage) for stage in stages_of(rows)}
    for key, title, text in (
        ("cpu", "CPU by phase, busiest hospital", units.seconds),
        ("bytes", "Bytes by phase, busiest hospital", units.size),
    ):
        parts = {name: cost[key] for name, cost in stages.items()}
        if sum(map(len, parts.values())):
            told = "; ".join(
                f"{name}: {', '.join(f'{phase} {text(value)}' for phase, value in part.items())}"
                for name, part in parts.items()
            )
            yield Drawn(f"phases-{key}", run_figures.phases(parts, title, text), title, f"{told}.")
