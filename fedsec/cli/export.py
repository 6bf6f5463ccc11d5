"""`fedsec export`: a run's model in a format that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec import extras
from fedsec.errors import expect_new
from fedsec.learning import trained_model
from fedsec.learning.onnx_export import NOTE, to_onnx
from fedsec.report import output


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run, or its model.safetensors.")],
    target: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where it goes. [default: model.onnx in RUN]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a run's model as ONNX, its preparation included, for runtimes of other languages.

    The graph reads a patient's columns by their names and gives the probability, as `fedsec predict` does, but checks
    no ranges: what that refuses is scored. Linear, logistic and mlp models can be written.

    Examples:

    `fedsec export results/rows`

    `fedsec export results/rows -o sepsis.onnx --force`
    """
    extras.require("onnx", "`fedsec export`")
    path = run.expanduser()
    trained = trained_model.read(path)
    file = (path if path.is_dir() else path.parent) / "model.onnx" if target is None else target.expanduser()
    expect_new("output", file, force)
    output.write(file.parent, {file.name: to_onnx(trained).SerializeToString(deterministic=True)})
    Console().print(f"Model: {file}\n{NOTE}", highlight=False, markup=False, soft_wrap=True)
