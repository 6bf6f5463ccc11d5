"""A hospital: gradient descent on rows that are its own."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from numpy_network import network
from numpy_network.switch import secure_if_asked

app = ClientApp(mods=[secure_if_asked])  # in your app: ClientApp(mods=[secure_aggregation])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train from the global model, and return the trained one."""
    rows = network.load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    received = {name: array.numpy() for name, array in message.content["arrays"].items()}
    # Plain FedAvg makes floating-point numbers of counters; here they become whole again.
    received["norm.num_batches_tracked"] = received["norm.num_batches_tracked"].astype(np.int64)
    trained = network.train(received, *rows)
    arrays = ArrayRecord({name: Array(values) for name, values in trained.items()})
    metrics = MetricRecord({"num-examples": len(rows[1])})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How the global model does on this hospital's rows."""
    features, target = network.load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    right = (network.probabilities(arrays, features) > 0.5) == (target > 0.5)
    metrics = MetricRecord({"accuracy": float(right.mean()), "num-examples": len(target)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
