"""Options that several commands have: `--json`, and the values of `--engine`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]


class Engine(StrEnum):
    """Where rounds are run: in this process, or under Flower on Ray."""

    LOCAL = "local"
    FLOWER = "flower"


def print_json(document: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(document) + "\n")
