"""What `fedsec init` writes is a Flower app that trains. tests/cli has Flower build it; here its two apps run."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from fedsec.flower.simulation import simulating
from fedsec.simulations.run.local_grid import SERVER, LocalGrid

pytestmark = pytest.mark.slow


def component(name: str) -> Any:
    """A component, as Flower finds it by pyproject.toml."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_a_new_app_trains(
    fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fed("init", "a_new_app")[0] == 0
    declared = tomllib.loads((tmp_path / "a-new-app" / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    monkeypatch.syspath_prepend(str(tmp_path / "a-new-app"))
    client, server = (component(declared["components"][kind]) for kind in ("clientapp", "serverapp"))
    config, run = {**declared["config"], "rounds": 2}, 20_261
    with simulating():
        server(LocalGrid(client, config, 3, run), Context(run, SERVER, {}, RecordDict(), config))
    printed = capfd.readouterr().out
    for number in (1, 2):
        assert f"round {number}: 3 hospitals, 180 rows, ok" in printed
    found = re.search(r"weights \[ *([-\d.]+) +([-\d.]+)\]", printed)
    assert found is not None
    assert 0.7 < float(found[1]) < 1.0 and -2.0 < float(found[2]) < -1.5
