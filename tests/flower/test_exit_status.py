"""The exit status of `fedsec run` says whether rounds were void or the run failed, after the results are written.

The command, the study's server and its clients are the real ones, in one process: `--engine local`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from fedsec import cli
from fedsec.report import run_document
from fedsec.simulations.run.results import model_hash

LOST = "AGGREGATIONS_LOST"
FLAKY = f'''
"""Additive sharing that loses some aggregations at the server.

Reference: additive.py
Server learns: as there.
Trusts: as there.
Tolerates: as there.
Costs: as there.
"""

import os
from typing import ClassVar

from fedsec.errors import TooFewParties
from fedsec.strategies.shamir import Shamir


class Flaky(Shamir):
    """Loses the aggregations whose numbers the environment names."""

    count: ClassVar[int] = 0

    def aggregate(self, clients, public):
        Flaky.count += 1
        if str(Flaky.count) in os.environ["{LOST}"].split(","):
            raise TooFewParties("ShareInput", self.floor, (), clients)
        return (yield from super().aggregate(clients, public))
'''
STATISTICS, TRAIN = 1, (2, 4, 6)
"""The numbers of a run's aggregations: statistics first, then training and evaluation of each round."""


@pytest.fixture
def fedsec_run(
    brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`fedsec run` of three rounds that loses these aggregations: its exit status, and what it printed."""
    strategy = tmp_path / "flaky.py"
    strategy.write_text(FLAKY)
    words = [
        "--engine",
        "local",
        "--rounds",
        "3",
        "--clients",
        "3",
        "--strategy",
        str(strategy),
        "--output",
        str(tmp_path / "out"),
        "--force",
    ]

    def run(*more: str, lost: tuple[int, ...]) -> tuple[int, str, str]:
        monkeypatch.setenv(LOST, ",".join(map(str, lost)))
        for module in [module for name, module in sys.modules.items() if name.endswith(".flaky")]:
            monkeypatch.setattr(module.Flaky, "count", 0)
        monkeypatch.setattr(sys, "argv", ["fedsec", "run", *words, *more])
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.mark.slow
def test_void_rounds_are_status_3_after_all_is_written(tmp_path: Path, fedsec_run: Any) -> None:
    status, out, _ = fedsec_run(lost=(TRAIN[1],))
    assert status == 3
    document, _ = run_document.load(tmp_path / "out")
    assert document.void_rounds == 1 and [one.stage for one in document.void] == ["train"]
    assert model_hash(load_file(tmp_path / "out" / "model.safetensors")) == document.model_hash
    assert "round 2 train is void: TooFewParties" in (tmp_path / "out" / "run.log").read_text()
    why = "TooFewParties: phase ShareInput: 0 of 3 parties answered and 3 are needed"
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"Round 2, train: {why}" in page and "1 aggregation failed" in page
    assert f"Void: round 2 train: {why}" in " ".join(out.split())
    status, out, _ = fedsec_run("--json", "--allow-void", "1", lost=(TRAIN[1],))
    assert status == 0 and json.loads(out)["output"] == str(tmp_path / "out")


@pytest.mark.slow
def test_a_failed_run_is_status_1_after_what_it_reached_is_written(tmp_path: Path, fedsec_run: Any) -> None:
    status, out, error = fedsec_run("--allow-void", "3", lost=TRAIN[1:])
    assert status == 1
    assert "2 of 3 rounds of training are void, and at most 1 may be" in error
    assert f"Its log is {tmp_path / 'out' / 'run.log'}" in error
    assert "Void: round 3 train" in out
    assert {"model.safetensors", "report.html", "result.json", "run.log"} <= {*os.listdir(tmp_path / "out")}


@pytest.mark.versions
def test_a_run_that_reached_nothing_leaves_nothing(tmp_path: Path, fedsec_run: Any) -> None:
    status, _, error = fedsec_run(lost=TRAIN)
    assert status == 1 and "no round of training succeeded" in error
    assert not (tmp_path / "out").exists() and f"Its log is {tmp_path / 'out-failed.log'}" in error
    status, _, error = fedsec_run(lost=(STATISTICS,))
    assert status == 1 and "query.statistics failed" in error
