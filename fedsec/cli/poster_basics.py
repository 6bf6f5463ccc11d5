"""`fedsec poster basics` and `fedsec poster page`: the tools' own claims, and the page of all experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec.cli.options import Json, print_json
from fedsec.errors import RunFailed
from fedsec.simulations.poster import basics as measured
from fedsec.simulations.poster import claims
from fedsec.simulations.poster import experiment_output as files
from fedsec.simulations.poster import poster_page as pages

Option = typer.Option
TOOLS = ("C1", "C2", "C11")


def basics(
    key_bits: Annotated[int, Option(help="Paillier's key; less than 2048 is refused.")] = 3072,
    output: Annotated[Path | None, Option(help="Folder for basics.json and basics.csv.")] = None,
    as_json: Json = False,
) -> None:
    """What the poster says of its tools: exact sums under encryption, fresh ciphertexts, shares that tell nothing.

    Examples:

    `fedsec poster basics`

    `fedsec poster basics --output results/poster --json`
    """
    files.ready(output)
    with files.progress() as follow:
        facts = measured.measure(key_bits, follow)
    judged = [one for one in claims.rows({"basics": facts}) if one["number"] in TOOLS]
    if output is not None:
        facts["files"] = files.write(output, "basics", facts, judged, {})
    if as_json:
        print_json(facts)
    else:
        for one in judged:
            Console().print(f"{one['number']} {one['says']}: {one['verdict']}. {one['measured']}.", highlight=False)
    if failed := [one["number"] for one in judged if one["verdict"] != claims.HOLDS]:
        raise RunFailed(f"{', '.join(failed)} does not hold")


def page(
    folder: Annotated[Path, typer.Argument(help="The folder that the other commands wrote to, by --output.")],
    as_json: Json = False,
) -> None:
    """Make one self-contained page, poster.html, of what the experiments left in a folder: claims, figures, tables.

    Examples:

    `fedsec poster page results/poster`
    """
    path = pages.write(folder)
    if as_json:
        print_json({"page": str(path), "claims": claims.rows(pages.load(folder))})
    else:
        Console().print(f"Page: {path}", highlight=False, soft_wrap=True)
