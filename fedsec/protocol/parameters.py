"""Parameters of a strategy: what each may be is declared once, with its field, checked once, and printed from there.

    threshold: int = parameter(0, "Shares that open the sum; 0: the least that is safe", low=0, unit="hospitals")

A field without a declaration is checked by that of the class it stands on, or by the type of its default alone.
"""

from __future__ import annotations

import sys
from dataclasses import Field, dataclass, field, fields, replace
from enum import Enum
from typing import Any, TypeVar

from fedsec.errors import ConfigurationError

Value = TypeVar("Value")

_KEY = "fedsec"
_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Parameter:
    """One parameter, as its field declares it.

    help      one line for the command line
    low       the least value; or the name of the class attribute that holds it
    high      the largest value
    below     an upper bound that is itself excluded
    multiple  every value is a multiple of this
    choices   the values, where there are only these
    unit      what a number counts
    because   why other values are refused
    """

    name: str
    default: Any
    help: str = ""
    low: float | str | None = None
    high: float | None = None
    below: float | None = None
    multiple: int = 1
    choices: tuple[Any, ...] = ()
    unit: str = ""
    because: str = ""

    def checked(self, value: Any) -> Any:
        """`value` as the strategy keeps it; raises ConfigurationError unless it is one that this parameter takes."""
        if self.choices:
            if not any(type(plain(value)) is type(plain(one)) and value == one for one in self.choices):
                raise self._refused(value, f"choose from {', '.join(map(str, self.choices))}")
            return type(self.default)(value) if isinstance(self.default, Enum) else value
        kind = type(self.default)
        if kind is float:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self._refused(value, "a number was expected")
            if not -sys.float_info.max <= value <= sys.float_info.max:
                raise self._refused(value, "a finite number was expected")
        elif kind in _TYPES and type(value) is not kind:  # not isinstance: True is no number here
            raise self._refused(value, f"{kind.__name__} was expected")
        if kind in (int, float) and not self._within(value):
            raise self._refused(value, f"it must {self._limits()}")
        return value

    def _refused(self, value: Any, limit: str) -> ConfigurationError:
        return ConfigurationError(f"{self.name} is {value!r}; {limit}{f': {self.because}' if self.because else ''}")

    def _within(self, value: float) -> bool:
        low = float("-inf") if self.low is None else float(self.low)
        high = float("inf") if self.high is None else self.high
        fits = self.multiple == 1 or value % self.multiple == 0
        return low <= value <= high and (self.below is None or value < self.below) and fits

    def _limits(self) -> str:
        parts = [f"be a multiple of {self.multiple}"] if self.multiple > 1 else []
        if self.below is not None:
            parts.append(f"be at least {self.low} and below {self.below:g}")
        elif self.high is not None:
            parts.append(f"lie between {self.low} and {self.high}")
        elif self.low is not None:
            parts.append(f"be at least {self.low}")
        return " and ".join(parts)

    @property
    def values(self) -> str:
        """What it may be, for people: `1 to 60 bits`, `at least 3 hospitals`, `semi-honest or malicious`."""
        if self.choices:
            *first, last = map(str, self.choices)
            return f"{', '.join(first)} or {last}" if first else last
        if self.below is not None:
            text = f"{self.low} to below {self.below:g}"
        elif self.high is not None:
            text = f"{self.low} to {self.high}"
        elif self.low is not None:
            text = f"at least {self.low}"
        else:
            text = _TYPES.get(type(self.default), "")
        return f"{text} {self.unit}".strip() + (f", a multiple of {self.multiple}" if self.multiple > 1 else "")

    def describe(self) -> dict[str, Any]:
        """The same for programs: plain values under the names above; bounds that are not set are None."""
        return {
            "name": self.name,
            "default": plain(self.default),
            "values": self.values,
            "help": self.help,
            "unit": self.unit,
            "low": self.low,
            "high": self.high,
            "below": self.below,
            "multiple": self.multiple,
            "choices": [plain(choice) for choice in self.choices],
        }


def parameter(default: Value, help: str, *, choices: tuple[Any, ...] = (), **limits: Any) -> Value:
    """A dataclass field that declares a parameter; `limits` as in `Parameter`. An Enum's members are its choices."""
    members = tuple(type(default)) if isinstance(default, Enum) else ()
    declared = Parameter("", default, help, choices=choices or members, **limits)
    made: Value = field(default=default, metadata={_KEY: declared})
    return made


_DECLARED: dict[type[Any], tuple[Parameter, ...]] = {}


def parameters_of(strategy: type[Any]) -> tuple[Parameter, ...]:
    """The parameters of a strategy's class, in order."""
    if strategy not in _DECLARED:
        _DECLARED[strategy] = tuple(_parameter(strategy, item) for item in fields(strategy))
    return tuple(
        replace(declared, low=getattr(strategy, declared.low)) if isinstance(declared.low, str) else declared
        for declared in _DECLARED[strategy]
    )


def _parameter(strategy: type[Any], item: Field[Any]) -> Parameter:
    """What a field declares, or what the class that it stands on did: a new default keeps the old limits."""
    inherited = (getattr(kind, "__dataclass_fields__", {}).get(item.name) for kind in strategy.__mro__)
    declared: list[Parameter] = [one.metadata[_KEY] for one in inherited if one is not None and _KEY in one.metadata]
    if not declared:
        return Parameter(item.name, item.default)
    return replace(declared[0], name=item.name, default=item.default)


def plain(value: Any) -> Any:
    """A parameter's value as JSON has it."""
    return value.value if isinstance(value, Enum) else value
