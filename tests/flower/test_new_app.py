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


@pytest.mark.parametrize(("name", "factor"), [("a_new_app", 1), ("a_large_app", 1500)])
def test_a_new_app_trains(
    fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, factor: int
) -> None:
    """It has three hospitals of 60 rows in the mean; here also with many more rows than its author had."""
    assert fed("init", name)[0] == 0
    app = tmp_path / name.replace("_", "-")
    client_app = app / name / "client_app.py"
    few, many = "(50 + 10 * hospital, 2)", f"({factor} * (50 + 10 * hospital), 2)"
    assert few in client_app.read_text()
    client_app.write_text(client_app.read_text().replace(few, many))
    declared = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    monkeypatch.syspath_prepend(str(app))
    client, server = (component(declared["components"][kind]) for kind in ("clientapp", "serverapp"))
    config, run = {**declared["config"], "rounds": 2}, 20_261 + factor
    with simulating():
        server(LocalGrid(client, config, 3, run), Context(run, SERVER, {}, RecordDict(), config))
    printed = capfd.readouterr().out
    for number in (1, 2):
        assert f"round {number}: 3 hospitals, {180 * factor} rows, ok" in printed
    found = re.search(r"weights \[ *([-\d.]+) +([-\d.]+)\]", printed)
    assert found is not None
    assert 0.7 < float(found[1]) < 1.0 and -2.0 < float(found[2]) < -1.5
