"""`fedsec compare` as a user types it: what it prints and leaves behind, and what an interruption leaves to be done."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedsec import cli
from fedsec.cli.arguments import numbers, parse_network
from fedsec.cli.compare_tables import print_comparison
from fedsec.errors import ConfigurationError
from fedsec.metering import Network
from fedsec.report import page, sections
from fedsec.report.document import Comparison
from fedsec.report.ranking import Trust
from fedsec.report.units import plain_seconds as seconds
from fedsec.simulations.costs.sweep.comparison import compare
from fedsec.simulations.costs.sweep.sweep import GIB, Sweep
from fedsec.simulations.run.processes import Family, end
from tests.report.conftest import realistic
from tests.simulations.costs.conftest import Jobs, run_jobs_here

SMALL = ("--hospitals", "3", "--parameters", "100", "--repetitions", "1", "--no-task")
WAITS = '''"""Plain, but for a hospital that waits as long as a file is there.

Reference: none.
Server learns: everything.
Trusts: the server.
Tolerates: silence.
Costs: one phase.
"""

import time
from pathlib import Path

from fedsec.strategies.plain import Plain as _Plain


class Waits(_Plain):
    def respond(self, me, state, request, x, rng):
        while Path(__file__).with_name("hold").exists():
            time.sleep(0.05)
        return super().respond(me, state, request, x, rng)
'''


KEYED = '''"""Plain, but with a key size that nothing depends on.

Reference: none.
Server learns: everything.
Trusts: the server.
Tolerates: silence.
Costs: one phase.
"""

from dataclasses import dataclass

from fedsec.strategies.plain import Plain as _Plain


@dataclass(frozen=True)
class Keyed(_Plain):
    key_bits: int = 2048
'''


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """What was measured, all of it in this process."""
    return run_jobs_here(monkeypatch)


@pytest.fixture
def fed(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Runs `fedsec compare` in this process and an empty folder: exit status, stdout, stderr. Pages are drawn empty."""

    def write(found: Comparison, folder: Path, trust: Trust) -> list[Path]:
        (folder / page.PAGE).write_text(f"drawn {trust.words()}")
        return [folder / page.PAGE]

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedsec", "compare", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    monkeypatch.setattr(page, "write", write)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    return call


# What is printed


def test_a_network_of_one_s_own_is_what_table_and_page_open_with(fed: Any, tmp_path: Path) -> None:
    code, out, _ = fed(*SMALL, "--strategies", "plain", "--network", "clinic=30,80,8", "--output", "out")
    text = " ".join(out.split())
    found = Comparison.model_validate_json((tmp_path / "out" / "comparison.json").read_bytes())
    assert code == 0 and "clinic" in text and "hospital-wan" not in text
    assert seconds(found.cells[0].seconds["clinic"]) in text and sections.network(found)[0] == "clinic"


def test_a_sweep_without_a_measured_cell_has_failed(fed: Any, jobs: Jobs) -> None:
    words = ("--strategies", "shamir", "--hospitals", "5", "--parameters", "1e6", "--memory", "0.0001", "--no-task")
    code, out, err = fed(*words, "--output", "one")
    assert code == 1 and "no setting was measured" in err and "strategy" not in out
    code, out, err = fed(*words, "--output", "two", "--json")
    assert code == 1 and "no setting was measured" in err and json.loads(out)["cells"][0]["status"] == "refused"


def test_json_is_one_object_and_what_is_on_the_disk(fed: Any, tmp_path: Path) -> None:
    words = ("--strategies", "plain,shamir:threshold=3", "--network", "clinic=30,80,8", "--output", "out", "--json")
    code, out, err = fed(*SMALL, *words)
    assert (code, err, out.count("\n")) == (0, "", 1)
    document = json.loads(out)
    assert document.pop("files") == [str(tmp_path / "out" / "report.html")]
    assert document.pop("output") == str(tmp_path / "out")
    assert document.pop("trust") == {"server": "", "colluding": None, "dropouts": None}
    assert document.pop("recommended") == []
    assert document == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert Comparison.model_validate(document).networks["clinic"].model_dump() == {
        "latency": 0.03,
        "down": 1e7,
        "up": 1e6,
    }
    assert [cell["strategy"] for cell in document["cells"]] == ["plain", "shamir:threshold=3"]
    assert all("clinic" in cell["seconds"] for cell in document["cells"])


