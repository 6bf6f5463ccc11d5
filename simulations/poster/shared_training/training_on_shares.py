"""Training on shares in process: with checkpoints, and what one iteration costs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from fedsec.metering import NETWORKS, Ledger
from fedsec.mpc.in_process import SharedTraining
from fedsec.mpc.ring_fixed_point import FixedPointOverflow
from fedsec.mpc.twin import Shadow
from fedsec.report import output
from fedsec.simulations.poster.shared_training.trained_cells import FORMAT, Follow
from fedsec.simulations.poster.shared_training.training_data import diabetes
from fedsec.simulations.poster.shared_training.training_network import (
    HIDDEN,
    RATE,
    accuracy,
    initial,
    largest,
    loss,
    network,
)


def on_shares(
    layers: int,
    activation: str,
    iterations: int,
    folder: Path | None = None,
    hospitals: int = 3,
    seed: int = 0,
    hidden: int = HIDDEN,
    every: int = 100,
    follow: Follow | None = None,
    rate: float = RATE,
    split: int = 0,
) -> dict[str, Any]:
    """Train on shares in process; openings are sealed. Goes on from the checkpoint in `folder`, where there is one.

    The checkpoint holds the weights in the clear, as the hospitals get them. CPU is taken of every hundredth iteration.
    Raises FixedPointOverflow. Without a bound on the activation no party can see one: a twin with the
    dealer's roundings, which has the same weights bit for bit, runs beside it and raises the error.
    """
    rows, made = diabetes(split), network(layers, activation, rate, hidden=hidden)
    name = f"shares-{activation}-{layers}-layers-{hidden}-hidden-seed-{seed}" + (
        "" if rate == RATE else f"-{made.step.value:g}"
    )
    state = _checkpoint(folder, name)
    weights = initial(made.shapes, seed) if state is None else [np.array(matrix) for matrix in state["weights"]]
    bounded = made.activation.bounded
    training = SharedTraining(made, rows.hospitals(hospitals), weights, draws=not bounded, unguarded=not bounded)
    shadow = None if bounded else Shadow(made, rows.features, rows.target, [made.fixed.encode(m) for m in weights])
    done = 0 if state is None else int(state["iterations"])
    curve = [(0, loss(weights, rows, made.activation.value), largest(weights))] if state is None else state["curve"]
    spent = 0.0 if state is None else float(state["seconds"])
    while done < iterations:
        began, steps = time.perf_counter(), min(every, iterations - done)
        for step in range(steps):
            training.step(timed=step == steps - 1)
            if shadow is not None:
                _follow(shadow, training, done + step + 1)
        done, spent = done + steps, spent + time.perf_counter() - began
        weights = training.reveal()
        curve.append((done, loss(weights, rows, made.activation.value), largest(weights)))
        if folder is not None:
            kept_state = {
                "weights": [m.tolist() for m in weights],
                "iterations": done,
                "curve": curve,
                "seconds": spent,
            }
            output.write(folder, {f"{name}.checkpoint.json": json.dumps({"format": FORMAT} | kept_state).encode()})
        if follow is not None:
            follow(name, done, done / spent, *curve[-1][1:])
    return {
        "layers": layers,
        "activation": activation,
        "hidden": hidden,
        "seed": seed,
        "hospitals": hospitals,
        "iterations": done,
        "iterations_per_second": done / spent,
        "curve": curve,
        "accuracy": accuracy(weights, rows, made.activation.value),
        "weights": [m.tolist() for m in weights],
    }


def _follow(shadow: Shadow, training: SharedTraining, iteration: int) -> None:
    """One step of the shadow. Raises FixedPointOverflow where a value left the range."""
    try:
        shadow.step(training.roundings)
    except FixedPointOverflow as error:
        raise FixedPointOverflow(f"on shares, iteration {iteration:,}, by the twin beside them: {error}") from error


def _checkpoint(folder: Path | None, name: str) -> dict[str, Any] | None:
    path = None if folder is None else folder / f"{name}.checkpoint.json"
    if path is None or not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found.get("format") == FORMAT else None


def costs(layers: int, activation: str, hidden: int = HIDDEN, iterations: int = 20) -> dict[str, Any]:
    """One iteration on shares: rounds and bytes as counted, CPU measured, seconds on each network predicted."""
    rows, made = diabetes(), network(layers, activation, hidden=hidden)
    training = SharedTraining(made, rows.hospitals(3), initial(made.shapes, 0), unguarded=True)
    given = training.counts.input_bytes
    training.step()
    before, ledger = vars(training.counts) | {}, Ledger()
    training.exchange.ledger = ledger
    training.step()
    one = {name: getattr(training.counts, name) - before[name] for name in ("rounds", "online_bytes", "offline_bytes")}
    guard = dict[str, Any].fromkeys(one, 0) | {"networks": dict.fromkeys(NETWORKS, 0.0)}
    if training.guarded:
        before, looked = vars(training.counts) | {}, Ledger()
        training.exchange.ledger = looked
        training.guard()
        guard = {name: getattr(training.counts, name) - before[name] for name in one}
        guard["networks"] = {name: line.seconds(looked.rows) for name, line in NETWORKS.items()}
    training.exchange.ledger = None
    for _ in range(iterations):
        training.step(timed=True)
    counts = training.counts
    party, dealer = (seconds / counts.timed for seconds in (max(counts.party_seconds), counts.dealer_seconds))
    return one | {
        "layers": layers,
        "activation": activation,
        "hidden": hidden,
        "input_bytes": given,
        "party_cpu": party,
        "dealer_cpu": dealer,
        "guard": guard,
        "networks": {name: line.seconds(ledger.rows) + 2 * party for name, line in NETWORKS.items()},
    }
