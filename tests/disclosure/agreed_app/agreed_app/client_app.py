"""A hospital with rows of its own. It notes each time that it reads them, which no refused request may lead to."""

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedsec import secure_aggregation

app = ClientApp(mods=[secure_aggregation])


def rows(message: Message, context: Context) -> np.ndarray:
    """This hospital's rows."""
    file = Path(str(context.node_config["rows"]))
    with file.with_suffix(".read").open("a", encoding="utf-8") as log:
        log.write(f"{message.metadata.message_type}\n")
    print("printed beside the rows, for this hospital's own log")
    return np.loadtxt(file)


@app.query("statistics")
def count(message: Message, context: Context) -> Message:
    """The mean of the rows."""
    mine = rows(message, context)
    metrics = MetricRecord({"mean": float(mine.mean()), "num-examples": len(mine)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """One step towards the mean of the rows."""
    mine, model = rows(message, context), message.content["arrays"]["w"].numpy()
    arrays = ArrayRecord({"w": Array(model + context.run_config["rate"] * (mine.mean() - model))})
    metrics = MetricRecord({"loss": float(np.abs(mine.mean() - model).mean()), "num-examples": len(mine)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
