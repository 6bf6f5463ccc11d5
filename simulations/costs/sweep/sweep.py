"""A sweep: which cells there are, which of them can be run, and how much of each is measured."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fedsec import catalog
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.metering import NETWORKS, Network
from fedsec.primitives import modexp
from fedsec.report.quantities import size
from fedsec.simulations.costs.measure import probe as probes
from fedsec.simulations.costs.measure.probe import PROBE, Need
from fedsec.simulations.costs.setting import Setting, label, modules, takes_keys
from fedsec.simulations.run import results

GIB = 1 << 30
FORMAT = 4
"""Of what is kept of each cell: results in another one are not mixed in."""


@dataclass(frozen=True)
class Sweep:
    """What to compare, and how.

    memory      the most bytes that a cell may take; above, one hospital's part is measured, or nothing
    patience    seconds that a timed cell may take, about; above, a smaller model is measured and scaled
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
        if not (self.memory > 0 and self.patience > 0):
            raise ConfigurationError("memory and patience must be above 0")
        name, times = Counter(map(label, self.strategies)).most_common(1)[0]
        if times > 1:
            raise ConfigurationError(f"{times} of the strategies are called {name!r}; name each once, or rename a file")

    def settings(self) -> list[Setting]:
        """Every cell, once: key sizes make cells for strategies that have keys only."""
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
        """What decides how a cell is measured: results of other sweeps are kept only where it is the same."""
        return {
            "format": FORMAT,
            "engine": self.engine,
            "repetitions": self.repetitions,
            "memory": self.memory,
            "patience": self.patience,
            "versions": results.versions(),
            "machine": machine(),
        }


def machine() -> dict[str, Any]:
    """Where this runs."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "system": platform.platform(),
        "cpu": cpu or platform.processor(),
        "cpus": os.cpu_count() or 1,
        "modular exponentiation": os.environ.get("FEDSEC_ENGINE") or modexp.available()[0],
    }


def impossible(sweep: Sweep) -> dict[Setting, str]:
    """The cells that cannot be run, and why; raises ConfigurationError where all are."""
    settings = sweep.settings()
    reasons = {setting: why for setting in settings if (why := _impossible(setting, sweep))}
    if len(reasons) == len(settings):
        raise ConfigurationError("no cell of this sweep can be measured: " + "; ".join(sorted(set(reasons.values()))))
    return reasons


def _impossible(setting: Setting, sweep: Sweep) -> str:
    try:
        setting.check()
    except FedsecError as error:
        return str(error)
    if sweep.engine == "flower" and setting.dropout:
        return "dropouts are scripted in process only: --engine local"
    return ""


def key_of(setting: Setting) -> dict[str, Any]:
    """Under what a cell is kept; of a strategy that is not of this release, its source is part of it."""
    key, found = asdict(setting), modules(setting.strategy)
    if all(module.__name__.startswith(f"{catalog.GROUP}.") for module in found):
        return key
    sources = [Path(str(module.__file__)).read_bytes() for module in found]
    return {**key, "source": hashlib.sha256(b"".join(sources)).hexdigest()}


def scope(setting: Setting, need: Need, sweep: Sweep) -> tuple[int, bool]:
    """How many parameters are measured, and whether with all hospitals.

    A round over the memory budget is one hospital's part; one that takes too long is measured on a smaller model.
    """
    whole = need.memory <= sweep.memory
    if need.seconds <= sweep.patience or not whole:
        return setting.parameters, whole
    fitting = int(setting.parameters * sweep.patience / 3 / need.seconds)
    least, probe = probes.filled(setting, 1) + 1, probes.few(setting) if need.slow else PROBE
    return min(setting.parameters, probes.filled(setting, max(fitting, probe, least))), whole


def examined(setting: Setting, need: Need, sweep: Sweep) -> tuple[int, bool]:
    """As `scope`, but the smallest model where one of many values takes too long: what is scaled tells no memory."""
    parameters, whole = scope(setting, need, sweep)
    return (probes.filled(setting, 1) if need.slow and parameters < setting.parameters else parameters), whole


def too_large(need: Need, sweep: Sweep) -> str:
    """Why not even one hospital's part can be measured; empty where it can. Under Flower there are always all."""
    takes, what = need.alone, "one hospital's part alone"
    if sweep.engine == "flower":
        takes, what = need.memory, "a round"
    if takes <= sweep.memory:
        return ""
    return (
        f"{what} would take {size(round(takes))}, over the budget of {size(round(sweep.memory))}; more may be allowed "
        "with --memory"
    )
