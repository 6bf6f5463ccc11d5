"""Lists, numbers, networks and strategies as the command line gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from fedsec import catalog
from fedsec.cli.option_types import whole_number
from fedsec.errors import ConfigurationError
from fedsec.metering import Network
from fedsec.strategy_spec import StrategySpec

Value = TypeVar("Value", int, float)


def allowed(text: str) -> str:
    """A strategy as a StrategySpec writes it; a file is allowed on this machine, and goes by its path."""
    spec = StrategySpec.parse(text)
    catalog.allow(spec.name)
    path = str(Path(spec.name).expanduser().resolve()) if spec.name.endswith(".py") else spec.name
    return str(StrategySpec(path, spec.parameters))


def print_left_out(quiet: bool) -> None:
    """Print on standard error which strategies "all" does not hold here, and why."""
    for reason in catalog.left_out():
        Console(stderr=True, quiet=quiet).print(f"Left out: {reason}", highlight=False, markup=False, soft_wrap=True)


def items(name: str, text: str) -> list[str]:
    """The items of a list with commas."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise ConfigurationError(f"{name} is {text!r}; at least one value is needed")
    return items


def numbers(name: str, text: str, kind: Callable[[str], Value]) -> tuple[Value, ...]:
    """The numbers in a list with commas, each once; 1e5 and 10_000 are numbers too."""
    read: Callable[[str], Any] = whole_number if kind is int else kind
    values: list[Value] = []
    for item in items(name, text):
        try:
            values.append(read(item))
        except ValueError as error:
            reason = str(error) if kind is int else f"{item!r} is not a number"
            raise ConfigurationError(f"{name}: {reason}") from None
    return tuple(dict.fromkeys(values))


def parse_network(text: str) -> tuple[str, Network]:
    """The name and the figures of NAME=MS,DOWN,UP, in Mbit/s."""
    name, equals, rest = text.partition("=")
    try:
        latency, down, up = (float(item) for item in rest.split(","))
        name = name.strip() if all(map(math.isfinite, (latency, down, up))) else ""
    except ValueError:
        name = ""
    if not (name and equals):
        raise ConfigurationError(f"network {text!r}: NAME=LATENCY,DOWN,UP was expected, in ms and Mbit/s")
    return name, Network(latency / 1e3, down * 1e6 / 8, up * 1e6 / 8)
