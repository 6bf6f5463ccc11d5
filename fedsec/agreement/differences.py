"""How two agreements differ, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fedsec.agreement.agreement_file import Agreement

NAMED = ("hospitals", "arrays")
"""Lists whose entries go by their name."""


class Difference(NamedTuple):
    """A field, and its value in either agreement; None where it has none."""

    field: str
    one: Any
    other: Any


def differences(one: Agreement, other: Agreement) -> list[Difference]:
    """The fields that differ; empty where the two have the same hash."""
    mine, theirs = (dict(_flat(each.model_dump(mode="json", exclude_none=True))) for each in (one, other))
    found = [
        Difference(field, mine.get(field), theirs.get(field))
        for field in dict.fromkeys([*mine, *theirs])
        if _written(mine.get(field)) != _written(theirs.get(field))
    ]
    if not found and one.hash != other.hash:  # lists of the same entries
        for name in NAMED:
            orders = [[entry.name for entry in getattr(each, name)] for each in (one, other)]
            found += [Difference(f"order of {name}", *orders)] if orders[0] != orders[1] else []
    return found


def _written(value: Any) -> str:
    """A value as the hash sees it: 2, 2.0 and true are three values, and a node refuses one for another."""
    return json.dumps(value, sort_keys=True)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        entries = {entry["name"]: entry for entry in value} if not prefix and key in NAMED else value
        if isinstance(entries, Mapping):
            yield from _flat(entries, f"{name}.")
        else:
            yield name, entries