def test_the_table_tells_the_figures_and_the_notes(fed: Any, tmp_path: Path) -> None:
    words = ("--strategies", "plain,shamir:threshold=4", "--hospitals", "3,4", "--dropout", "0,0.25")
    code, out, err = fed(*SMALL, *words, "--output", "out")
    assert code == 0 and "Traceback" not in err
    found = Comparison.model_validate_json((tmp_path / "out" / "comparison.json").read_bytes())
    text = " ".join(out.split())
    for heading in ("3 hospitals, 100 parameters of 24 bits", "4 hospitals, 100 parameters of 24 bits, 1 dropped out"):
        assert heading in text
    assert {cell.status for cell in found.cells if cell.note} == {"refused"}
    for cell in found.cells:
        dropouts = f", {cell.dropouts} dropped out" if cell.dropouts else ""
        note = f"- {cell.strategy}, {cell.hospitals} hospitals, 100 parameters of 24 bits{dropouts}: {cell.note}"
        assert (note in text) is bool(cell.note)
    assert "threshold is 4 and the cohort has 3 clients" in text and "1 of 4 hospitals drop out" in text
    cell = found.cells[0]
    assert cell.round is not None and seconds(cell.seconds["hospital-wan"]) in text
    assert f"Report: {tmp_path / 'out' / 'report.html'}" in text


def test_trust_comes_before_cost_and_before_a_recommendation(fed: Any, tmp_path: Path) -> None:
    words = ("--strategies", "plain,additive,secagg", "--hospitals", "4", "--output", "out")
    code, out, err = fed(*SMALL, *words)
    assert code == 0, err
    head = next(line.split() for line in out.splitlines() if line.startswith("strategy"))
    assert head == ["strategy", "colluders", "dropouts", "hospital", "server", "up", "down", "round"]
    text = " ".join(out.split())
    assert "Recommended" not in text and "Nothing is recommended before you say whom you trust" in text
    assert "--server semi-honest or malicious, --colluding N and --may-drop-out N" in text
    trust = ("--server", "malicious", "--colluding", "1", "--may-drop-out", "1")
    code, out, _ = fed(*SMALL, *words, *trust)
    text = " ".join(out.split())
    said = "with a malicious server, 1 hospital colluding with it and 1 dropping out"
    assert code == 0 and f"Recommended {said}: secagg, the cheapest that withstands this." in text
    assert "Nothing is recommended" not in text
    assert (tmp_path / "out" / "report.html").read_text() == f"drawn {said}"
    code, out, _ = fed(*SMALL, *words, *trust[:-1], "3", "--json")
    (found,) = json.loads(out)["recommended"]
    assert found["hospitals"] == 4 and found["strategy"] == "" and "promises this" in found["why"]


@pytest.mark.parametrize("option", ["--colluding", "--may-drop-out"])
def test_trust_is_a_number_of_hospitals(fed: Any, option: str) -> None:
    code, out, err = fed(option, "-1")
    assert (code, out) == (2, "") and f"{option[2:]} is -1; it must be at least 0" in err


def test_a_comparison_fits_eighty_columns(tmp_path: Path) -> None:
    for trust in (Trust(), Trust("malicious", 2, 1)):
        console = Console(width=80, file=io.StringIO())
        print_comparison(console, realistic(), tmp_path, trust)
        *lines, report = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
        assert report.startswith("Report: ")
        text = " ".join(" ".join(lines).split())
        assert "* measured on fewer parameters and scaled." in text
        assert ("No recommendation with a malicious server" in text) is (trust != Trust())


