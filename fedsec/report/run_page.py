"""The page of one finished run: what the model reached, what each phase cost, who learns and trusts what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedsec import __version__, catalog
from fedsec.errors import FedsecError
from fedsec.metering import Row
from fedsec.protocol import headings
from fedsec.report import drawings, figures, output, sections, units
from fedsec.report.run_document import RESULT, Disclosed, Figures, Result, load
from fedsec.report.run_drawings import (
    STAGES,
    costs_of,
    draw,
    hospitals_of,
    looks_of,
    mean_of,
    names_of,
    span_text,
    spans_of,
    stages_of,
    value_text,
)

__all__ = ["RESULT", "load", "render", "write"]
PAGE, FIGURES = "report.html", "figures"


def render(result: Result, rows: Sequence[Row]) -> str:
    """The page, as HTML."""
    return _render(result, rows, draw(result, rows))


def write(folder: Path) -> list[Path]:
    """Write report.html and the figures into a run's folder; raises ConfigurationError where that fails."""
    result, rows = load(folder)
    drawn = draw(result, rows)
    contents = {
        f"{FIGURES}/{one.name}.{kind}": figures.save(one.figure, kind) for one in drawn for kind in ("svg", "png")
    }
    return output.write(folder, contents | {PAGE: _render(result, rows, drawn).encode()})


def _render(result: Result, rows: Sequence[Row], drawn: Sequence[drawings.Drawn]) -> str:
    setting = result.configuration
    strategy = str(setting.get("strategy", ""))
    looks = looks_of()
    own = bool(setting.get("data"))
    named = Path(str(setting.get("data") or "")).stem or setting.get("dataset", "A model")
    title = f"{named} across {units.plural(len(result.rows), 'hospital')}"
    stages = stages_of(rows)
    return (
        output.environment()
        .get_template("run.html.j2")
        .render(
            version=__version__,
            kind="run",
            title=title,
            looks=looks,
            result=result,
            strategy=strategy,
            said=_said(result, strategy),
            quality=_quality(result, strategy),
            shown=[one.shown(looks) for one in drawn],
            headings=_headings(strategy),
            stages=[_stage(rows, stage) for stage in stages],
            networks=result.network_seconds,
            failures=[one for one in result.rounds if one.failure],
            names=hospitals_of(result),
            told=[told_of(one) for one in result.disclosed],
            configuration=[(key, value_text(value)) for key, value in setting.items() if key != "dataset" or not own],
        )
    )


def _said(result: Result, strategy: str) -> str:
    trained = [one for one in result.rounds if one.stage == "train" and not one.failure]
    some = f", {result.cohort} of them in a round," if result.cohort and result.cohort < len(result.rows) else ""
    text = (
        f"{units.plural(len(result.rows), 'hospital')} with {units.plural(sum(result.rows), 'row')}{some} trained one "
        f"model in {units.plural(len(trained), 'round')}; the server saw sums only, by {strategy}."
    )
    difference = result.largest_difference_to_fedavg
    if difference is not None:
        text += f" No weight differs from plain FedAvg's by more than {units.small(difference)}."
    clipped = sum(one.clipped for one in result.rounds)
    if clipped:
        text += f" {units.plural(clipped, 'coordinate')} were clipped."
    return text


def _quality(result: Result, strategy: str) -> dict[str, Any]:
    """The final table."""
    quality, names = result.quality, names_of(result)
    rows: list[tuple[str, Figures]] = [
        (f"federated, {strategy}", quality.federated),
        ("plain FedAvg", quality.fedavg),
        ("pooled data", quality.pooled),
    ]
    if quality.alone:
        rows.append(("each alone, mean", {name: mean_of(quality.alone, name) for name in names}))
        rows += [(f"{name} alone", row) for name, row in zip(hospitals_of(result), quality.alone, strict=True)]
    metric, spans = spans_of(result)
    return {
        "names": names,
        "interval": metric,
        "rows": [
            (
                who,
                [("" if (value := row.get(name)) is None else value, value_text(value)) for name in names],
                span_text(span),
            )
            for (who, row), span in zip(rows, spans, strict=True)
        ],
    }


def told_of(one: Disclosed) -> str:
    """What is told of one hospital."""
    who = f"party {one.party}" + (f" ({one.hospital})" if one.hospital else "")
    parts = [] if one.rows is None else [f"has {units.plural(one.rows, 'row')}"]
    parts += [
        f"has about {value_text(value)} of loss {when}"
        for value, when in ((one.train_loss, "after training"), (one.loss, "at evaluation"))
        if value is not None
    ]
    return f"{who} {', '.join(parts)}"


def _headings(strategy: str) -> list[tuple[str, str]]:
    """What the strategy says of itself, where it is installed here."""
    try:
        return [(key, text.replace("`", "")) for key, text in headings(catalog.strategy(strategy)).items()]
    except FedsecError:
        return []


def _stage(rows: Sequence[Row], stage: str) -> dict[str, Any]:
    """The bars of a stage."""
    costs = costs_of(rows, stage)
    server, down, up = sum(costs["server"].values()), costs["down"], costs["up"]
    cpu = [sections.part(phase, value, units.seconds(value)) for phase, value in costs["cpu"].items()]
    cpu.append(sections.part("server", server, units.seconds(server), server=True))
    sizes = [
        sections.part(phase, value, f"{units.size(down[phase])} down, {units.size(up[phase])} up")
        for phase, value in costs["bytes"].items()
    ]
    return {"title": STAGES[stage][0], **sections.stacked(cpu, sizes)}
