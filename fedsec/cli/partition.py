"""`fedsec partition`: how the rows are spread across hospitals, which only a simulation can see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed

from fedsec.app.config import RunConfig
from fedsec.cli.options import Json, print_json
from fedsec.cli.run_options import ROWS, with_config
from fedsec.cli.stats import of_command
from fedsec.data import preparation
from fedsec.data.bundled import Floats
from fedsec.data.label import Label
from fedsec.data.table import Table as Rows
from fedsec.errors import expect_new
from fedsec.report import figures
from fedsec.report import output as files
from fedsec.simulations.run.hospitals import Hospitals
from fedsec.simulations.run.partition_figure import picture
from fedsec.simulations.run.reading import print_reading

PICTURE = "partition.png"


@with_config(*ROWS, flags={"partition": "--how"}, one_class=True)
def partition(
    config: RunConfig,
    *,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the picture [default: results/partition-DATA].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the picture if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Show how the training rows are spread across hospitals: sizes, label shares, gaps and feature shift.

    Prints a table and writes a picture as SVG and PNG. It reads every hospital's rows, which no real federation can:
    `fedsec stats` shows what a real one learns.

    Examples:

    `fedsec partition --dataset randhie`

    `fedsec partition --dataset breast-cancer --how label-skew --clients 10`

    `fedsec partition --data rows.csv --site hospital --label died --output results/wards`
    """
    here = of_command(config)
    prepared = preparation.pooled(here.train).apply(here.train)
    shift = shifts(here, prepared.features)
    described = describe(here, prepared.feature_names, shift)
    folder = _folder(output, config.data_name, force)
    title = f"{config.data_name}: {len(prepared.target):,} training rows at {len(here.parts)} hospitals"
    classes = len(here.train.schema.label.groups) == 2
    shares = [hospital["label"] for hospital in described] if classes else []
    texts = [_label_text(here, hospital["label"]) for hospital in described]
    drawn = picture(
        here.names,
        [hospital["rows"] for hospital in described],
        shares,
        texts,
        here.train.schema.label.name,
        prepared.feature_names,
        shift,
        title,
    )
    written = files.write(folder, {f"partition.{kind}": figures.save(drawn, kind) for kind in ("svg", "png")})
    if as_json:
        return print_json(
            {"data": config.data_name, "hospitals": described, "written": [str(path) for path in written]}
        )
    print_reading(Console(), here.train)
    print_table(Console(), title, here, described)
    Console().print(f"Picture: {written[-1]}", highlight=False, markup=False, soft_wrap=True)


def _folder(output: Path | None, named: str, force: bool) -> Path:
    """Where the picture goes: a place that has none yet, unless it may be replaced."""
    if output is None:
        stem = Path("results") / f"partition-{named}"
        places = (stem if number == 1 else stem.with_name(f"{stem.name}-{number}") for number in range(1, sys.maxsize))
        return next(place for place in places if not place.exists())
    expect_new("output", output.expanduser() / PICTURE, force)
    return output.expanduser()


def shifts(here: Hospitals, features: Floats) -> Floats:
    """float64[hospitals, features]: how many standard deviations of all rows a hospital's mean is off theirs."""
    spread = features.std(axis=0)
    off = np.array([features[rows].mean(axis=0) for rows in here.parts]) - features.mean(axis=0)
    shift: Floats = np.divide(off, spread, out=np.zeros_like(off), where=spread > 0)
    return shift


def describe(here: Hospitals, features: tuple[str, ...], shift: Floats) -> list[dict[str, Any]]:
    """Of each hospital: rows, persons where they are known, mean of the label, share of gaps, and its largest shift."""
    out = []
    for name, rows, off in zip(here.names, here.parts, shift, strict=True):
        part = here.train.take(rows)
        gaps = np.isnan(part.numbers).sum() + (part.levels < 0).sum()
        most = int(np.abs(off).argmax())
        out.append(
            {
                "hospital": name,
                "rows": len(rows),
                "persons": None if part.person is None else len(np.unique(part.person)),
                "label": _label_of(part),
                "missing": float(gaps / (part.numbers.size + part.levels.size)),
                "mean_shift": float(np.abs(off).mean()),
                "most_shifted": features[most],
                "shift": float(off[most]),
            }
        )
    return out


def _label_of(part: Rows) -> float:
    """The mean of a number or a count; of two classes the share of class 1, of several that of the largest."""
    groups = len(part.schema.label.groups)
    shares = np.bincount(part.group, minlength=groups) / len(part.target)
    return float(part.target.mean() if not groups else shares[1] if groups == 2 else shares.max())


def _label_heading(label: Label) -> str:
    if len(label.groups) > 2:
        return f"largest class of {label.name}"
    return label.groups[1] if label.groups else f"mean {label.name}"


def _label_text(here: Hospitals, value: float) -> str:
    groups = len(here.train.schema.label.groups)
    return f"mean {value:.3g}" if not groups else f"{value:.0%}{' in one class' if groups > 2 else ''}"


def print_table(console: Console, title: str, here: Hospitals, described: list[dict[str, Any]]) -> None:
    """The table."""
    label = here.train.schema.label
    persons = described[0]["persons"] is not None
    table = Printed(
        title=escape(title),
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        caption="shifts are in standard deviations of all rows",
    )
    table.add_column("hospital")
    headings = ["rows", *(["persons"] if persons else []), escape(_label_heading(label))]
    for heading in (*headings, "missing", "mean shift", "shifted most"):
        table.add_column(heading, justify="right" if "most" not in heading else "left")
    for hospital in described:
        table.add_row(
            escape(hospital["hospital"]),
            f"{hospital['rows']:,}",
            *([f"{hospital['persons']:,}"] if persons else []),
            f"{hospital['label']:.1%}" if label.groups else f"{hospital['label']:.4g}",
            f"{hospital['missing']:.1%}",
            f"{hospital['mean_shift']:.2f}",
            escape(f"{hospital['most_shifted']} {hospital['shift']:+.2f}"),
        )
    console.print(table)
