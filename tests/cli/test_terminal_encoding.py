"""Names and texts outside the terminal's encoding: a question mark in place of the letter, and never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedsec import cli
from fedsec.cli.main import COMMANDS
from fedsec.cli.poster import EXPERIMENTS

pytestmark = pytest.mark.slow

ENCODINGS = ["ascii", "cp1252", "latin-1", "utf-8"]
SITES = ("Köln", "Łódź", "東京", "a b")
ROWS = ("--data", "rows.csv", "--site", "site", "--label", "died")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command line on a terminal of an encoding, as Python opens one: exit status, output, errors."""

    def call(encoding: str, *words: str) -> tuple[int, str, str]:
        out, err = io.BytesIO(), io.BytesIO()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr(sys, "argv", ["fedsec", *words])
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, "strict"))
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding, "backslashreplace"))
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        return code, out.getvalue().decode(encoding), err.getvalue().decode(encoding)

    return call


@pytest.fixture
def rows(tmp_path: Path) -> None:
    lines = ["site,alter,größe,died"]
    lines += [f"{site},{20 + row},{'groß' if row % 3 else 'klein'},{row % 2}" for site in SITES for row in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")


def expected(text: str, encoding: str) -> str:
    return text.encode(encoding, "replace").decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("words", [(name,) for name in COMMANDS] + [("poster", name) for name in EXPERIMENTS])
def test_the_help_of_every_command(terminal: Any, encoding: str, words: tuple[str, ...]) -> None:
    code, out, err = terminal(encoding, *words, "--help")
    assert code == 0 and "Usage" in out and not err


@pytest.mark.parametrize(
    ("command", "encoding"), [*(("stats", one) for one in ENCODINGS), ("partition", "ascii"), ("partition", "utf-8")]
)
def test_hospitals_and_columns_of_any_name(terminal: Any, command: str, encoding: str, rows: None) -> None:
    code, out, err = terminal(encoding, command, *ROWS)
    assert (code, err) == (0, "")
    for name in SITES if command == "partition" else ("größe", "groß"):
        assert expected(name, encoding) in out
    code, out, err = terminal(encoding, command, *ROWS, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    if command == "partition":
        assert [one["hospital"] for one in told["hospitals"]] == sorted(SITES)
    else:
        assert "größe" in told["statistics"]["levels"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_list_of_strategies(terminal: Any, encoding: str, tmp_path: Path) -> None:
    code, out, err = terminal(encoding, "strategies")
    assert (code, err) == (0, "") and "shamir" in out
    code, out, err = terminal(encoding, "strategies", "--json")
    assert (code, err) == (0, "") and json.loads(out)["strategies"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_error_about_such_a_name(terminal: Any, encoding: str, rows: None) -> None:
    code, out, err = terminal(encoding, "stats", "--data", "rows.csv", "--site", "Stätte", "--label", "died")
    assert (code, out) == (2, "") and "unknown column for site" in err
    assert ("Stätte" if encoding != "ascii" else r"St\xe4tte") in err


@pytest.mark.exhaustive
def test_a_process_of_its_own(rows: None, tmp_path: Path) -> None:
    """The control of what stands for a terminal here: a process with Python's own streams."""
    done = subprocess.run(
        [sys.executable, "-c", "from fedsec.cli import main; main()", "partition", *ROWS],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "120"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"K?ln" in done.stdout and b"Traceback" not in done.stderr
