"""A hospital: linear regression in float32 on rows that are its own."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedadam.switch import secure_if_asked
from fedsec.data import bundled

app = ClientApp(mods=[secure_if_asked])  # in your app: ClientApp(mods=[secure_aggregation])


def load_rows(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Standardised measurements, and the progression of diabetes in hundreds, of this hospital's patients."""
    place, places = context.node_config["partition-id"], context.node_config["num-partitions"]
    data = bundled.load("diabetes")
    features, target = data.features[place::places], data.target[place::places]
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    return scaled.astype(np.float32), (target / 100).astype(np.float32)


@app.train()
def train(message: Message, context: Context) -> Message:
    """A few steps of gradient descent. The model comes in float64 from the second round on; the reply is float32."""
    features, target = load_rows(context)
    weights = message.content["arrays"]["weights"].numpy().astype(np.float32)
    bias = message.content["arrays"]["bias"].numpy().astype(np.float32)
    for _ in range(5):
        error = features @ weights + bias - target
        weights = weights - np.float32(0.1) * (features.T @ error / len(target))
        bias = bias - np.float32(0.1) * error.mean()
    arrays = ArrayRecord({"weights": Array(weights), "bias": Array(np.asarray(bias))})
    metrics = MetricRecord({"train_loss": float(np.mean(error**2)), "num-examples": len(target)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The mean squared error of the global model on this hospital's rows."""
    features, target = load_rows(context)
    arrays = message.content["arrays"]
    error = features @ arrays["weights"].numpy() + arrays["bias"].numpy() - target
    metrics = MetricRecord({"loss": float(np.mean(error**2)), "num-examples": len(target)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
