"""The server: FedAdam, wrapped in SecureAggregation where the run says so."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam

from fedsec import SecureAggregation

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, print how the model does, and save it."""
    config = context.run_config
    strategy = FedAdam(eta=0.5, tau=0.01, min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    if config["secure"]:
        strategy = SecureAggregation(strategy, config["protocol"])
    start = {"weights": np.zeros(10, np.float32), "bias": np.zeros((), np.float32)}
    arrays = ArrayRecord({name: Array(values) for name, values in start.items()})
    result = strategy.start(grid, arrays, num_rounds=config["rounds"])
    for number, metrics in result.evaluate_metrics_clientapp.items():
        print(f"round {number}: mean squared error {metrics['loss']:.4f}")
    if config["output"]:
        np.savez(config["output"], **{name: array.numpy() for name, array in result.arrays.items()})
