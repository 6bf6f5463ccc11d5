"""Options of SecureAggregation as they are used; what cannot work is refused, with what was expected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fedsec import catalog
from fedsec.agreement import agreement_file
from fedsec.agreement.agreement_file import Agreement
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError, expect, shown
from fedsec.primitives.signing import SigningKey
from fedsec.protocol import SecureSum
from fedsec.strategy_spec import StrategySpec

NEAREST = 3
"""How many names of arrays an error names."""


def protocol(given: Any) -> SecureSum[Any, Any]:
    """The strategy that was named or given; raises ConfigurationError for what is none."""
    if isinstance(given, str):
        return catalog.configured(StrategySpec.parse(given))
    if isinstance(given, type) and issubclass(given, SecureSum):
        raise ConfigurationError(
            f'protocol is the class {given.__name__}, and a strategy was expected: add (), as in strategy("shamir")()'
        )
    if not isinstance(given, SecureSum):
        what = 'a strategy by name, as "shamir", or a SecureSum, as strategy("shamir")(),'
        raise ConfigurationError(f"protocol is {shown(given)}; {what} was expected")
    return given


def agreement(given: Any) -> Agreement | None:
    """The agreement that was given, or is in the file of this path."""
    if given is None or isinstance(given, Agreement):
        return given
    expect("agreement", given, (str, Path), "an agreement, or the path of its file,")
    return agreement_file.read(Path(str(given)))


def identity(given: Any) -> SigningKey | None:
    """The server's key; raises ConfigurationError for what is none."""
    if not (given is None or isinstance(given, SigningKey)):
        raise ConfigurationError("identity is no key; a SigningKey, as read_identity(path) returns it, was expected")
    return given


def pins(given: Any) -> frozenset[bytes]:
    """The hospitals' public keys; raises ConfigurationError for what is none."""
    expect("pins", given, Iterable, "public keys, as read_public_keys(path) returns them,")
    found = list(given)
    for key in found:
        expect("a key in pins", key, bytes, "a public key of 32 bytes")
    return frozenset(found)


def seconds(name: str, given: object) -> float:
    """A number of seconds above 0; raises ConfigurationError for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float) or math.isnan(given) or given <= 0:
        raise ConfigurationError(f"{name} is {shown(given)}; a number of seconds above 0 was expected")
    return given


def check_patterns(spec: MeanSpec, names: Collection[str]) -> None:
    """Raise ConfigurationError where a pattern matches no array of these names: it would do nothing, unnoticed."""
    for option, patterns in (("bounds", spec.bounds), ("buffers", spec.buffers)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                near = ", ".join(map(repr, difflib.get_close_matches(pattern, names, NEAREST, cutoff=0.0)))
                raise ConfigurationError(
                    f"{option} has the pattern {pattern!r}, which matches no array of the model; the nearest names are "
                    f"{near}"
                )
