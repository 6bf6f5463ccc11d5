"""A name, an entry point or a file -> a strategy.

A strategy is a file that defines one concrete SecureSum; its name is the file's. Three places are searched: the
package `fedsec.strategies`, installed entry points of the group `fedsec.strategies`, and files that were named on the
command line or in the environment of this machine (FEDSEC_STRATEGY_FILES). A message can only name a strategy: code
is never fetched, and no path is taken from the other side.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fedsec import extras
from fedsec.errors import ConfigurationError, expect, expect_path, unknown
from fedsec.protocol import SecureSum
from fedsec.strategy_spec import StrategySpec

GROUP = "fedsec.strategies"
FILES_VARIABLE = "FEDSEC_STRATEGY_FILES"
"""Paths of strategy files that this machine allows, joined by os.pathsep."""

Strategy = type[SecureSum[Any, Any]]


def strategy(name: str, files: Iterable[str] = ()) -> Strategy:
    """The strategy of that name or in that file; raises ConfigurationError with the choices, or why it fails."""
    expect("strategy", name, str, "a name or the path of a file, as text,")
    expect("files", files, Iterable, "a list of paths")
    if name.endswith(".py"):
        return _from_file(expect_path("strategy", name))
    loaders = _built_ins()
    if name not in loaders and name not in (loaders := _loaders(files)):
        raise unknown("strategy", name, loaders)
    try:
        return loaders[name]()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("fedsec"):
            raise _not_loaded(f"strategy {name!r} cannot be imported", error) from error
        cure = extras.install(error.name)
        raise ConfigurationError(f"strategy {name!r} needs {error.name}, which is not installed{cure}") from error
    except ImportError as error:
        raise _not_loaded(f"strategy {name!r} cannot be imported", error) from error


def build(name: str, parameters: Mapping[str, Any], files: Iterable[str] = ()) -> SecureSum[Any, Any]:
    """The strategy of that name, with these parameters; raises ConfigurationError on one it does not take.

    For messages: it takes names alone, so nobody can point a party at a file.
    """
    expect("strategy", name, str, "a name")
    if name.endswith(".py"):
        raise ConfigurationError(f"strategy {name!r}: a message names a strategy, never a file")
    expect("parameters", parameters, Mapping, "a mapping from names")
    return strategy(name, files)(**{str(key): value for key, value in parameters.items()})


def configured(spec: StrategySpec, **fixed: Any) -> SecureSum[Any, Any]:
    """The strategy that a user of this machine names, by name or file, with its parameters and those in `fixed`."""
    expect("spec", spec, StrategySpec, "a StrategySpec")
    return strategy(spec.name)(**{**spec.parameters, **fixed})


def allow(name: str) -> str:
    """The name of a strategy; a file is allowed on this machine, here and in the processes that we start.

    Raises ConfigurationError as `strategy` does.
    """
    strategy(name)
    if not name.endswith(".py"):
        return name
    path = Path(name).expanduser().resolve()
    allowed = [str(path), *os.environ.get(FILES_VARIABLE, "").split(os.pathsep)]
    os.environ[FILES_VARIABLE] = os.pathsep.join(dict.fromkeys(filter(None, allowed)))
    return path.stem


def names() -> list[str]:
    """Every strategy that can be used here, sorted: one that needs what is not installed is left out."""
    return sorted(name for name in _loaders() if not _has_extra(name) or not _fails(name))


def left_out() -> list[str]:
    """Why each strategy that `names` leaves out cannot be used here, and what to install."""
    return [reason for name in sorted(_loaders()) if _has_extra(name) and (reason := _fails(name))]


def _has_extra(name: str) -> bool:
    """Whether an extra has this strategy's name: the strategy needs what only that extra installs."""
    return name.replace("_", "-") in extras.names()


@functools.lru_cache
def _fails(name: str) -> str:
    """Why a strategy cannot be used here; empty where it can."""
    try:
        strategy(name)
    except ConfigurationError as error:
        return str(error)
    return ""


def _built_ins() -> dict[str, Callable[[], Strategy]]:
    package = importlib.import_module("fedsec.strategies")
    return {
        module.name: functools.partial(_built_in, module.name)
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }


def _loaders(files: Iterable[str] = ()) -> dict[str, Callable[[], Strategy]]:
    """Built-in files first: a plug-in cannot take a built-in's name. To look through all packages takes 20 ms."""
    loaders = _built_ins()
    for point in importlib.metadata.entry_points(group=GROUP):
        loaders.setdefault(point.name, functools.partial(_from_entry_point, point))
    for text in (*files, *os.environ.get(FILES_VARIABLE, "").split(os.pathsep)):
        if text:
            loaders.setdefault(Path(text).stem, functools.partial(_from_file, Path(text)))
    return loaders


def _built_in(name: str) -> Strategy:
    return _only(importlib.import_module(f"fedsec.strategies.{name}"))


def _from_entry_point(point: importlib.metadata.EntryPoint) -> Strategy:
    try:
        loaded = point.load()
    except Exception as error:
        raise _not_loaded(f"entry point {point.name!r} cannot be loaded", error) from error
    kind = _only(loaded) if isinstance(loaded, ModuleType) else loaded
    if not (isinstance(kind, type) and issubclass(kind, SecureSum)):
        raise ConfigurationError(
            f"entry point {point.name!r} is {loaded!r}; a SecureSum was expected",
            public=f"entry point {point.name!r} is not a SecureSum",
        )
    if kind.__module__.rpartition(".")[2] != point.name:
        raise ConfigurationError(f"entry point {point.name!r} loads {kind.__module__}: it must have its module's name")
    return kind


def _from_file(path: Path) -> Strategy:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise _unusable(path, "does not exist")
    built_in = [module.name for module in pkgutil.iter_modules(importlib.import_module("fedsec.strategies").__path__)]
    if path.parent == Path(importlib.import_module("fedsec.strategies").__path__[0]).resolve():
        return strategy(path.stem)
    if path.stem in built_in:
        raise _unusable(path, f"cannot be used: {path.stem!r} is a built-in strategy; rename the file")
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"fedsec_strategy_files.{digest}.{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise _unusable(path, "is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise _unusable(path, "cannot be loaded", f": {type(error).__name__}: {error}") from error
    return _only(sys.modules[name])


def _not_loaded(what: str, error: Exception) -> ConfigurationError:
    """For this machine, with what the error says, which may name files here; the server is told only what failed."""
    return ConfigurationError(f"{what}: {type(error).__name__}: {error}", public=what)


def _unusable(path: Path, reason: str, cause: str = "") -> ConfigurationError:
    """For this machine, with the path and the cause; a party that has such a file tells the server its name alone."""
    return ConfigurationError(f"strategy file {path} {reason}{cause}", public=f"strategy file {path.name!r} {reason}")


def _only(module: ModuleType) -> Strategy:
    """The one concrete SecureSum that a module defines."""
    defined = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, SecureSum)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(defined) != 1:
        found = f"defines {len(defined)} strategies; one was expected"
        path = Path(getattr(module, "__file__", None) or module.__name__)
        raise _unusable(path, found)
    return defined[0]
