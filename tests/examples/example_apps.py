"""Runs an app of examples/ in this process, as Flower would: its ServerApp, its ClientApp, a grid between them."""

from __future__ import annotations

import importlib
import secrets
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, RecordDict

from fedsec.flower.simulation import simulating
from fedsec.simulations.run.local_grid import SERVER, LocalGrid

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
HOSPITALS = 3
Arrays = dict[str, np.ndarray[Any, Any]]


def declared(name: str) -> dict[str, Any]:
    """What an example's pyproject.toml says to Flower."""
    table: dict[str, Any] = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(table["tool"]["flwr"]["app"])


def package(name: str) -> str:
    """The package that holds an example's code."""
    return name.replace("-", "_")


def component(name: str, kind: str) -> Any:
    """An example's `serverapp` or `clientapp`."""
    if (folder := str(EXAMPLES / name)) not in sys.path:
        sys.path.append(folder)
    module, _, attribute = declared(name)["components"][kind].partition(":")
    return getattr(importlib.import_module(module), attribute)


def outcome(name: str, output: Path, **config: Any) -> Arrays:
    """What a run of an example with three hospitals saves."""
    values = {**declared(name)["config"], **config, "output": str(output)}
    run = secrets.randbits(62)
    with simulating():
        grid = LocalGrid(component(name, "clientapp"), values, HOSPITALS, run)
        component(name, "serverapp")(grid, Context(run, SERVER, {}, RecordDict(), values))
    return saved(output)


def saved(output: Path) -> Arrays:
    """The arrays in a file of numpy's."""
    with np.load(output) as file:
        return {key: file[key] for key in file.files}
