"""`fedsec poster basics`: what the poster claims of encryption and of shares, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec.cli.options import Json, print_json
from fedsec.errors import RunFailed
from fedsec.simulations.poster import claims, experiment_output
from fedsec.simulations.poster.basics import measure
from fedsec.simulations.poster.verdicts import HOLDS

Option = typer.Option
TOOLS = ("C1", "C2", "C11")


def basics(
    key_bits: Annotated[int, Option(help="Bits of the Paillier key; at least 2048.")] = 3072,
    output: Annotated[Path | None, Option(help="Folder for basics.json and basics.csv.")] = None,
    as_json: Json = False,
) -> None:
    """Check what the poster claims about its tools: exact sums, fresh ciphertexts, shares that reveal nothing.

    Examples:

    `fedsec poster basics`

    `fedsec poster basics --output results/poster --json`
    """
    experiment_output.make_folder(output)
    with experiment_output.progress() as follow:
        facts = measure(key_bits, follow)
    judged = [one for one in claims.rows({"basics": facts}) if one["number"] in TOOLS]
    if output is not None:
        facts["files"] = experiment_output.write(output, "basics", facts, judged, {})
    if as_json:
        print_json(facts)
    else:
        for one in judged:
            Console().print(f"{one['number']} {one['claim']}: {one['verdict']}. {one['measured']}.", highlight=False)
    if failed := [one["number"] for one in judged if one["verdict"] != HOLDS]:
        raise RunFailed(f"claims that do not hold: {', '.join(failed)}")
