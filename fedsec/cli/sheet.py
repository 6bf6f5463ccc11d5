"""`fedsec sheet`: two pages on a run for data protection officers."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec import __version__, extras
from fedsec.app.protection_sheet import sheet as sheet_of
from fedsec.errors import ConfigurationError, expect_new
from fedsec.report import output

PAGES = 2


def sheet(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where it goes. [default: data-protection.pdf in RUN]"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as Markdown in place of a PDF.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write two pages for data protection officers: data flows, who sees what, what is not protected.

    It is made of the run's disclosure statement and model, in plain words, as a PDF that can be attached to a
    description of processing. It is no legal advice.

    Examples:

    `fedsec sheet results/rows`

    `fedsec sheet results/rows -o for-the-board.pdf`

    `fedsec sheet results/rows --markdown`
    """
    folder = run.expanduser()
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder: name that of a finished run")
    found = sheet_of(folder)
    if markdown:
        sys.stdout.write(found.markdown())
        return
    for module in ("fpdf", "matplotlib"):
        extras.require(module, "`fedsec sheet`")
    from fedsec.report.pdf import pdf

    path = folder / "data-protection.pdf" if target is None else target.expanduser()
    expect_new("output", path, force)
    now = datetime.now(UTC)
    foot = f"{found.title}. Made by fedsec {__version__} on {now:%Y-%m-%d}."
    output.write(path.parent, {path.name: pdf(found.title, found.lead, found.parts, foot, PAGES, now)})
    Console().print(f"Data protection sheet: {path}", highlight=False, markup=False, soft_wrap=True)
