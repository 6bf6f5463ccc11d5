"""A hospital: how many of its patients died, and how many it lost sight of, in each step of time."""

import csv

import numpy as np
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedsec.data.bundled import inside
from survival.switch import secure_if_asked

app = ClientApp(mods=[secure_if_asked])  # in your app: ClientApp(mods=[secure_aggregation])


def load_rows(place: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """The days that this hospital's patients were observed, and whether each died then.

    The rows are lifelines' `lung`; here, a hospital is several of the institutions in them.
    """
    with inside("lifelines", "datasets/lung.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(float(row["inst"] or 0)) % places == place]
    return np.array([float(row["time"]) for row in rows]), np.array([row["status"] == "1" for row in rows])


@app.query("lifetimes")
def lifetimes(message: Message, context: Context) -> Message:
    """By step of time, the shares of this hospital's patients who died or left. The sum over hospitals is of patients.

    A metric is averaged with `num-examples` as its weight, so a share times the number of all patients is a count.
    """
    steps, days = message.content["config"]["steps"], message.content["config"]["days-per-step"]
    times, died = load_rows(context.node_config["partition-id"], context.node_config["num-partitions"])
    step = np.minimum(times // days, steps - 1).astype(int)
    counts = {"died": np.bincount(step[died], minlength=steps), "left": np.bincount(step[~died], minlength=steps)}
    shares = {key: (count / len(times)).tolist() for key, count in counts.items()}
    return Message(RecordDict({"metrics": MetricRecord({**shares, "num-examples": len(times)})}), reply_to=message)
