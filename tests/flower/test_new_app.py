"""What `fedsec init` writes, and what the documentation shows, is a Flower app that trains."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fedsec import cli
from fedsec.simulations.run.launcher import flower_run

pytestmark = pytest.mark.slow


def test_a_new_app_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fedsec", "init", str(tmp_path / "my_study")])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    with flower_run(tmp_path / "my_study", {"rounds": 2}, 3) as live:
        live.wait()
        log = live.log_tail(200)
    for number in (1, 2):
        assert f"round {number}: 3 hospitals, 180 rows, ok" in log
    found = re.search(r"weights \[ *([-\d.]+) +([-\d.]+)\]", log)
    assert found is not None
    assert 0.7 < float(found[1]) < 1.0 and -2.0 < float(found[2]) < -1.5
