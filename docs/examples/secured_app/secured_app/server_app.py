"""The server. One line differs from an app in the clear: the strategy is wrapped in SecureAggregation."""

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import SecureAggregation, read_identity

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and print the model."""
    config = context.run_config
    inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    if config["agreement"]:  # a deployment: what all hospitals approved names protocol and bounds
        identity = read_identity(Path(str(config["identity"])))
        strategy = SecureAggregation(inner, agreement=str(config["agreement"]), identity=identity)
    else:
        strategy = SecureAggregation(inner, "shamir")
    start = ArrayRecord({"weights": Array(np.zeros(2))})
    result = strategy.start(grid, start, num_rounds=int(config["rounds"]))
    print("weights", result.arrays["weights"].numpy().round(4))
    for outcome in strategy.rounds:
        print(f"round {outcome.round}: {outcome.included} hospitals, {outcome.weight} rows, {outcome.failure or 'ok'}")
    if config["output"]:  # what `fedsec agree write` makes an agreement of
        strategy.agreement_of_run(config).write(Path(str(config["output"])) / "agreement.toml")
