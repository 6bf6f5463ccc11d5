"""Which extra of fedsec installs what is missing, as the metadata of the installed package say."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import itertools
import re
from collections.abc import Iterator

from fedsec.errors import ConfigurationError

DISTRIBUTIONS = {"datasets": "flwr-datasets", "fpdf": "fpdf2", "sklearn": "scikit-learn"}
"""What installs a module of another name."""


def names() -> frozenset[str]:
    """The extras of this package."""
    return frozenset(_said("Provides-Extra"))


def of(module: str, preferred: str = "") -> str:
    """The extra that names the package of this module, or `preferred` where that brings it too; empty for none."""
    top = module.partition(".")[0]
    wanted = _normal(DISTRIBUTIONS.get(top, top))
    found = next((extra for name, _, extra in _requirements() if _normal(name) == wanted), "")
    brought = (parts for name, parts, extra in _requirements() if (name, extra) == ("fedsec", preferred))
    return preferred if found in itertools.chain(*brought) else found


def install(module: str, preferred: str = "") -> str:
    """What to type for a missing module, as the end of a sentence; empty where no extra has it."""
    return f": pip install 'fedsec[{extra}]'" if (extra := of(module, preferred)) else ""


def require(module: str, who: str) -> None:
    """Raise ConfigurationError, with the extra to install, unless the package of this module is here."""
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(f"{who} needs {module}, which is not installed{install(module)}")


def _normal(name: str) -> str:
    return name.replace("_", "-").lower()


def _requirements() -> Iterator[tuple[str, list[str], str]]:
    """What each extra asks for: a package, the extras of that package, and the extra."""
    for line in _said("Requires-Dist"):
        if found := re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?.*extra *== *['\"]([\w-]+)['\"]", line.replace(" ,", ",")):
            yield found[1], (found[2] or "").split(","), found[3]


@functools.lru_cache
def _said(field: str) -> tuple[str, ...]:
    try:
        return tuple(importlib.metadata.metadata("fedsec").get_all(field) or ())
    except importlib.metadata.PackageNotFoundError:  # a copy of the folder, not installed
        return ()
