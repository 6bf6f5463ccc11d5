"""A hospital: a few steps of Adam on rows that are its own. The reply is the whole `state_dict`, buffers included."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.nn.functional import binary_cross_entropy_with_logits as loss_of

from torch_batchnorm.switch import secure_if_asked
from torch_batchnorm.task import load_rows, new_network

app = ClientApp(mods=[secure_if_asked])  # in your app: ClientApp(mods=[secure_aggregation])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train from the global model, and return the trained one."""
    features, target = load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    network = new_network()
    network.load_state_dict(message.content["arrays"].to_torch_state_dict())
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of(network(features), target)
        loss.backward()
        optimizer.step()
    metrics = MetricRecord({"train_loss": loss.item(), "num-examples": len(target)})
    arrays = ArrayRecord(network.state_dict())
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How the global model does on this hospital's rows."""
    features, target = load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    network = new_network()
    network.load_state_dict(message.content["arrays"].to_torch_state_dict())
    network.eval()
    with torch.no_grad():
        right = (network(features) > 0) == (target > 0.5)
    metrics = MetricRecord({"accuracy": right.double().mean().item(), "num-examples": len(target)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
