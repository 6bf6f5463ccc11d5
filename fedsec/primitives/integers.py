"""Whole numbers as an argument: what arithmetic on integers is given, of whichever library, and nothing that rounds."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
from gmpy2 import mpz

from fedsec.errors import ConfigurationError, FedsecError

_EXACT = {int, type(mpz())}


def integer(name: str, value: SupportsIndex, error: type[FedsecError] = ConfigurationError) -> int:
    """Return `value` as an integer: an int, an integer of gmpy2 or of numpy, or a numpy array that is one integer.

    Raises `error`, naming the type and never the value, which may be secret, for anything else. A float or a fraction
    is refused even where it is whole: libraries cut it, or read other digits than those meant. True is no number.
    """
    if not isinstance(value, bool | np.bool_):  # older releases of NumPy take theirs for an index
        try:
            return value if type(value) in _EXACT else operator.index(value)  # type: ignore[return-value]
        except TypeError:
            pass
    raise error(
        f"{name}: a value of type {type(value).__name__} was given, and an integer is expected; round it first, or "
        "encode reals in fixed point"
    )


def integers(name: str, values: Iterable[SupportsIndex], error: type[FedsecError] = ConfigurationError) -> list[int]:
    """Return `values` as a list, each as `integer` reads it; the error names the first place that is not one."""
    try:
        items = list(values)
    except TypeError:
        raise error(f"{name}: a value of type {type(values).__name__} was given, and a list is expected") from None
    if set(map(type, items)) <= _EXACT:
        return items  # type: ignore[return-value]
    return [integer(f"{name}, place {place}", item, error) for place, item in enumerate(items)]


def plain_array(values: Any) -> bool:
    """Whether this is an array of numpy's whose every value counts: a masked one hides values that a sum would add."""
    return isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray)