def test_a_row_for_each_key_size_and_one_for_dropouts_that_drop_as_many(fed: Any, tmp_path: Path) -> None:
    (tmp_path / "keyed.py").write_text(KEYED)
    words = ("--strategies", "plain,./keyed.py", "--key-bits", "2048,3072", "--dropout", "0,0.25")
    code, out, _ = fed(*SMALL, *words, "--output", "out")
    rows = [line.split()[:2] for line in out.splitlines() if line.split()[:1] in (["plain"], ["keyed"])]
    assert code == 0 and len(rows) == 3
    assert [second for first, second in rows if first == "keyed"] in (["2048", "3072"], ["3072", "2048"])


def test_seconds_to_read() -> None:
    assert [seconds(value) for value in (12.345, 0.5, 2.5e-3, 1e-7, 0.0)] == [
        "12.3 s",
        "500 ms",
        "2.5 ms",
        "0.1 µs",
        "0",
    ]


# What is asked for


def test_numbers_are_read_as_people_write_them() -> None:
    assert numbers("parameters", "1e3,10_000, 1000", int) == (1000, 10_000)
    assert numbers("dropout", "0,.5,5e-1", float) == (0.0, 0.5)
    for text in ("inf", "1e999", "nan", "1.5", "1e-3"):
        with pytest.raises(ConfigurationError, match=f"hospitals: '{text}' is not a whole number"):
            numbers("hospitals", text, int)
    for text in ("five", "0x10", "3;4"):
        with pytest.raises(ConfigurationError, match=f"hospitals: '{text}' is not a number"):
            numbers("hospitals", text, int)


