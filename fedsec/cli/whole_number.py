"""Whole numbers on the command line: 1000000, 1_000_000 and 1e6 are one number, and 1.5 is none."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from click.types import INT, IntParamType

if TYPE_CHECKING:
    import click

MOST_DIGITS = 30


def whole_number(text: str) -> int:
    """The whole number that a text stands for; raises ValueError, in the user's words, where it stands for none."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
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


def read_whole_numbers(command: click.Command) -> None:
    """Give all options and arguments of a command that are integers this type, whoever declared them."""
    for parameter in command.params:
        if parameter.type is INT:
            parameter.type = WholeNumber()
