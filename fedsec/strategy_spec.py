"""A strategy and its parameters as a user names them: `shamir:server=malicious:threshold=4`.

The command line, sweeps, reports and the app's configuration all name strategies so, and read them here alone. Which
strategy a name means, and which parameters it takes, is the catalogue's to say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fedsec.errors import ConfigurationError, expect

Value = int | float | str | bool | None

_LONGEST_INTEGER, _LONGEST_SHOWN = 256, 200
_BARE = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][\w.+/-]*", re.ASCII)
"""Texts that are written without quotes: what follows cannot be read as JSON."""


@dataclass(frozen=True, eq=False)
class StrategySpec:
    """A strategy by its name, or by the path of its file, and the parameters that are set for it.

    >>> spec = StrategySpec.parse("shamir:server=malicious:threshold=4")
    >>> spec.name, dict(spec.parameters)
    ('shamir', {'server': 'malicious', 'threshold': 4})
    >>> str(spec)
    'shamir:server=malicious:threshold=4'

    Two are equal if they are written the same, which is in the order of the parameters' names. Raises
    ConfigurationError on a name with a colon, and on a parameter that is no plain value.
    """

    name: str
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and ":" not in self.name):
            raise ConfigurationError(f"strategy {self.name!r}: a name or path without a colon was expected")
        expect("parameters", self.parameters, Mapping, "a mapping from names")
        for name, value in self.parameters.items():
            if not (isinstance(name, str) and name.isidentifier()):
                raise ConfigurationError(f"parameter {name!r}: a name of letters, digits and _ was expected")
            if not (
                value is None
                or isinstance(value, str)
                or (isinstance(value, int) and value.bit_length() <= _LONGEST_INTEGER)
                or (isinstance(value, float) and math.isfinite(value))
            ):
                raise ConfigurationError(
                    f"parameter {name} is {_shown(value)}; a finite number, a text, true, false or null was expected"
                )
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    @classmethod
    def parse(cls, text: str) -> StrategySpec:
        """From `NAME` or `NAME:PARAMETER=VALUE:…`; each value is JSON, or else text."""
        expect("strategy", text, str, "a text such as shamir:threshold=4")
        name, *options = text.split(":")
        return cls(name).with_options(options)

    @classmethod
    def from_json(cls, name: str, parameters: str) -> StrategySpec:
        """From a name and a JSON object of parameters, as a run's configuration holds them."""
        try:
            values = json.loads(parameters)
        except (ValueError, TypeError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise ConfigurationError(f"parameters is {_shown(parameters)}: a JSON object was expected")
        return cls(name, values)

    def with_options(self, options: Iterable[str]) -> StrategySpec:
        """The same with parameters as the command line gives them, `NAME=VALUE`; the last of one name counts."""
        expect("options", options, Iterable, "a list of texts")
        return self.with_parameters(dict(map(_option, options)))

    def with_parameters(self, parameters: Mapping[str, Value]) -> StrategySpec:
        """The same with these parameters too, in place of those of the same names."""
        expect("parameters", parameters, Mapping, "a mapping from names")
        return StrategySpec(self.name, {**self.parameters, **parameters})

    @property
    def json(self) -> str:
        """The parameters as a JSON object, as a run's configuration holds them."""
        return json.dumps(dict(self.parameters))

    @property
    def title(self) -> str:
        """For tables: `shamir server=malicious`."""
        return " ".join((self.name, *(f"{name}={_written(value)}" for name, value in self.parameters.items())))

    @property
    def short(self) -> str:
        """For figures: `shamir malicious`, `shamir threshold=4`: a word says by itself which parameter it is of."""
        written = {name: _written(value) for name, value in self.parameters.items()}
        return " ".join((self.name, *(text if text.isalpha() else f"{name}={text}" for name, text in written.items())))

    def __str__(self) -> str:
        return ":".join((self.name, *(f"{name}={_written(value)}" for name, value in sorted(self.parameters.items()))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StrategySpec) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return StrategySpec, (self.name, dict(self.parameters))  # a mapping proxy cannot be pickled


def _option(text: str) -> tuple[str, Value]:
    expect("parameter", text, str, "NAME=VALUE")
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigurationError(f"parameter {text!r}: NAME=VALUE was expected")
    try:
        read: Value = json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        read = value
    return name.replace("-", "_"), read


def _shown(value: Any) -> str:
    """A value in an error: its beginning, where it is long or cannot be written."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _refuse(constant: str) -> Any:
    """NaN and Infinity are no JSON, whatever Python's reader takes them for."""
    raise ValueError(constant)


def _written(value: Value) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value):
        return str(value)
    # Colons and commas separate parameters and strategies: inside quotes they are escaped.
    return json.dumps(value).replace(":", r"\u003a").replace(",", r"\u002c")
