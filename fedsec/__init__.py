"""Sound, fast, pluggable secure aggregation for Flower.

The public names; each is imported when it is first used, so that `import fedsec` takes neither numpy nor Flower.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsec.catalog import strategy
    from fedsec.encoding.mean import Mean
    from fedsec.encoding.mean_spec import MeanSpec
    from fedsec.errors import (
        AuthenticationError,
        BadMessage,
        ConfigurationError,
        DataError,
        FedsecError,
        HeadroomError,
        OutOfPhase,
        PolicyError,
        RunFailed,
        Stale,
        TooFewParties,
    )
    from fedsec.flower import SecureAggregation, secure_aggregation
    from fedsec.learning.estimator import load_model
    from fedsec.local import Fault, LocalFederation, Update
    from fedsec.metering import Ledger, Row
    from fedsec.party.identity import read_identity, read_public_keys, write_identity
    from fedsec.party.journal import Journal
    from fedsec.party.policy import Policy
    from fedsec.protocol import SecureSum, ServerModel, Sum
    from fedsec.server.coordinator import Total
    from fedsec.strategy_spec import StrategySpec

__version__ = "0.1.0"

__all__ = [
    "AuthenticationError",
    "BadMessage",
    "ConfigurationError",
    "DataError",
    "Fault",
    "FedsecError",
    "HeadroomError",
    "Journal",
    "Ledger",
    "LocalFederation",
    "Mean",
    "MeanSpec",
    "OutOfPhase",
    "Policy",
    "PolicyError",
    "Row",
    "RunFailed",
    "SecureAggregation",
    "SecureSum",
    "ServerModel",
    "Stale",
    "StrategySpec",
    "Sum",
    "TooFewParties",
    "Total",
    "Update",
    "load_model",
    "read_identity",
    "read_public_keys",
    "secure_aggregation",
    "strategy",
    "write_identity",
]

_HOMES = {
    "fedsec.catalog": ("strategy",),
    "fedsec.encoding.mean": ("Mean",),
    "fedsec.encoding.mean_spec": ("MeanSpec",),
    "fedsec.errors": (
        "AuthenticationError",
        "BadMessage",
        "ConfigurationError",
        "DataError",
        "FedsecError",
        "HeadroomError",
        "OutOfPhase",
        "PolicyError",
        "RunFailed",
        "Stale",
        "TooFewParties",
    ),
    "fedsec.flower": ("SecureAggregation", "secure_aggregation"),
    "fedsec.learning.estimator": ("load_model",),
    "fedsec.local": ("Fault", "LocalFederation", "Update"),
    "fedsec.metering": ("Ledger", "Row"),
    "fedsec.party.identity": ("read_identity", "read_public_keys", "write_identity"),
    "fedsec.party.journal": ("Journal",),
    "fedsec.party.policy": ("Policy",),
    "fedsec.protocol": ("SecureSum", "ServerModel", "Sum"),
    "fedsec.server.coordinator": ("Total",),
    "fedsec.strategy_spec": ("StrategySpec",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
