"""Benchmarks start and say what they measured, in the promised form. No times are asserted."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedsec import catalog
from tests.tiers import exhaustive

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RUN = [file for file in sorted(BENCHMARKS.glob("*.py")) if '"__main__"' in file.read_text(encoding="utf-8")]


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The benchmark as a module, with tiny sizes and no peer."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("sharing")
    for name, value in {"VALUES": 1000, "QUICK_COHORTS": (3,), "QUICK_SIZES": (50, 100), "PROBE": 10}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "PEERS", {"nobody": lambda x: importlib.import_module("nobody_has_this")})
    yield module
    for name in {"sharing", "common"} - before:
        sys.modules.pop(name, None)


HELP = """
import contextlib, io, json, os, runpy, sys

found, sys.path[0] = {}, os.path.dirname(sys.argv[1])
for file in sys.argv[1:]:
    sys.argv = [file, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        runpy.run_path(file, run_name="__main__")
    found[file] = printed.getvalue()
print(json.dumps(found))
"""


def test_every_benchmark_starts() -> None:
    """One after another in one process, as to import what they stand on takes seconds."""
    files = [str(file) for file in RUN]
    done = subprocess.run([sys.executable, "-c", HELP, *files], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert list(found) == files
    for file, printed in found.items():
        assert all(option in printed for option in ("--quick", "--json", "--output")), file


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--memory nan", "nan is not a finite number above 0"),
        ("--seconds -1", "-1 is not a finite number above 0"),
        ("--memory many", "'many' is not a number"),
    ],
)
def test_an_amount_that_is_none_is_refused_in_words(sharing: Any, capsys: Any, words: str, reason: str) -> None:
    with pytest.raises(SystemExit):
        sharing.main(words.split())
    assert reason in capsys.readouterr().err


def test_a_count_is_read_as_the_command_line_reads_it(sharing: Any) -> None:
    common = importlib.import_module("common")
    assert common.count("1e3") == common.count("1k") == common.count("1_000") == 1000
    for text in ("1.5", "-1", "nan", "0"):
        with pytest.raises(argparse.ArgumentTypeError):
            common.count(text)


@pytest.mark.exhaustive
def test_the_json_is_one_object_with_every_row(sharing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sharing.main(["--quick", "--json", "--strategies", "secagg,plain,paillier"])
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"title", "machine", "versions", "rows", "notes"}
    rows = document["rows"]
    for row in rows:
        assert row.keys() == {"subject", "operation", "setting", "per_second", "over", "ratio", "note"}
        assert row["per_second"] > 0 and (row["ratio"] is None) == (row["over"] == "")
    assert sum("limit" in row["note"] for row in rows) == 7
    opened = [row for row in rows if "answers" in row["setting"]]
    assert len(opened) == 20 and sum(row["over"].endswith("answers") for row in opened) == 13
    rounds = [row for row in rows if "hospitals" in row["setting"]]
    assert [(row["subject"], row["operation"], row["setting"]["values"], row["over"]) for row in rounds] == [
        (name, f"{role} CPU", values, over)
        for name, over in (("plain", ""), ("secagg", "plain"))
        for values in (50, 100)
        for role in ("hospital", "server")
    ]
    assert len(document["notes"]) == 2 and "nobody" in document["notes"][0] and "paillier" in document["notes"][1]


@pytest.mark.parametrize("name", ["secagg", *exhaustive(["additive", "shamir"])])
def test_a_round_over_the_budget_is_measured_for_one_client(sharing: Any, name: str) -> None:
    protocol = catalog.strategy(name)()
    ((_, whole),) = sharing.federated(protocol, 4, [100], 1e12, 1e6, 0.0)
    ((_, alone),) = sharing.federated(protocol, 4, [100], 1.0, 1e6, 0.0)
    assert whole.server > 0 and not whole.note and whole.phases == len(protocol.tolerance(range(1, 5)))
    assert alone.server is None and "one client" in alone.note and "budget" in alone.note
    assert 400 < alone.up <= whole.up  # later phases send more, never less
    assert alone.cpu > 0 and alone.phases == protocol.rounds().index(protocol.input_phase) + 1


@pytest.mark.exhaustive
def test_the_figure_is_written(sharing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    sharing.main(["--quick", "--strategies", "plain,shamir", "--memory", "1e-9", "--output", str(tmp_path)])
    assert {file.name for file in tmp_path.iterdir()} == {f"sharing.{kind}" for kind in ("json", "csv", "svg", "png")}
    assert "one client" in (tmp_path / "sharing.csv").read_text(encoding="utf-8")
    assert "Shamir 2-of-3" in capsys.readouterr().out
