"""The server: FedAvg, wrapped in SecureAggregation where the run says so."""

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import SecureAggregation
from torch_batchnorm.task import new_network

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, print how the model does, and save it."""
    config = context.run_config
    strategy = FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    if config["secure"]:
        strategy = SecureAggregation(strategy, config["protocol"])
    start = ArrayRecord(new_network().state_dict())
    result = strategy.start(grid, start, num_rounds=config["rounds"])
    for number, metrics in result.evaluate_metrics_clientapp.items():
        print(f"round {number}: accuracy {metrics['accuracy']:.4f}")
    if config["output"]:
        np.savez(config["output"], **{name: array.numpy() for name, array in result.arrays.items()})
