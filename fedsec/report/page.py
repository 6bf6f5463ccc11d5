"""The page of a comparison: one HTML file that needs nothing else, its figures and its table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedsec import __version__
from fedsec.report import analysis, drawings, output, ranking, sections, shapes, tables
from fedsec.report.document import Cell, Comparison
from fedsec.report.ranking import UNANSWERED, Trust
from fedsec.report.selection import networks, selection

PAGE, CELLS, FIGURES = "report.html", "cells.csv", "figures"
LABELS = {
    "hospitals": "Hospitals",
    "parameters": "Parameters",
    "bits": "Bits per value",
    "key_bits": "Bits per key",
    "dropout": "Dropped out when measured",
}


def render(comparison: Comparison, trust: Trust = UNANSWERED) -> str:
    """The page, as HTML; trust: how its first question is answered when it opens."""
    return _render(comparison, drawings.draw(comparison), trust)


def write(comparison: Comparison, folder: Path, trust: Trust = UNANSWERED) -> list[Path]:
    """Write report.html, cells.csv and the figures into a folder; raises ConfigurationError where that fails.

    trust: how the page's first question is answered when it opens.
    """
    drawn = drawings.draw(comparison)
    contents = {f"{FIGURES}/{name}": data for one in drawn for name, data in one.files().items()}
    contents |= {CELLS: table(comparison), PAGE: _render(comparison, drawn, trust).encode()}
    return output.write(folder, contents)


def _render(comparison: Comparison, drawn: Sequence[drawings.Drawn], trust: Trust) -> str:
    setting, families = analysis.opening(comparison), sections.families(comparison)
    name, network = sections.network(comparison)
    cells = analysis.cells_of(comparison, setting)
    shown = {one.name: one.shown(sections.looks(comparison)) for one in drawn}
    places = ranking.ranking(comparison, cells, network, trust)
    return (
        output.environment()
        .get_template("page.html.j2")
        .render(
            version=__version__,
            kind="comparison",
            title=comparison.title,
            lead=sections.lead(comparison),
            looks=sections.looks(comparison),
            order=list(families),
            families=families,
            strategies=families,
            labels=LABELS,
            choices=analysis.choices(comparison),
            opening=setting and setting._asdict(),
            networks=networks(comparison),
            network_name=name,
            servers=ranking.SERVERS,
            asked=trust,
            star=sections.STAR_LEGEND,
            any_scaled=any(cell.status == "extrapolated" for cell in comparison.cells),
            network_words={key: sections.network_words(one) for key, one in networks(comparison).items()},
            setting_words=setting.words() if setting else "",
            family_names=analysis.FAMILIES,
            answer=sections.answer(places, cells, setting, sections.network_in_words(name, network), trust),
            bars=[sections.bars(place.cell) for place in places],
            empty_bars=sections.NO_BARS,
            scales=sections.SCALES,
            nothing=sections.NOTHING,
            growth={
                "figures": [one for key, one in shown.items() if key.startswith("cost-")],
                "missing": drawings.missing(comparison),
            },
            hollow=drawings.hollow(comparison),
            plane=drawings.plane(comparison, cells, shown.get("networks")),
            accuracy={**drawings.exactness(comparison), "figure": shown.get("accuracy")},
            quality=comparison.quality,
            untrained=comparison.untrained,
            trust=sections.trust(comparison, cells),
            verdict=shapes.verdict(comparison),
            scatter=[one for key, one in shown.items() if key.startswith("work-")],
            statuses=tables.statuses(comparison),
            status_names=sorted({cell.status for cell in comparison.cells}),
            columns=tables.COLUMNS,
            rows=[tables.row(cell, network) for cell in comparison.cells],
            method=tables.method(comparison, cells),
            data=selection(comparison),
        )
    )


def table(comparison: Comparison) -> bytes:
    """Every cell as a line of CSV, in SI units and full digits."""
    networks = list(comparison.networks)
    lines = [_line(comparison, cell, networks) for cell in comparison.cells]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]) if lines else ["strategy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue().encode()


def _line(comparison: Comparison, cell: Cell, networks: Sequence[str]) -> Mapping[str, Any]:
    plain = (
        "strategy",
        "hospitals",
        "parameters",
        "bits",
        "key_bits",
        "dropout",
        "dropouts",
        "status",
        "note",
        "measured_parameters",
        "repetitions",
        "reference_seconds",
        "memory_hospital",
        "memory_server",
        "exact",
        "error",
        "error_bound",
    )
    line: dict[str, Any] = {name: getattr(cell, name) for name in plain}
    line["family"] = analysis.family(comparison, cell.strategy)
    for promise in ("semi_honest_server", "malicious_server"):
        line[f"withstands_{promise}"] = getattr(cell.withstands, promise, None)
    line["tolerance"] = " ".join(f"{phase}:{count}" for phase, count in cell.tolerance.items())
    for part, total in (("setup", cell.setup), ("round", cell.round)):
        for spread in ("hospital_cpu", "hospital_cpu_most", "server_cpu", "wall"):
            for which in ("median", "low", "high"):
                line[f"{part}_{spread}_{which}"] = getattr(getattr(total, spread, None), which, None)
        for figure in ("up", "up_most", "down", "down_most", "phases", "messages"):
            line[f"{part}_{figure}"] = getattr(total, figure, None)
    return line | {f"seconds_{name}": cell.seconds.get(name) for name in networks}
