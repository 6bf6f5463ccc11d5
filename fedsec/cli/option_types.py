"""What options of every command are read as: whole numbers, as people write them, and paths.

1000000, 1_000_000, 1e6, 1000k and 1M are one number, and 1.5 is none. ~ is a home folder, and a path that no file can
have is refused by the option's name.
"""

from __future__ import annotations

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.types import INT, IntParamType
from typer.models import TyperPath

from fedsec.errors import ConfigurationError, home_expanded

if TYPE_CHECKING:
    import click

MOST_DIGITS = 30
SUFFIXES = {"k": 3, "m": 6, "g": 9}
"""What may follow a number, in either case, and how many zeros it stands for: 11.2M parameters, 10k rows, 2G bytes."""


def whole_number(text: str) -> int:
    """The whole number that a text stands for; raises ValueError, in the user's words, where it stands for none."""
    stripped = text.strip()
    zeros = SUFFIXES.get(stripped[-1:].lower(), 0)
    try:
        number = Decimal(stripped[:-1] if zeros else stripped)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if number.is_finite() and number.adjusted() < MOST_DIGITS:
        sign, digits, exponent = number.as_tuple()
        number = Decimal((sign, digits, int(exponent) + zeros))  # exact, however many digits
    if not number.is_finite() or number.adjusted() >= MOST_DIGITS or number != number.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number of at most {MOST_DIGITS} digits")
    return int(number)


class WholeNumber(IntParamType):
    """The type of every option that is an integer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """`value` as an int; ends the command with a usage error that names the option where it is none."""
        try:
            return whole_number(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class UserPath(TyperPath):
    """The type of every option that is a path, of a file that may not exist yet."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """`value` with ~ written out; ends the command with a usage error that names the option where it is no path."""
        try:
            path = home_expanded("path", Path(value))
            path.exists()  # raises where the system takes no such name
        except (ConfigurationError, OSError, ValueError) as error:
            self.fail(str(getattr(error, "strerror", None) or error), param, ctx)
        return super().convert(path, param, ctx)


def read_as_written(command: click.Command) -> None:
    """Give all options and arguments of a command that are integers or paths these types, whoever declared them."""
    for parameter in command.params:
        if parameter.type is INT:
            parameter.type = WholeNumber()
        elif type(parameter.type) is TyperPath:
            parameter.type = UserPath(path_type=parameter.type.type)
