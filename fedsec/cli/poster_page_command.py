"""`fedsec poster page`: the page of all experiments of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec.cli.options import Json, print_json
from fedsec.simulations.poster import poster_page


def page(
    folder: Annotated[Path, typer.Argument(help="Folder that the other commands wrote to with --output.")],
    as_json: Json = False,
) -> None:
    """Write poster.html, one self-contained page of claims, figures and tables, from a folder of results.

    Examples:

    `fedsec poster page results/poster`
    """
    path = poster_page.write(folder)
    if as_json:
        print_json({"page": str(path), "claims": poster_page.judged(folder)})
    else:
        Console().print(f"Page: {path}", highlight=False, soft_wrap=True)
