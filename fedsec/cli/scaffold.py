"""`fedsec new-strategy` and `fedsec init`: files to start from, which work as they are."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec import catalog
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError
from fedsec.report import output as files

NAME = re.compile(r"[a-z][a-z0-9_]*")
TEMPLATES = resources.files("fedsec.cli") / "templates"


def new_strategy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The strategy's name, as in `my_masks`.")],
    output: Annotated[Path, typer.Option(help="Folder for the two files.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace the files if they exist.")] = False,
    as_json: Json = False,
) -> None:
    """Write a strategy to start from, NAME.py, and its test: a one-phase pairwise mask that passes the whole suite.

    Examples:

    `fedsec new-strategy my_masks`

    `fedsec new-strategy my_masks --output strategies_of_mine`
    """
    _check("NAME", name)
    if name in catalog.names():
        raise ConfigurationError(f"NAME is {name!r}, and there is a strategy of that name; choose another")
    if name in sys.stdlib_module_names:
        raise ConfigurationError(f"NAME is {name!r}, and Python has a module of that name; choose another")
    kind = "".join(part.capitalize() for part in name.split("_"))
    template = _text(TEMPLATES / "strategy.py.txt")
    used = {str(getattr(node, "id", getattr(node, "name", ""))) for node in ast.walk(ast.parse(template))}
    if kind in used - {"PairwiseMasks"}:
        raise ConfigurationError(f"NAME is {name!r}, and {kind} is a name in the file already; choose another")
    contents = {
        f"{name}.py": template.replace("PairwiseMasks", kind),
        f"test_{name}.py": _filled(_text(TEMPLATES / "test_strategy.py.txt"), name=name, kind=kind),
    }
    folder = output.expanduser()
    _write(folder, contents, force)
    paths = [folder / path for path in contents]
    if as_json:
        return print_json({"written": [str(path) for path in paths]})
    _say(
        [f"{path}" for path in paths],
        [f"python -m pytest {paths[1]}", f"fedsec strategies {paths[0]}", f"fedsec run --strategy {paths[0]}"],
        "The test needs pytest and hypothesis: pip install pytest hypothesis",
    )


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    as_json: Json = False,
) -> None:
    """Write a Flower app to start from, whose server sees sums only.

    Examples:

    `fedsec init my_study`
    """
    target = folder.expanduser().absolute()
    name = re.sub(r"[^a-z0-9]+", "_", target.name.lower()).strip("_")
    _check("the app's name, from DIR,", name)
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise ConfigurationError(f"DIR is {folder}: a package {name!r} would hide another of that name; choose another")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConfigurationError(f"DIR {folder} exists already, and is not an empty folder; choose another")
    contents = _app(name)
    _create(target, contents)
    if as_json:
        return print_json({"written": [str(target / path) for path in contents]})
    run = 'flwr run . --stream --federation-config "num-supernodes=3 client-resources-num-cpus=1"'
    steps = [f"cd {folder}", "export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1", run]
    _say([str(folder / path) for path in contents], steps, "README.md says what to make your own, and where.")


def _app(name: str) -> dict[str, str]:
    """The files of the app, by path."""
    source, out = TEMPLATES / "app", {}
    for file in sorted(source.iterdir(), key=lambda file: file.name):
        path = file.name.removesuffix(".txt")
        words = {"name": name, "project": name.replace("_", "-"), "title": name.replace("_", " ").capitalize()}
        out[f"{name}/{path}" if path.endswith(".py") else path] = _filled(_text(file), **words)
    return out


def _check(field: str, name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("test_"):
        raise ConfigurationError(
            f"{field} is {name!r}; small letters, digits and _ were expected, a letter first, no word of Python, and "
            "not test_ at its start"
        )


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _filled(text: str, **words: str) -> str:
    """The text with {word} replaced; other braces are left alone."""
    return re.sub("|".join(rf"\{{{word}\}}" for word in words), lambda found: words[found[0][1:-1]], text)


def _write(folder: Path, contents: Mapping[str, str], force: bool) -> None:
    """Write files into a folder; where one exists and may not be replaced, none is written."""
    taken = [str(folder / path) for path in contents if (folder / path).exists()]
    if taken and not force:
        raise ConfigurationError(f"{taken[0]} exists already; choose another name, or replace it with --force")
    files.write(folder, {path: text.encode() for path, text in contents.items()})


def _create(target: Path, contents: Mapping[str, str]) -> None:
    """Write a folder whole or not at all."""
    staged: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        for path, text in contents.items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(text, encoding="utf-8")
        staged.chmod(0o755)
        if target.exists():  # an empty folder, which somebody may be in
            for made in list(staged.iterdir()):
                os.replace(made, target / made.name)
        else:
            os.replace(staged, target)
    except OSError as error:
        raise ConfigurationError(f"DIR {target} cannot be written: {error.strerror}") from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)


def _say(written: list[str], steps: list[str], note: str) -> None:
    console = Console()
    for heading, lines in (("Written", written), ("Next", steps)):
        console.print(f"{heading}:", style="bold")
        for line in lines:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    console.print(note, highlight=False, markup=False, soft_wrap=True)
