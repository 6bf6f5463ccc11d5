"""Sound, fast, pluggable secure aggregation for Flower."""

from pathlib import Path as _Path

__version__ = "0.1.0"

# `strategies/` and `simulations/` stand beside this package in a checkout and in a Flower bundle, and inside it in a
# wheel. Either way they are imported as `fedsec.strategies` and `fedsec.simulations` (docs/decisions/0002-layout.md).
_root = _Path(__file__).resolve().parent.parent
if (_root / "strategies").is_dir() and (_root / "simulations").is_dir():
    __path__.append(str(_root))
