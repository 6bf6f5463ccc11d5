"""Sound, fast, pluggable secure aggregation for Flower."""

__version__ = "0.1.0"
