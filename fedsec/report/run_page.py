"""The page of one finished run: what the model reached, what each phase cost, who learns and trusts what."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fedsec import __version__, catalog
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import Row
from fedsec.protocol import headings
from fedsec.report import drawings, figures, files, sections, units

PAGE, RESULT, LEDGER, FIGURES = "report.html", "result.json", "ledger.csv", "figures"
Figures = Mapping[str, float | None]
LOSSES = ("loss", "rmse")
LEVELS = ("plain FedAvg", "pooled data", "alone, mean")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Outcome(_Part):
    """One aggregation of a run."""

    round: int
    stage: str
    sampled: int
    included: int
    clipped: int
    failure: str = ""


class Reached(_Part):
    """Quality on the common test rows: before, after each round, and of those that it is compared with."""

    initial: Figures
    federated: Figures
    by_round: tuple[Figures, ...]
    fedavg: Figures
    pooled: Figures
    alone: tuple[Figures, ...]


class Result(_Part):
    """result.json, as far as the page shows it."""

    format: Literal[1]
    configuration: Mapping[str, Any]
    task: str
    rows: tuple[int, ...]
    tolerance: Mapping[str, int]
    rounds: tuple[Outcome, ...]
    quality: Reached
    largest_difference_to_fedavg: float | None
    network_seconds: Mapping[str, float]
    model_hash: str
    versions: Mapping[str, str]
    machine: Mapping[str, str | int | float]


def load(folder: Path) -> tuple[Result, list[Row]]:
    """What a run left in its folder; raises ConfigurationError where that is damaged."""
    try:
        result = Result.model_validate_json((folder / RESULT).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{folder / RESULT} is not a run of this release: {where}: {first['msg']}") from None
    except OSError as error:
        raise ConfigurationError(f"{folder / RESULT} cannot be read: {error.strerror}") from error
    return result, _ledger(folder / LEDGER)


def _ledger(path: Path) -> list[Row]:
    texts = ("stage", "phase", "role")
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [
            Row(**{key: value if key in texts else _number(value) for key, value in line.items()})  # type: ignore[arg-type]
            for line in reader
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is not a ledger of this release: {error}") from error


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)


def render(result: Result, rows: Sequence[Row]) -> str:
    """The page, as HTML."""
    return _render(result, rows, _draw(result))


def write(folder: Path) -> list[Path]:
    """Write report.html and the figures into a run's folder; raises ConfigurationError where that fails."""
    result, rows = load(folder)
    drawn = _draw(result)
    contents = {
        f"{FIGURES}/{one.name}.{kind}": figures.save(one.figure, kind) for one in drawn for kind in ("svg", "png")
    }
    return files.write(folder, contents | {PAGE: _render(result, rows, drawn).encode()})


def _looks() -> dict[str, figures.Style]:
    kinds = {"federated": "smpc", **dict(zip(LEVELS, ("clear", "he", "clear"), strict=True))}
    return figures.styles(kinds)


def _render(result: Result, rows: Sequence[Row], drawn: Sequence[drawings.Drawn]) -> str:
    setting = result.configuration
    strategy = str(setting.get("strategy", ""))
    looks = _looks()
    title = f"{setting.get('dataset', 'A model')} across {units.plural(len(result.rows), 'hospital')}"
    stages = [stage for stage in ("setup", "train", "evaluate") if any(row.stage == stage for row in rows)]
    return files.environment().get_template("run.html.j2").render(
        version=__version__, kind="run", title=title, looks=looks, result=result, strategy=strategy,
        said=_said(result, strategy), quality=_quality(result, strategy),
        shown=[one.shown(looks) for one in drawn], headings=_headings(strategy),
        stages=[_stage(rows, stage) for stage in stages], networks=result.network_seconds,
        failures=[one for one in result.rounds if one.failure],
        configuration=[(key, _value(value)) for key, value in setting.items()],
    )  # fmt: skip


