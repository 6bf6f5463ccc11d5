"""A sweep: which settings are compared, and which of them can be run."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fedsec import catalog
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import NETWORKS, Network
from fedsec.simulations.costs.machine import describe_machine
from fedsec.simulations.costs.setting import Setting, label, modules, takes_keys
from fedsec.simulations.run import results

GIB = 1 << 30
FORMAT = 4
"""Of what is kept of each setting: results in another format are not mixed in."""


@dataclass(frozen=True)
class Sweep:
    """What to compare, and how.

    memory      the most bytes that a round may take; above, one hospital's part is measured, or nothing
    patience    seconds that a setting may take, about; above, a smaller model is measured and extrapolated
    networks    by name, the profiles under which end-to-end seconds are computed
    task        whether each strategy trains a model on real data as well
    """

    strategies: tuple[str, ...]
    hospitals: tuple[int, ...] = (3, 10)
    parameters: tuple[int, ...] = (10_000,)
    bits: tuple[int, ...] = (24,)
    key_bits: tuple[int, ...] = (3072,)
    dropouts: tuple[float, ...] = (0.0,)
    engine: Literal["local", "flower"] = "local"
    repetitions: int = 5
    memory: float = 4.0 * GIB
    patience: float = 10.0
    networks: Mapping[str, Network] = field(default_factory=lambda: dict(NETWORKS))
    task: bool = True

    def __post_init__(self) -> None:
        for name in ("strategies", "hospitals", "parameters", "bits", "key_bits", "dropouts"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name}: at least one value is needed")
        for name, least in (("hospitals", 1), ("parameters", 1), ("bits", 2), ("key_bits", 1)):
            low = min(getattr(self, name))
            if low < least:
                raise ConfigurationError(f"{name} is {low}; it must be at least {least}")
        if self.repetitions < 1:
            raise ConfigurationError(f"repetitions is {self.repetitions}; it must be at least 1")
        for name, value, unit in (("memory", self.memory / GIB, "GiB"), ("patience", self.patience, "s")):
            if not value > 0:
                raise ConfigurationError(f"{name} is {value:g} {unit}; it must be above 0")
        name, times = Counter(map(label, self.strategies)).most_common(1)[0]
        if times > 1:
            raise ConfigurationError(f"{times} of the strategies are called {name!r}; name each once, or rename a file")

    def settings(self) -> list[Setting]:
        """Every setting, once: key sizes vary for strategies that have keys only."""
        keys = {name: self.key_bits if takes_keys(name) else (None,) for name in self.strategies}
        return [
            Setting(name, hospitals, parameters, bits, key, dropout)
            for hospitals, parameters, bits, dropout in itertools.product(
                self.hospitals, self.parameters, self.bits, self.dropouts
            )
            for name in self.strategies
            for key in keys[name]
        ]

    def how(self) -> dict[str, Any]:
        """What decides how settings are measured: kept results are used only where it is the same."""
        return {
            "format": FORMAT,
            "engine": self.engine,
            "repetitions": self.repetitions,
            "memory": self.memory,
            "patience": self.patience,
            "versions": results.versions(),
            "machine": describe_machine(),
        }


def impossible(sweep: Sweep) -> dict[Setting, str]:
    """The settings that cannot be run, and why; raises ConfigurationError where none can."""
    settings = sweep.settings()
    reasons = {setting: why for setting in settings if (why := _impossible(setting, sweep))}
    if len(reasons) == len(settings):
        raise ConfigurationError(
            "no setting of this sweep can be measured: " + "; ".join(sorted(set(reasons.values())))
        )
    return reasons


def _impossible(setting: Setting, sweep: Sweep) -> str:
    try:
        setting.check()
    except FedsecError as error:
        return str(error)
    if sweep.engine == "flower" and setting.dropout:
        return "dropouts can only be measured in process; use --engine local"
    return ""


def store_key(setting: Setting) -> dict[str, Any]:
    """Under what a setting is kept; of a strategy that is not of this release, its source is part of it."""
    key, defined = asdict(setting), modules(setting.strategy)
    if all(module.__name__.startswith(f"{catalog.GROUP}.") for module in defined):
        return key
    sources = [Path(str(module.__file__)).read_bytes() for module in defined]
    return {**key, "source": hashlib.sha256(b"".join(sources)).hexdigest()}
