"""Which extra of fedsec installs what is missing, as the metadata of the installed package say."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re

from fedsec.errors import ConfigurationError

DISTRIBUTIONS = {"datasets": "flwr-datasets", "markupsafe": "jinja2", "sklearn": "scikit-learn"}
"""What installs a module of another name."""


def names() -> frozenset[str]:
    """The extras of this package."""
    return frozenset(_said("Provides-Extra"))


def of(module: str) -> str:
    """The extra that asks for the package of this module by name; empty where none does."""
    top = module.partition(".")[0]
    wanted = DISTRIBUTIONS.get(top, top).replace("_", "-").lower()
    for line in _said("Requires-Dist"):
        found = re.match(r"([\w.-]+).*extra *== *['\"]([\w-]+)['\"]", line)
        if found and found[1].replace("_", "-").lower() == wanted:
            return found[2]
    return ""


def install(module: str) -> str:
    """What to type for a missing module, as the end of a sentence; empty where no extra has it."""
    return f": pip install 'fedsec[{extra}]'" if (extra := of(module)) else ""


def explained(who: str, error: ModuleNotFoundError) -> ConfigurationError:
    """What to say where `who` needs a package that is not here; raises the error itself where no extra has it."""
    if not error.name or not of(error.name):
        raise error
    return ConfigurationError(f"{who} needs {error.name}, which is not installed{install(error.name)}")


def require(module: str, who: str) -> None:
    """Raise ConfigurationError, with the extra to install, unless the package of this module is here."""
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(f"{who} needs {module}, which is not installed{install(module)}")


@functools.lru_cache
def _said(field: str) -> tuple[str, ...]:
    try:
        return tuple(importlib.metadata.metadata("fedsec").get_all(field) or ())
    except importlib.metadata.PackageNotFoundError:  # a copy of the folder, not installed
        return ()
