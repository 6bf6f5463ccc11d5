"""Two lines secure a Flower app: `SecureAggregation(FedAvg(), "shamir")` and `ClientApp(mods=[secure_aggregation])`."""

from fedsec.flower.client import secure_aggregation
from fedsec.flower.server import SecureAggregation

__all__ = ["SecureAggregation", "secure_aggregation"]
