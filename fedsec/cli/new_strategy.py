"""`fedsec new-strategy`: a strategy to start from, which passes its test as it is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from fedsec import catalog
from fedsec.cli.options import Json, print_json
from fedsec.cli.scaffold import TEMPLATES, check, filled, print_steps, text_of
from fedsec.errors import ConfigurationError, expect_new
from fedsec.report import output as files


def new_strategy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The strategy's name, as in `my_masks`.")],
    output: Annotated[Path, typer.Option(help="Folder for the two files.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace the files if they exist.")] = False,
    as_json: Json = False,
) -> None:
    """Create a starter strategy, NAME.py, and its test: one-phase pairwise masks that pass the conformance suite.

    Examples:

    `fedsec new-strategy my_masks`

    `fedsec new-strategy my_masks --output strategies_of_mine`
    """
    check("NAME", name)
    if name in catalog.names():
        raise ConfigurationError(f"NAME is {name!r}, and there is a strategy of that name; choose another")
    if name in sys.stdlib_module_names:
        raise ConfigurationError(f"NAME is {name!r}, and Python has a module of that name; choose another")
    kind = "".join(part.capitalize() for part in name.split("_"))
    template = text_of(TEMPLATES / "strategy.py.txt")
    used = {str(getattr(node, "id", getattr(node, "name", ""))) for node in ast.walk(ast.parse(template))}
    if kind in used - {"PairwiseMasks"}:
        raise ConfigurationError(f"NAME is {name!r}, and {kind} is a name in the file already; choose another")
    contents = {
        f"{name}.py": template.replace("PairwiseMasks", kind),
        f"test_{name}.py": filled(text_of(TEMPLATES / "test_strategy.py.txt"), name=name, kind=kind),
    }
    folder = output.expanduser()
    _write(folder, contents, force)
    paths = [folder / path for path in contents]
    if as_json:
        return print_json({"written": [str(path) for path in paths]})
    print_steps(
        [f"{path}" for path in paths],
        [f"python -m pytest {paths[1]}", f"fedsec strategies {paths[0]}", f"fedsec run --strategy {paths[0]}"],
        "The test needs pytest and hypothesis: pip install pytest hypothesis",
    )


def _write(folder: Path, contents: Mapping[str, str], force: bool) -> None:
    """Write files into a folder; where one exists and may not be replaced, none is written."""
    for path in contents:
        expect_new("file", folder / path, force)
    files.write(folder, {path: text.encode() for path, text in contents.items()})
