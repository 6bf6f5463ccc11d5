"""The server. One line differs from an app in the clear: the strategy is wrapped in SecureAggregation."""

from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import SecureAggregation, read_identity, read_public_keys

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and print the model."""
    config = context.run_config
    pinned: dict[str, Any] = {}
    if config["identity"]:  # a deployment: both sides know each other's keys
        pinned["identity"] = read_identity(Path(str(config["identity"])))
        pinned["pins"] = read_public_keys(Path(str(config["hospitals"])))
    inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    strategy = SecureAggregation(inner, "shamir", largest_weight=1000, **pinned)
    start = ArrayRecord({"weights": Array(np.zeros(2))})
    result = strategy.start(grid, start, num_rounds=int(config["rounds"]))
    print("weights", result.arrays["weights"].numpy().round(4))
    for outcome in strategy.rounds:
        print(f"round {outcome.round}: {outcome.included} hospitals, {outcome.weight} rows, {outcome.failure or 'ok'}")
