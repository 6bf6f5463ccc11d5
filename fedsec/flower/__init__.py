"""Flower: `SecureAggregation(FedAvg(...), protocol)` at the server, `ClientApp(mods=[secure_aggregation])` at clients."""

from fedsec.flower.server import SecureAggregation, secure_aggregation

__all__ = ["SecureAggregation", "secure_aggregation"]
