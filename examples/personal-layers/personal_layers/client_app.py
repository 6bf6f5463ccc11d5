"""A hospital: it trains both layers, keeps the last one, and replies with the shared one alone."""

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from personal_layers import network
from personal_layers.switch import secure_if_asked

app = ClientApp(mods=[secure_if_asked])  # in your app: ClientApp(mods=[secure_aggregation])
HEAD = "head"
"""Where a hospital keeps its last layer from round to round, in the state that Flower keeps for it."""


def model_here(message: Message, context: Context) -> network.Arrays:
    """The shared layer as it came, and this hospital's own last layer, or the first one that was handed out."""
    received = {name: array.numpy() for name, array in message.content["arrays"].items()}
    kept = context.state.get(HEAD, {})
    return {**received, **{name: array.numpy() for name, array in kept.items()}}


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train all, keep the last layer, return the shared one."""
    rows = network.load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    trained = network.train(model_here(message, context), *rows)
    records = {True: ArrayRecord(), False: ArrayRecord()}
    for name, values in trained.items():
        records[network.is_personal(name)][name] = Array(values)
    context.state[HEAD] = records[True]
    metrics = MetricRecord({"num-examples": len(rows[1])})
    return Message(RecordDict({"arrays": records[False], "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How the shared layer does under this hospital's own last layer."""
    features, target = network.load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    right = (network.probabilities(model_here(message, context), features) > 0.5) == (target > 0.5)
    metrics = MetricRecord({"accuracy": float(right.mean()), "num-examples": len(target)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
