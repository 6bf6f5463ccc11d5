"""One setting of a comparison: a strategy, hospitals, parameters, bits, key size and dropouts."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec import catalog
from fedsec.encoding import mean
from fedsec.encoding.fixed_point import FixedPoint, prove_headroom
from fedsec.encoding.ladder import Plan
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.protocol import SecureSum, Vector, parameters_of
from fedsec.report.document import Family
from fedsec.strategy_spec import StrategySpec
from fedsec.wire import codec
from fedsec.wire.envelope import NO_HASH

KINDS = 4
"""So many different updates are made; hospital i sends update i modulo this: a hundred hospitals fit in memory."""
WEIGHT = 100
"""The weight of each hospital: its number of rows."""
NAME = "weights"
"""The name of the one array of the model."""
MOST_HOSPITALS, MOST_PARAMETERS = 1_000_000, 10**13
"""What bytes and costs can be worked out for."""
CLIP, LARGEST_WEIGHT = 4.0, 10_000
SPEC = MeanSpec(CLIP, LARGEST_WEIGHT)


@dataclass(frozen=True, order=True)
class Setting:
    """What is measured: `strategy` is a StrategySpec's text; key_bits is None where it has no keys.

    dropout is the fraction of the hospitals that drop out when inputs are asked for.
    """

    strategy: str
    hospitals: int
    parameters: int
    bits: int = 24
    key_bits: int | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.parameters < 1:
            raise ConfigurationError(f"parameters is {self.parameters}; a model has at least 1")
        for name, most in (("hospitals", MOST_HOSPITALS), ("parameters", MOST_PARAMETERS)):
            if getattr(self, name) > most:
                raise ConfigurationError(f"{name} is {getattr(self, name):,}; it must be at most {most:,}")
        if not 0 <= self.dropout < 1:
            raise ConfigurationError(f"dropout is {self.dropout}; it must be at least 0 and below 1")

    @property
    def dropouts(self) -> int:
        """How many hospitals drop out."""
        return int(self.dropout * self.hospitals + 1e-9)

    @property
    def clients(self) -> range:
        """The cohort."""
        return range(1, self.hospitals + 1)

    def protocol(self) -> SecureSum[Any, Any]:
        """The strategy, with these parameters; raises ConfigurationError where it has no such parameter or value."""
        return _protocol(self.strategy, self.bits, self.key_bits)

    def check(self) -> None:
        """Raise ConfigurationError or HeadroomError, with the reason, where this setting cannot be run."""
        protocol = self.protocol()
        protocol.check(self.clients)
        prove_headroom(self.bits, self.hospitals, protocol.capacity(self.clients))
        FixedPoint(self.bits, CLIP)
        tolerated = protocol.tolerance(self.clients)[protocol.input_phase]
        if self.dropouts > tolerated:
            raise ConfigurationError(
                f"dropout is {self.dropout:g}: {self.dropouts} of {self.hospitals} hospitals drop out; {protocol.name} "
                f"tolerates {tolerated} in phase {protocol.input_phase.__name__}"
            )

    @property
    def possible(self) -> bool:
        """Whether this setting can be run: `check` raises nothing."""
        try:
            self.check()
        except FedsecError:
            return False
        return True

    def under(self, strategy: str, key_bits: int) -> Setting:
        """The same for another strategy, with such keys if it has any."""
        return replace(self, strategy=strategy, key_bits=key_bits if takes_keys(strategy) else None)


@functools.lru_cache(maxsize=256)
def _protocol(strategy: str, bits: int, key_bits: int | None) -> SecureSum[Any, Any]:
    keys = {} if key_bits is None else {"key_bits": key_bits}
    spec = StrategySpec.parse(strategy)
    if "value_bits" in spec.parameters:
        raise ConfigurationError(f"{strategy}: value_bits cannot be set as a parameter here; use bits")
    return catalog.configured(spec, value_bits=bits, **keys)


@functools.lru_cache(maxsize=256)
def label(text: str) -> str:
    """A strategy's text form to show: of a file the strategy's own name."""
    spec = StrategySpec.parse(text)
    return str(StrategySpec(catalog.strategy(spec.name)().name, spec.parameters))


@functools.lru_cache(maxsize=256)
def takes_keys(text: str) -> bool:
    """Whether a strategy has keys whose length is left open."""
    spec = StrategySpec.parse(text)
    declared = parameters_of(catalog.strategy(spec.name))
    return "key_bits" not in spec.parameters and any(parameter.name == "key_bits" for parameter in declared)


@functools.lru_cache(maxsize=256)
def modules(text: str) -> tuple[ModuleType, ...]:
    """The modules that define a strategy: its own first, then those of the strategies that it builds on."""
    kinds = [kind for kind in catalog.strategy(StrategySpec.parse(text).name).__mro__ if issubclass(kind, SecureSum)]
    return tuple(sys.modules[kind.__module__] for kind in kinds if kind is not SecureSum)


def family(text: str) -> Family:
    """The family that a strategy belongs to."""
    kind = catalog.strategy(StrategySpec.parse(text).name)
    return "clear" if not kind.private else "he" if kind.homomorphic else "smpc"


def update(parameters: int, kind: int) -> NDArray[np.float64]:
    """The change that a hospital of this kind made to each parameter: float64[parameters], within the clip."""
    drawn: NDArray[np.float64] = np.random.default_rng(kind).normal(0.0, 0.1, parameters)
    return drawn.clip(-CLIP, CLIP)


@functools.lru_cache(maxsize=KINDS)
def contribution(parameters: int, bits: int, kind: int) -> tuple[Vector, bytes]:
    """That update as integers, and their encoded layout."""
    reference = {NAME: np.zeros(parameters)}
    made = mean.contribution({NAME: update(parameters, kind)}, reference, {}, WEIGHT, SPEC, bits)
    return made.vector, codec.encode(made.layout)


def plan(parameters: int, bits: int) -> Plan:
    """The plan of a session in which hospitals contribute so many parameters."""
    return Plan(NO_HASH, layout=contribution(parameters, bits, 1)[1])
