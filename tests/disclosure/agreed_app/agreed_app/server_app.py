"""The server: what was agreed on, and then, one after the other, what was not. It writes down how each was answered."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedsec import SecureAggregation
from fedsec.encoding.layout import ArraySpec, Layout
from fedsec.errors import RunFailed
from fedsec.party.identity import read_identity

app = ServerApp()
HOSPITALS = 3


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask, and write `answers.json`; nothing more is asked where the agreed stages are refused."""
    folder = Path(str(context.run_config["folder"]))
    while len(list(grid.get_node_ids())) < HOSPITALS:
        time.sleep(0.5)
    agreed = made(folder)
    answers = {"agreed": said(agreed, lambda: agreed.collect(grid, "query.statistics"))}
    if answers["agreed"] == "answered":
        answers["agreed"] = said(agreed, lambda: trained(agreed, grid, 0.0))
        for name, ask in ATTACKS.items():
            secure = agreed if name in SAME_EPOCH else made(folder)
            answers[name] = said(secure, lambda secure=secure, ask=ask: ask(secure, grid))
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def made(folder: Path) -> SecureAggregation:
    """The strategy that the agreement names."""
    everyone = {"min_train_nodes": HOSPITALS, "min_available_nodes": HOSPITALS, "fraction_evaluate": 0.0}
    key = read_identity(folder / "server.key")
    agreement = folder / "agreement.toml"
    return SecureAggregation(FedAvg(**everyone), agreement=agreement, identity=key, phase_timeout=3600)


def trained(secure: SecureAggregation, grid: Grid, value: float) -> None:
    """One round from a model of this value."""
    secure.start(grid, ArrayRecord({"w": Array(np.full(4, value))}), num_rounds=1)


def said(secure: SecureAggregation, ask: Callable[[], Any]) -> str:
    """What hospitals said: "answered", or why not."""
    try:
        ask()
    except RunFailed as error:
        return (secure.rounds[-1].failure if secure.rounds else "") or str(error)
    return "answered"


def more_sums(secure: SecureAggregation, grid: Grid) -> None:
    secure.collect(grid, "query.statistics", ConfigRecord({"again": 1}))


def same_model(secure: SecureAggregation, grid: Grid) -> None:
    trained(secure, grid, 0.0)


def layout(secure: SecureAggregation, grid: Grid) -> None:
    stage = secure._over(grid)._averaging.stages["train"]
    stage.layout = Layout((ArraySpec("w", (1,), "float64"),), {"loss": 0})
    trained(secure, grid, 1.0)


def terms(**changes: Any) -> Callable[[SecureAggregation, Grid], None]:
    """Ask for statistics on other terms, which name the agreement."""

    def ask(secure: SecureAggregation, grid: Grid) -> None:
        coordinator = secure._over(grid).coordinator
        coordinator.terms = replace(coordinator.terms, mean=replace(coordinator.terms.mean, **changes))
        secure.collect(grid, "query.statistics", ConfigRecord({"again": 2}))

    return ask


SAME_EPOCH = {"more sums of a stage": more_sums, "the same model": same_model, "a layout": layout}
ATTACKS = {**SAME_EPOCH, "a clip": terms(clip=1e-9), "a metric range": terms(ranges={"mean": (0.0, 1e-6)})}