def test_networks_are_finite() -> None:
    assert parse_network("a = 0,1,1") == ("a", Network(0.0, 125_000.0, 125_000.0))
    for text in ("a=inf,1,1", "a=1,inf,1", "a=nan,1,1", " =1,1,1", "a=1,2,3,4"):
        with pytest.raises(ConfigurationError, match="NAME=LATENCY,DOWN,UP was expected"):
            parse_network(text)
    for text in ("a=-1,1,1", "a=1,0,1"):
        with pytest.raises(ConfigurationError, match="bandwidths above 0"):
            parse_network(text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--strategies", "shamyr"), "unknown strategy 'shamyr'; did you mean 'shamir'?"),
        (("--strategies", "nowhere.py"), "does not exist"),
        (("--strategies", ","), "strategies is ','; at least one value is needed"),
        (("--strategies", "shamir:treshold=3"), "did you mean 'threshold'?"),
        (("--strategies", "shamir:threshold=5"), "threshold is 5 and the cohort has 3 clients"),
        (("--strategies", "shamir:value_bits=8"), "use bits"),
        (("--hospitals", "2"), "below the floor of 3"),
        (("--hospitals", "0"), "hospitals is 0; it must be at least 1"),
        (("--hospitals", "3.5"), "'3.5' is not a whole number"),
        (("--hospitals", "inf"), "'inf' is not a whole number"),
        (("--parameters", "-1"), "parameters is -1"),
        (("--bits", "62"), "value_bits is 62; it must lie between 1 and 60"),
        (("--bits", "60"), "use at most"),
        (("--bits", "55"), "bits is 55; it must lie between 2 and 50"),
        (("--dropout", "1"), "dropout is 1.0; it must be at least 0 and below 1"),
        (("--dropout", "0.5"), "hospitals drop out"),
        (("--strategies", "paillier", "--key-bits", "100"), "key_bits is 100; it must be a multiple of 2"),
        (("--network", "clinic=1"), "NAME=LATENCY,DOWN,UP was expected"),
        (("--engine", "spark"), "spark"),
        (("--engine", "flower", "--dropout", "0.34"), "1 of 3 hospitals drop out"),
        (("--repetitions", "0"), "repetitions is 0"),
        (("--memory", "0"), "memory is 0 GiB; it must be above 0"),
        (("--patience", "nan"), "patience is nan s; it must be above 0"),
        (("--output", "thesis"), "exists and holds no sweep; choose another folder"),
        (("--output", "thesis", "--force"), "exists and holds no sweep; choose another folder"),
        (("--output", "file"), "exists and holds no sweep"),
        (("--output", "file/below"), "cannot be written"),
        (("--hospital", "3"), "--hospitals"),
    ],
)
def test_what_cannot_work_ends_at_once_with_status_2(
    fed: Any, jobs: Jobs, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    code, out, err = fed(*SMALL, "--strategies", "shamir,secagg", *words)
    assert (code, out) == (2, "") and expected in " ".join(err.split()) and "Traceback" not in err
    assert not jobs and sorted(os.listdir(tmp_path)) == ["file", "thesis"]
    assert os.listdir(tmp_path / "thesis") == ["thesis.tex"]


# Where it is kept


def test_force_replaces_a_sweep_and_nothing_else_does(fed: Any, jobs: Jobs, tmp_path: Path) -> None:
    words = (*SMALL, "--strategies", "plain", "--output", "out")
    assert fed(*words)[0] == 0
    before = Counter(jobs)
    code, _, err = fed(*words, "--repetitions", "2", "--patience", "5")
    assert code == 2 and "holds a sweep with another patience, repetitions; choose another folder" in err
    assert "--force" in err and Counter(jobs) == before
    code, _, err = fed(*words, "--strategies", "shamir:threshold=9", "--force")
    assert code == 2 and "threshold is 9" in err and (tmp_path / "out" / "comparison.json").is_file()
    assert fed(*words)[0] == 0 and Counter(jobs) == before
    assert fed(*words, "--repetitions", "2", "--force")[0] == 0
    assert Counter(jobs) == {key: 2 for key in before}
    found = Comparison.model_validate_json((tmp_path / "out" / "comparison.json").read_bytes())
    assert found.cells[0].repetitions == 2


def test_a_damaged_sweep_is_said_and_a_new_one_goes_beside_it(fed: Any, tmp_path: Path) -> None:
    words, sweep = (*SMALL, "--strategies", "plain"), tmp_path / "results" / "compare" / "sweep.json"
    sweep.parent.mkdir(parents=True)
    sweep.write_text("{")
    assert fed(*words)[0] == 0 and sorted(os.listdir(tmp_path / "results")) == ["compare", "compare-2"]
    for damaged in ("{", "[]", "\x00"):
        sweep.write_text(damaged)
        code, out, err = fed(*words, "--output", "results/compare")
        assert (code, out) == (2, "") and "sweep.json is damaged; replace the sweep with --force" in err
    assert fed(*words, "--output", "results/compare", "--force")[0] == 0


def test_where_nothing_could_be_measured_the_command_fails(fed: Any) -> None:
    code, _, err = fed("--strategies", "shamir", "--hospitals", "3", "--parameters", "1e13", "--no-task")
    assert code == 1 and "no setting was measured; the first reason: one hospital's part alone would take" in err


def test_a_sweep_goes_on_in_its_folder_until_its_report_is_there(
    fed: Any, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, write = (*SMALL, "--strategies", "plain"), page.write

    def full(found: Comparison, folder: Path, trust: Trust) -> list[Path]:
        raise ConfigurationError(f"report {folder / page.PAGE} cannot be written: {os.strerror(errno.ENOSPC)}")

    monkeypatch.setattr(page, "write", full)
    code, _, err = fed(*words)
    assert code == 2 and "No space left on device" in err
    monkeypatch.setattr(page, "write", write)
    before = Counter(jobs)
    assert fed(*words)[0] == 0 and os.listdir(tmp_path / "results") == ["compare"] and Counter(jobs) == before
    assert fed(*words)[0] == 0 and sorted(os.listdir(tmp_path / "results")) == ["compare", "compare-2"]
    assert Counter(jobs) == {key: 2 for key in before}
    (tmp_path / "results" / "compare-2" / page.PAGE).unlink()
    assert fed(*words, "--patience", "5")[0] == 0
    assert sorted(os.listdir(tmp_path / "results")) == ["compare", "compare-2", "compare-3"]


def test_a_file_goes_by_its_path_from_anywhere(
    fed: Any, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSEC_STRATEGY_FILES", "")
    (tmp_path / "waits.py").write_text(WAITS)
    code, out, _ = fed(*SMALL, "--strategies", "./waits.py,waits.py,plain", "--output", "out", "--json")
    assert code == 0
    document = json.loads(out)
    assert [cell["strategy"] for cell in document["cells"]] == ["waits", "plain"]
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    before = Counter(jobs)
    assert (
        fed(*SMALL, "--strategies", "../waits.py", "--output", "../out", "--json")[0] == 0 and Counter(jobs) == before
    )


# Interruptions


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`fedsec compare` in a process of its own; it, and what it started, is gone afterwards."""
    command = [str(Path(sys.executable).parent / "fedsec"), "compare", *words]
    mark = str(folder)
    with subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "FEDSEC_TEST": mark},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            end(Family("FEDSEC_TEST", mark).members, 60.0)


def wait_for(there: Callable[[], bool]) -> None:
    """As long as it takes: on a busy machine the test is slow."""
    while not there():
        time.sleep(0.05)


def kinds(folder: Path) -> Counter[str]:
    return Counter(path.name.partition("-")[0] for path in folder.glob("cells/*.json"))


def waiting(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The file that holds a hospital up as long as it is there, and the words of a comparison into `out`."""
    (folder / "waits.py").write_text(WAITS)
    (folder / "hold").touch()
    names = ",".join(("plain", "shamir", str(folder / "waits.py")))
    return folder / "hold", ("--strategies", names, *SMALL, "--output", str(folder / "out"), "--json")


@pytest.mark.exhaustive
def test_a_signal_ends_a_sweep_under_ray_and_leaves_no_process(tmp_path: Path) -> None:
    _, words = waiting(tmp_path)
    with started(tmp_path, *words) as first:  # a job does not end
        wait_for(lambda: kinds(tmp_path / "out")["probe"] == 2 or first.poll() is not None)
        first.terminate()
        assert first.wait() == 130 and first.communicate() == ("", "")
        wait_for(lambda: not Family("FEDSEC_TEST", str(tmp_path)).members())  # nothing is left running
    assert kinds(tmp_path / "out") == {"probe": 2}


def test_what_is_interrupted_loses_nothing_and_goes_on(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hold, words = waiting(tmp_path)
    folder = tmp_path / "out"
    sweep = Sweep(tuple(words[1].split(",")), (3,), (100,), repetitions=1, memory=4 * GIB, task=False)

    def stop(what: str, done: float, total: float) -> None:
        if what.startswith("plain"):
            raise KeyboardInterrupt

    hold.unlink()
    with pytest.raises(KeyboardInterrupt):
        compare(sweep, folder, stop)
    assert kinds(folder) == {"probe": 3, "examined": 3} and len(jobs) == 6

    def interrupt() -> None:
        wait_for(lambda: kinds(folder)["clocked"] == 2)
        os.kill(os.getpid(), signal.SIGINT)

    hold.touch()
    monkeypatch.setattr(sys, "argv", ["fedsec", "compare", *words])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts in the background ignores it
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(SystemExit) as second:
        cli.main()
    signal.signal(signal.SIGINT, before)
    assert second.value.code == 130 and capfd.readouterr() == ("", "")  # --json is quiet
    assert kinds(folder) == {"probe": 3, "examined": 3, "clocked": 2}
    assert not [path for path in folder.rglob("*") if path.name[0] == "."]
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("cells/*")}

    hold.unlink()
    with pytest.raises(SystemExit) as third:
        cli.main()
    out, err = capfd.readouterr()
    assert (third.value.code or 0, err, out.count("\n")) == (0, "", 1)
    document = json.loads(out)
    assert [(cell["strategy"], cell["status"]) for cell in document["cells"]] == [
        ("plain", "measured"),
        ("shamir", "measured"),
        ("waits", "measured"),
    ]
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("cells/*")}.items() >= kept.items()
    assert {"report.html", "cells.csv"} <= {Path(name).name for name in document["files"]}
    assert all(Path(name).stat().st_size > 100 for name in document["files"])
