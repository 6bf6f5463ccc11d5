"""A server that asks twice: whatever it changes meanwhile, what a stage may be asked is counted at the hospital."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsec.agreement import approval
from fedsec.agreement.agreement_file import validated
from fedsec.errors import RunFailed
from fedsec.party.identity import read_identity
from tests.disclosure.attacked import Real, Server, deployed, refused, simulated

pytestmark = pytest.mark.slow  # whole federations are attacked

HOSPITALS = 6
MEANS = np.random.default_rng(3).random(HOSPITALS)
EVERYONE, ALL_BUT_THE_LAST = range(HOSPITALS), range(HOSPITALS - 1)
OPTIONS: dict[str, Any] = {"weights": "equal", "clip": 4.0, "metric_grid": 2.0**-32}
STATISTICS = "query.statistics"


def app(place: int, model: Real, config: Mapping[str, Any]) -> tuple[Real, Mapping[str, Any]]:
    return model + MEANS[place], {"mean": float(MEANS[place])}


def without(server: Server, **config: Any) -> float:
    """What two sums, over six hospitals and over five, say of the sixth's mean."""
    secure = server.founds()
    six, five = (
        len(nodes) * float(server.asks(secure, None, STATISTICS, nodes, **config)[1]["mean"])
        for nodes in (EVERYONE, ALL_BUT_THE_LAST)
    )
    return six - five


def test_six_hospitals_and_then_five_would_tell_the_sixth_s_statistics_and_are_refused(tmp_path: Path) -> None:
    assert without(simulated(app, HOSPITALS, **OPTIONS)) == pytest.approx(MEANS[-1], abs=1e-9)
    for cohort, text in (
        ("all", "PolicyError: a cohort of 5; the agreement's cohort is all 6 hospitals"),
        ("sampled", f"PolicyError: stage '{STATISTICS}' has had the 1 sums that the agreement allows"),
    ):
        stages, changes = {STATISTICS: 1, "train": 2}, {"cohort": cohort}
        server = deployed(tmp_path / cohort, app, HOSPITALS, stages, np.zeros(2), changes=changes, **OPTIONS)
        server.asks(server.founds(), None, STATISTICS)
        for again in ("the same epoch", "another epoch", "another run"):
            if again == "another run":
                server.new_run()
            secure = server.founds()
            if again == "the same epoch":
                server.asks(secure, np.zeros(2), nodes=EVERYONE)
            with refused(server, text, hospitals=5):
                server.asks(secure, None, STATISTICS, ALL_BUT_THE_LAST, again=again)


def test_a_model_is_answered_once_in_whatever_run(tmp_path: Path) -> None:
    """A second answer to one model differs by the hospital's own randomness alone: many would average it away."""
    server, model = simulated(app, HOSPITALS, **OPTIONS), np.zeros(2)
    secure = server.founds()
    assert np.allclose(server.asks(secure, model)[0], server.asks(secure, model)[0])
    server = deployed(tmp_path, app, HOSPITALS, {"train": 9}, model, **OPTIONS)
    kept = {node: copy.deepcopy(context.state) for node, context in server.grid.contexts.items()}
    server.asks(server.founds(), model)
    text = "PolicyError: this model was answered before in stage 'train'"
    with refused(server, text):
        server.asks(server.founds(), model)
    server.new_run()
    with refused(server, text):
        server.asks(server.founds(), model)
    server.new_run()
    for node, context in server.grid.contexts.items():  # what Flower keeps of a hospital is set back
        context.state = kept[node]
    with refused(server, text):
        server.asks(server.founds(), model)


def test_hospitals_that_answer_do_not_open_what_another_refuses(tmp_path: Path) -> None:
    """With fewer hospitals than the floor no sum is opened, whoever of them would still answer."""
    server = deployed(tmp_path, app, HOSPITALS, {STATISTICS: 1}, changes={"cohort": "sampled"}, **OPTIONS)
    server.asks(server.founds(), None, STATISTICS, range(4))
    with pytest.raises(RunFailed, match=f"2 of 3 parties answered and 3 are needed.*stage '{STATISTICS}' has had"):
        server.asks(server.founds(), None, STATISTICS, (3, 4, 5), again=1)
    assert len(server.opened) == 1


def test_an_epoch_ends_when_a_hospital_approves_another_agreement(tmp_path: Path) -> None:
    """Such as one with a lower clip: what was founded before would else go on under the terms of before."""
    server = deployed(tmp_path, app, HOSPITALS, {"train": 9}, np.zeros(2), **OPTIONS)
    secure = server.founds()
    server.asks(secure, np.zeros(2))
    assert server.agreement is not None
    stricter = validated({**server.agreement.model_dump(mode="json"), "encoding": {**OPTIONS, "clip": 0.5}}, "new")
    path = tmp_path / "0.toml"
    stricter.write(path)
    approval.approve(stricter, read_identity(tmp_path / "0.key"), approval.path_beside(path))
    server.asks(secure, np.ones(2))
    assert secure.rounds[-1].parties == (2, 3, 4, 5, 6)
    text = f"PolicyError: the server offers terms under agreement {server.agreement.hash.hex()[:12]}; agreed was"
    assert server.grid.reasons[0].startswith(f"{text} {stricter.hash.hex()[:12]}")
    assert server.app.read.count((0, "train")) == 1
