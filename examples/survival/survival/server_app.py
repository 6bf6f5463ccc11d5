"""The server: the Kaplan-Meier curve over all hospitals. Where the run says so, it sees sums of counts and no count."""

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import SecureAggregation

app = ServerApp()
QUERY = "query.lifetimes"
DAYS = 1100
"""No patient was observed for longer."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask all hospitals once, and print the curve."""
    config = context.run_config
    days = config["days-per-step"]
    asked = ConfigRecord({"steps": -(-DAYS // days), "days-per-step": days})
    if config["secure"]:
        shares, patients = SecureAggregation(FedAvg(), config["protocol"]).collect(grid, QUERY, asked)
    else:
        shares, patients = collect_plain(grid, asked)
    died, left = (np.rint(np.array(shares[key]) * patients) for key in ("died", "left"))
    curve = kaplan_meier(died, left)
    print(f"{patients} patients")
    for step in np.flatnonzero(died):
        print(f"from day {(step + 1) * days}: {curve[step]:.4f} alive")
    if config["output"]:
        np.savez(config["output"], died=died, left=left, curve=curve)


def kaplan_meier(died: np.ndarray, left: np.ndarray) -> np.ndarray:
    """By step of time, the share that survives it: a product over steps of 1 - deaths / patients at risk."""
    gone = died + left
    at_risk = gone.sum() - np.concatenate([[0], np.cumsum(gone)[:-1]])
    return np.cumprod(1 - np.divide(died, at_risk, out=np.zeros(len(died)), where=at_risk > 0))


def collect_plain(grid: Grid, asked: ConfigRecord) -> tuple[dict[str, np.ndarray], int]:
    """What `SecureAggregation.collect` returns, from replies that the server sees one by one."""
    content = RecordDict({"config": asked})
    messages = [Message(content, dst_node_id=node, message_type=QUERY) for node in grid.get_node_ids()]
    replies = [reply.content["metrics"] for reply in grid.send_and_receive(messages)]
    weights = [reply["num-examples"] for reply in replies]
    shares = {key: np.average([reply[key] for reply in replies], axis=0, weights=weights) for key in ("died", "left")}
    return shares, sum(weights)
