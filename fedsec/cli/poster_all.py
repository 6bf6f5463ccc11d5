"""`fedsec poster all`: every experiment into one folder, and the page of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec.cli.options import Json, print_json
from fedsec.cli.poster_basics import basics
from fedsec.cli.poster_network import network
from fedsec.cli.poster_shared_training import shared_training
from fedsec.cli.poster_tables import tables
from fedsec.simulations.poster import experiment_output, poster_page


def every(
    output: Annotated[Path, typer.Option(help="Folder for all results and the page.")] = Path("results/poster"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A few minutes: no sigmoids, and trainings too short to collapse.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run all of the poster's experiments and write the page: about an hour.

    Finished experiments are kept, so an interrupted command resumes when you repeat it. The page marks results of
    --quick as a short run; a full run into the same folder replaces them.

    Examples:

    `fedsec poster all --quick --output results/quick`

    `fedsec poster all`
    """
    experiment_output.make_folder(output)
    experiments: dict[str, Callable[[], None]] = {
        "basics": lambda: basics(output=output),
        "tables": lambda: tables(seeds=10 if quick else 200, output=output),
        "network": lambda: network(parts="affine,overflow,product" if quick else "all", output=output),
        "shared-training": lambda: shared_training(quick=quick, output=output),
    }
    short = experiment_output.short_runs(output)
    with experiment_output.stdout_to_stderr(as_json):
        for name, run in experiments.items():
            if not (output / f"{name}.json").is_file() or (name in short and not quick):
                run()
                experiment_output.keep_short(output, name, quick and name in experiment_output.FULL)
    path = poster_page.write(output)
    if as_json:
        print_json({"page": str(path), "claims": poster_page.judged(output)})
    else:
        Console().print(f"Page: {path}", highlight=False, markup=False, soft_wrap=True)
