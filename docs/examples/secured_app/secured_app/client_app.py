"""A hospital: linear regression on rows that are its own. One line differs from an app in the clear: `mods`."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedsec import secure_aggregation

app = ClientApp(mods=[secure_aggregation])


@app.train()
def train(message: Message, context: Context) -> Message:
    """A few steps of gradient descent from the global model."""
    hospital = int(context.node_config["partition-id"])
    draw = np.random.default_rng(hospital)
    features = draw.normal(size=(50 + 10 * hospital, 2))
    target = features @ np.array([1.0, -2.0]) + draw.normal(scale=0.1, size=len(features))
    weights = message.content["arrays"]["weights"].numpy()
    for _ in range(10):
        weights = weights - 0.1 * features.T @ (features @ weights - target) / len(target)
    loss = float(np.mean((features @ weights - target) ** 2))
    arrays = ArrayRecord({"weights": Array(weights)})
    metrics = MetricRecord({"loss": loss, "num-examples": len(target)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