def _said(result: Result, strategy: str) -> str:
    trained = [one for one in result.rounds if one.stage == "train" and not one.failure]
    text = (
        f"{units.plural(len(result.rows), 'hospital')} with {units.plural(sum(result.rows), 'row')} trained one model "
        f"in {units.plural(len(trained), 'round')}; the server saw sums only, by {strategy}."
    )
    difference = result.largest_difference_to_fedavg
    if difference is not None:
        text += f" No weight differs from plain FedAvg's by more than {units.small(difference)}."
    clipped = sum(one.clipped for one in result.rounds)
    if clipped:
        text += f" {units.plural(clipped, 'coordinate')} were clipped."
    return text


def _names(result: Result) -> list[str]:
    return list(result.quality.federated)


def _quality(result: Result, strategy: str) -> dict[str, Any]:
    """The final table."""
    quality, names = result.quality, _names(result)
    rows: list[tuple[str, Figures]] = [
        (f"federated, {strategy}", quality.federated),
        ("plain FedAvg", quality.fedavg),
        ("pooled data", quality.pooled),
    ]
    if quality.alone:
        rows.append(("each alone, mean", {name: _mean(quality.alone, name) for name in names}))
    rows += [(f"hospital {place} alone", row) for place, row in enumerate(quality.alone, start=1)]
    return {
        "names": names,
        "rows": [
            (who, [("" if (value := row.get(name)) is None else value, _value(value)) for name in names])
            for who, row in rows
        ],
    }


def _mean(rows: Sequence[Figures], name: str) -> float | None:
    known = [value for row in rows if (value := row.get(name)) is not None]
    return statistics.fmean(known) if known else None


def _value(value: Any) -> str:
    if value is None:
        return units.NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={part}" for key, part in value.items()) or units.NONE
    if isinstance(value, float):
        return f"{value:#.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _draw(result: Result) -> list[drawings.Drawn]:
    """A learning curve for each measure of quality that every round has."""
    out = []
    looks, own = _looks(), "federated"
    for name in _names(result)[:2]:
        line = [value for row in result.quality.by_round if (value := row.get(name)) is not None]
        if not line or len(line) < len(result.quality.by_round):
            continue
        found = (result.quality.fedavg.get(name), result.quality.pooled.get(name), _mean(result.quality.alone, name))
        levels = {key: value for key, value in zip(LEVELS, found, strict=True) if value is not None}
        better = "lower" if name in LOSSES else "higher"
        told = [f"{key} {value:.3g}" for key, value in levels.items()]
        caption = (
            f"{name} on the common test rows, {better} is better: {line[0]:.3g} after the first round, {line[-1]:.3g} "
            f"after the last{'; ' if told else ''}{', '.join(told)}."
        )
        drawn = figures.curves({own: line}, levels, looks, f"{name} by round")
        out.append(drawings.Drawn(f"curve-{name}", drawn, f"{name} by round", caption))
    return out


def _headings(strategy: str) -> list[tuple[str, str]]:
    """What the strategy says of itself, where it is installed here."""
    try:
        return list(headings(catalog.strategy(strategy)).items())
    except FedsecError:
        return []


STAGES = {"setup": "Set-up, once", "train": "A round of training", "evaluate": "A round of evaluation"}


def _stage(rows: Sequence[Row], stage: str) -> dict[str, Any]:
    """The mean over rounds of what each phase of a stage costs."""
    here = [row for row in rows if row.stage == stage]
    rounds = len({row.round for row in here}) or 1
    phases = list(dict.fromkeys(row.phase for row in here))

    def mean(phase: str, role: str, figure: str) -> float:
        return sum(float(getattr(row, figure)) for row in here if (row.phase, row.role) == (phase, role)) / rounds

    hospital = {phase: mean(phase, "hospital", "cpu_seconds_max") for phase in phases}
    server = sum(mean(phase, "server", "cpu_seconds") for phase in phases)
    down = {phase: mean(phase, "hospital", "bytes_down_max") for phase in phases}
    up = {phase: mean(phase, "hospital", "bytes_up_max") for phase in phases}
    cpu = [sections.part(phase, value, units.seconds(value)) for phase, value in hospital.items()]
    cpu.append(sections.part("server", server, units.seconds(server), server=True))
    sizes = [
        sections.part(phase, down[phase] + up[phase], f"{units.size(down[phase])} down, {units.size(up[phase])} up")
        for phase in phases
    ]
    return {"title": STAGES[stage], "rounds": rounds, **sections.stacked(cpu, sizes)}
