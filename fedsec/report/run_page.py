"""The page of one finished run: what the model reached, what each phase cost, who learns and trusts what."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedsec import __version__, catalog
from fedsec.agreement import agreement_file
from fedsec.agreement.agreement_file import Agreement
from fedsec.agreement.explanation import Section, explain
from fedsec.disclosure import DISCLOSURE, Statement
from fedsec.errors import FedsecError
from fedsec.metering import Row
from fedsec.protocol import headings
from fedsec.report import (
    card_section,
    clinical_section,
    clinical_words,
    drawings,
    output,
    sections,
    table_one_page,
    units,
)
from fedsec.report.card_section import CardSection
from fedsec.report.run_document import AGREEMENT, RESULT, About, Disclosed, RunDocument, final_table, load
from fedsec.report.run_drawings import STAGES, costs_of, draw, looks_of, span_text, stages_of, value_text

__all__ = ["RESULT", "load", "write"]
PAGE, FIGURES = "report.html", "figures"
LARGEST = 5
"""How many coefficients are shown at once."""
ADDED = {"count": "the logarithm of the expected count", "survival": "the logarithm of the hazard"}
"""By task, what the coefficients of a linear model add to, where it is neither log-odds nor the label."""
FILES = ("data", "schema-file")
"""Options that are paths: a page goes to others, and shows the files' names alone."""


def write(folder: Path, labels: Mapping[str, str] | None = None, png: bool = True) -> list[Path]:
    """Write report.html and the figures into a run's folder; raises ConfigurationError where that fails.

    labels: what the page calls each option of the configuration; an option without one goes by its name. png: whether
    figures are written as PNG beside SVG, which takes as long again.
    """
    document, rows = load(folder)
    path = folder / DISCLOSURE
    stated = output.read(path, Statement, "a disclosure statement") if path.exists() else None
    drawn = draw(document, rows)
    contents = {f"{FIGURES}/{name}": data for one in drawn for name, data in one.files(png).items()}
    page = _render(document, rows, stated, drawn, labels or {}, _agreement(folder), card_section.section(folder))
    return output.write(folder, contents | {PAGE: page.encode()})


def _render(
    document: RunDocument,
    rows: Sequence[Row],
    stated: Statement | None,
    drawn: Sequence[drawings.Drawn],
    labels: Mapping[str, str],
    agreement: Agreement | None,
    card: CardSection | None,
) -> str:
    setting, looks = document.configuration, looks_of()
    own = bool(setting.get("data"))
    shown = [one.shown(looks) for one in drawn]
    return (
        output.environment()
        .get_template("run.html.j2")
        .render(
            version=__version__,
            kind="run",
            title=f"{document.data_name or 'A model'} across {units.plural(len(document.rows), 'hospital')}",
            looks=looks,
            document=document,
            lead=_lead(document),
            about=_about(document),
            described=table_one_page.section(document.table_one) if document.table_one else None,
            quality=_quality(document),
            warned=clinical_words.warned(document),
            clinical=clinical_section.section(document.clinical),
            figures=shown,
            clinical_figures=[one for one in shown if one["name"].startswith(clinical_section.PREFIX)],
            headings=_headings(document.strategy),
            stages=[_stage(rows, stage) for stage in stages_of(rows)],
            failures=document.void,
            stated=stated,
            disclosed=[disclosure(one) for one in document.disclosed],
            agreement=agreement,
            card=card,
            agreed=_agreed(agreement, setting) if agreement else (),
            configuration=[
                (labels.get(key, key), value_text(Path(str(value)).name if key in FILES else value))
                for key, value in setting.items()
                if value != "" and not (key == "dataset" and own)
            ],
        )
    )


def _agreement(folder: Path) -> Agreement | None:
    """What was derived from the run; None in a folder of a release that derived none."""
    path = folder / AGREEMENT
    return agreement_file.read(path) if path.is_file() else None


def _agreed(agreement: Agreement, setting: Mapping[str, Any]) -> list[Section]:
    """The agreement in words, of files their names alone."""
    paths = [path for key in FILES if (path := str(setting.get(key) or ""))]
    return [
        Section(part.title, tuple(functools.reduce(_named, paths, text) for text in part.lines))
        for part in explain(agreement)
    ]


def _named(text: str, path: str) -> str:
    return text.replace(path, Path(path).name)


def _lead(document: RunDocument) -> str:
    trained = [one for one in document.rounds if one.stage == "train" and not one.failure]
    hospitals = len(document.rows)
    some = f", {document.cohort} of them in a round," if document.cohort and document.cohort < hospitals else ""
    text = (
        f"{units.plural(hospitals, 'hospital')} with {units.plural(sum(document.rows), 'row')}{some} trained one "
        f"model in {units.plural(len(trained), 'round')}; the server saw sums only, by {document.strategy}."
    )
    difference = document.largest_difference_to_fedavg
    if difference is not None:
        text += f" No weight differs from plain FedAvg's by more than {units.small(difference)}."
    return text


def _about(document: RunDocument) -> list[tuple[str, str, str]]:
    """What was predicted, from what, when and how: names, values, and what is folded behind some."""
    about = document.about
    if about is None:
        return []
    found = [
        ("Predicted", _predicted(about), ""),
        ("From", units.plural(len(about.predictors), "column"), ", ".join(about.predictors)),
        ("Rows", f"{sum(document.rows):,} to train, {about.test_rows:,} to test, which no hospital trained on", ""),
    ]
    if about.coefficients:
        largest = sorted(about.coefficients, key=lambda one: -abs(one[1] or 0.0))
        told = ", ".join(f"{name} {value:+.3f}" for name, value in about.coefficients if value is not None)
        first = ", ".join(f"{name} {value:+.2f}" for name, value in largest[:LARGEST] if value is not None)
        what = ADDED.get(about.task) or ("the log-odds" if about.positive else "the label, in standard deviations")
        found.append(("Largest coefficients", first, f"What each adds to {what}, for one standard deviation: {told}"))
    return [
        *found,
        ("Finished", about.finished.replace("T", " ").replace("+00:00", " UTC"), ""),
        ("Command", about.command, ""),
    ]


def _predicted(about: About) -> str:
    """What the model predicts, in a few words."""
    share = "" if about.prevalence is None else f", in {100 * about.prevalence:.3g}% of the training rows"
    if about.event:
        return f"time to {about.event} = {about.positive}, by {about.label}{share}"
    if about.classes:
        return f"{about.label}: {', '.join(about.classes)}"
    return f"{about.label} = {about.positive}{share}" if about.positive else about.label


def _quality(document: RunDocument) -> dict[str, Any]:
    """The final table."""
    names = list(document.quality.federated)
    return {
        "names": [units.measure(name) for name in names],
        "metric": units.measure(document.intervals.metric) if document.intervals else "",
        "rows": [
            (
                model.who,
                [("" if (value := model.quality.get(name)) is None else value, value_text(value)) for name in names],
                span_text(model.interval),
            )
            for model in final_table(document)
        ],
    }


def disclosure(one: Disclosed) -> str:
    """What is disclosed of one hospital."""
    who = f"party {one.party}" + (f" ({one.hospital})" if one.hospital else "")
    parts = [] if one.rows is None else [units.plural(one.rows, "row")]
    parts += [
        f"loss about {value_text(value)} {when}"
        for value, when in ((one.train_loss, "after training"), (one.loss, "at evaluation"))
        if value is not None
    ]
    return f"{who}: {', '.join(parts)}"


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
