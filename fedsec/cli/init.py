"""`fedsec init`: a Flower app to start from, which Flower builds and runs as it is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from fedsec.cli.options import Json, print_json
from fedsec.cli.scaffold import TEMPLATES, check, filled, print_steps, text_of
from fedsec.errors import ConfigurationError

LONGEST = 32
"""Characters of an app's name under Flower."""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    as_json: Json = False,
) -> None:
    """Write a Flower app to start from, whose server sees sums only.

    Examples:

    `fedsec init my-study`
    """
    asked = folder.expanduser().absolute()
    app = app_name(asked.name)
    target, name = asked.with_name(app), app.lower().replace("-", "_")
    check("the app's package, from DIR,", name)
    if asked != target and asked.exists():
        raise ConfigurationError(f"DIR {folder} exists, and Flower builds no app in a folder of that name: use {app}")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise ConfigurationError(f"DIR is {folder}: a package {name!r} would hide another of that name; choose another")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConfigurationError(f"DIR {target} exists already, and is not an empty folder; choose another")
    contents = _app(name)
    _create(target, contents)
    if as_json:
        return print_json({"written": [str(target / path) for path in contents]})
    shown = folder.with_name(app) if asked != target else folder
    run = 'flwr run . --stream --federation-config "num-supernodes=3 client-resources-num-cpus=1"'
    steps = [f"cd {shown}", "export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1", run]
    note = "README.md says what to make your own, and where."
    if asked != target:
        note = f"The folder is {app}: Flower takes letters, digits and - in an app's name. {note}"
    print_steps([str(shown / path) for path in contents], steps, note)


def app_name(folder: str) -> str:
    """The app's name, and its folder's, as near to `folder` as Flower takes it; raises ConfigurationError."""
    name = re.sub(r"[ _.-]+", "-", folder).strip("-")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name) or len(name) > LONGEST:
        raise ConfigurationError(
            f"DIR's name is {folder!r}; Flower takes letters a to z, digits and -, a letter first, and at most "
            f"{LONGEST} characters"
        )
    return name


def _app(name: str) -> dict[str, str]:
    """The files of the app, by path."""
    source, out = TEMPLATES / "app", {}
    for file in sorted(source.iterdir(), key=lambda file: file.name):
        path = file.name.removesuffix(".txt")
        words = {"name": name, "project": name.replace("_", "-"), "title": name.replace("_", " ").capitalize()}
        out[f"{name}/{path}" if path.endswith(".py") else path] = filled(text_of(file), **words)
    return out


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
