"""A hospital: a few iterations of scikit-learn's logistic regression on images that are its own."""

import warnings

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from sklearn_logistic.switch import secure_if_asked
from sklearn_logistic.task import get_arrays, load_rows, new_model, set_arrays

app = ClientApp(mods=[secure_if_asked])  # in your app: ClientApp(mods=[secure_aggregation])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Go on from the global model, and return the trained one."""
    images, digits = load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    model = new_model()
    set_arrays(model, message.content["arrays"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # five iterations are not enough, and are not meant to be
        model.fit(images, digits)
    metrics = MetricRecord({"train_loss": log_loss(digits, model.predict_proba(images)), "num-examples": len(digits)})
    return Message(RecordDict({"arrays": get_arrays(model), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """How the global model does on this hospital's images."""
    images, digits = load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    model = new_model()
    set_arrays(model, message.content["arrays"])
    accuracy = float(model.score(images, digits))
    metrics = MetricRecord({"accuracy": accuracy, "num-examples": len(digits)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
