"""`fedsec strategies`: text for people, one JSON object for programs, and an exit status that can be trusted."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import fedsec
import fedsec.strategies
from fedsec import catalog
from fedsec.cli.main import COMMANDS, GROUP
from fedsec.errors import RunFailed, TooFewParties
from fedsec.protocol import HEADINGS, parameters_of

PLAIN = (Path(fedsec.strategies.__path__[0]) / "plain.py").read_text(encoding="utf-8")


def test_text_tells_what_each_strategy_is(fed: Any) -> None:
    code, out, err = fed("strategies")
    assert (code, err) == (0, "")
    for name in catalog.names():
        assert name in out.splitlines()
    assert "ShareInput > SumShares" in out and "GenerateKey > AdoptKey" in out
    assert out.count("server learns") == len(catalog.names())
    shown = [line.split() for line in out.splitlines()]
    assert shown.count(["parameter", "default", "values", "meaning"]) == len(catalog.names())
    assert any(line[:6] == ["value_bits", "24", "1", "to", "60", "bits"] for line in shown)
    assert any(line[:5] == ["server", "malicious", "semi-honest", "or", "malicious"] for line in shown)


def test_json_is_one_object_and_nothing_else(fed: Any) -> None:
    code, out, err = fed("strategies", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document.keys() == {"strategies", "broken"} and not document["broken"]
    by_name = {one["name"]: one for one in document["strategies"]}
    assert sorted(by_name) == catalog.names()
    for one in by_name.values():
        assert {heading.lower() for heading in HEADINGS} <= one.keys()
        assert one["phases"] and one["parameters"]["floor"] == 3
        assert {item["name"]: item["default"] for item in one["parameter_details"]} == one["parameters"]
        assert all(item["help"] and item["values"] for item in one["parameter_details"])
    assert by_name["shamir"]["phases"] == ["ShareInput", "SumShares"]
    assert by_name["paillier"]["set-up"] == ["GenerateKey", "AdoptKey"]


def test_help_prints_every_parameter_with_its_range(fed: Any) -> None:
    code, out, err = fed("strategies", "--help")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "Parameters of every strategy: • value_bits=24: Bits of an input value" in text and "(1 to 60 bits)" in text
    for name in catalog.names():
        own = {one.name for one in parameters_of(catalog.strategy(name))} - {"value_bits", "floor"}
        assert (f"Parameters of {name}:" in text) == bool(own)
        assert all(f"• {parameter}=" in text for parameter in own)


def test_files_are_listed_too(fed: Any, tmp_path: Path) -> None:
    path = tmp_path / "cli_listed.py"
    path.write_text(PLAIN, encoding="utf-8")
    code, out, _ = fed("strategies", str(path), "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)["strategies"]] == [*catalog.names(), "cli_listed"]
    code, out, _ = fed("strategies", str(path))
    assert code == 0 and "cli_listed" in out


def test_brackets_are_shown_as_they_are(fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from a file is text, not markup."""
    path = tmp_path / "cli_brackets.py"
    path.write_text(PLAIN.replace("Costs: one phase;", "Costs: one phase [bold][/x] [sic];"), encoding="utf-8")
    code, out, err = fed("strategies", str(path))
    assert (code, err) == (0, "") and "one phase [bold][/x] [sic];" in out
    broken = tmp_path / "cli_raises.py"
    broken.write_text("raise ValueError('[/x] in [it]')", encoding="utf-8")
    code, _, err = fed("strategies", str(broken))
    assert code == 2 and "[/x] in [it]" in err
    monkeypatch.setenv(catalog.FILES_VARIABLE, str(broken))
    code, out, err = fed("strategies")
    assert (code, err) == (0, "") and "cli_raises cannot be used" in out and "[/x] in [it]" in out
    code, out, _ = fed("strategies", "--json")
    assert code == 0 and [one["name"] for one in json.loads(out)["broken"]] == ["cli_raises"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["strategies", "shamr"], "unknown strategy 'shamr'; did you mean 'shamir'?"),
        (["strategies", "/no/such/file.py"], "strategy file /no/such/file.py does not exist"),
        (["strategies", "/no/such/file.py", "--json"], "strategy file /no/such/file.py does not exist"),
        (["strategies", "--jsn"], "--json"),
        (["strategy"], "strategy"),
    ],
)
def test_usage_that_cannot_work_ends_with_2(fed: Any, arguments: list[str], text: str) -> None:
    code, out, err = fed(*arguments)
    assert (code, out) == (2, "")
    assert text in err and "Traceback" not in err


def test_version_and_help(fed: Any) -> None:
    assert fed("--version") == (0, f"fedsec {fedsec.__version__}\n", "")
    for arguments in (["-h"], ["--help"], ["strategies", "-h"]):
        code, out, err = fed(*arguments)
        assert (code, err) == (0, "") and "strategies" in out


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RunFailed("the run ended without [a] model"), 1, "error: the run ended without [a] model"),
        (TooFewParties("Encrypt", 3, [1], [1, 2, 3]), 1, "phase Encrypt: 1 of 3 parties answered"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_failed_run_ends_with_1_and_one_line(
    fed: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def fails() -> None:
        raise error

    point = SimpleNamespace(name="fail", load=lambda: fails)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == GROUP else [])
    code, out, err = fed("fail")
    assert (code, out) == (status, "")
    assert said in err and "Traceback" not in err


def test_other_packages_add_commands(fed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help shows them by name; none takes a name of ours, and one that cannot be loaded harms nobody else."""

    def hello(name: str) -> None:
        print(f"hello {name}")

    def gone() -> None:
        raise ImportError("it is not here")

    own = typer.Typer()
    own.command("again")(hello)
    own.command("once")(hello)
    loads = {"hello": lambda: hello, "ours": lambda: own, "run": lambda: hello, "gone": gone}
    points = [SimpleNamespace(name=name, load=load) for name, load in loads.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points if group == GROUP else [])
    code, out, _ = fed("--help")
    assert code == 0 and "hello" in out and COMMANDS["run"].help in out
    assert fed("hello", "you") == (0, "hello you\n", "")
    assert fed("ours", "again", "you") == (0, "hello you\n", "")
    assert fed("run", "you")[0] == 2
    code, _, err = fed("gone")
    assert code == 2 and "command 'gone' cannot be loaded: it is not here" in err


MISSING = [
    (("run", "--clients", "4"), "ray", "simulation"),
    (("report", "."), "matplotlib", "report"),
    (("plan",), "scipy", "simulation"),
    (("stats", "--data", "a.parquet", "--site", "a", "--label", "b"), "pyarrow", "parquet"),
    (("stats", "--data", "a.xlsx", "--site", "a", "--label", "b"), "openpyxl", "formats"),
    (("stats", "--data", "a.sav", "--site", "a", "--label", "b"), "pyreadstat", "formats"),
    (("run", "--strategy", "paillier_textbook"), "phe", "paillier-textbook"),
]
"""Words of a command, the package that it does not find, and the extra that has it."""
APART = """
import importlib.machinery, json, os, sys
import flwr.app
from fedsec.cli import main

there = importlib.machinery.PathFinder.find_spec
for number, (words, module, _) in enumerate(json.loads(sys.argv[1])):
    assert module not in sys.modules
    if not os.fork():
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"../{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
        hidden = lambda name, *rest: None if name.partition(".")[0] == module else there(name, *rest)
        importlib.machinery.PathFinder.find_spec = hidden
        sys.argv = ["fedsec", *words]
        main()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 2, words
"""


@pytest.mark.exhaustive
def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    """Each in a process whose finder does not find the package; they share the import of what is there."""
    folder, files = tmp_path / "here", ["a.parquet", "a.sav", "a.xlsx"]
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    command = [sys.executable, "-c", APART, json.dumps(MISSING)]
    subprocess.run(command, cwd=folder, check=True)
    for number, (_, module, extra) in enumerate(MISSING):
        out, err = ((tmp_path / f"{number}.{name}").read_text(encoding="utf-8") for name in ("out", "err"))
        assert out == ""
        assert f"needs {module}, which is not installed: pip install 'fedsec[{extra}]'" in err
        assert err.startswith("error: ") and err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == files


def test_a_package_that_no_extra_has_is_named(fed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="odd", load=lambda: importlib.import_module("no_such_package"))
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == GROUP else [])
    code, _, err = fed("odd")
    assert code == 1 and "ModuleNotFoundError: No module named 'no_such_package'" in err


BROKEN = """
from dataclasses import dataclass
from fedsec.strategies.shamir import Shamir

@dataclass(frozen=True)
class Broken(Shamir):
    def {method}(self, *arguments):
        {fault}
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tolerance", "capacity", "check", "withstands", "__post_init__"])
@pytest.mark.parametrize("command", ["compare --no-task --hospitals 3 --parameters 100", "plan --anyway"])
def test_a_fault_of_a_strategy_s_own_code_is_one_line_that_says_where(
    fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, command: str
) -> None:
    from tests.simulations.costs.conftest import run_jobs_here

    run_jobs_here(monkeypatch)
    name = f"broken_{method.strip('_')}_{command.split()[0]}"
    (tmp_path / f"{name}.py").write_text(BROKEN.format(method=method, fault="return 1 / 0"))
    code, _, err = fed(*command.split(), "--strategies", f"./{name}.py")
    assert code in (0, 1, 2), err
    assert "Traceback" not in err
    if code:
        assert "ZeroDivisionError: division by zero" in err
    if "This is a fault of the code" in err:
        assert f"(in {method}, " in err and f"{name}.py, line 8)" in err
        monkeypatch.setenv("FEDSEC_TRACEBACK", "1")
        with pytest.raises(ZeroDivisionError):
            fed(*command.split(), "--strategies", f"./{name}.py")


def test_a_strategy_file_that_exits_is_named(fed: Any, tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text("raise SystemExit(5)\n")
    code, _, err = fed("strategies", "./leaving.py")
    assert code == 2 and "leaving.py" in err and "SystemExit: 5" in err, err


@pytest.mark.slow
def test_as_a_process() -> None:
    """The whole way: a real process, its status, and its two streams apart."""
    command = [sys.executable, "-c", "from fedsec.cli import main; main()", "strategies"]
    good = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert sorted(one["name"] for one in json.loads(good.stdout)["strategies"]) == catalog.names()
    bad = subprocess.run([*command, "nonesuch.py"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("error: strategy file ") and bad.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_comparison_without_ray_gives_its_reason_and_no_traceback(fed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedsec.simulations.costs.sweep import ray_jobs

    monkeypatch.setattr(ray_jobs, "new_home", lambda: Path("/dev/null/ray"))  # no folder can be made there
    words = ("--strategies", "plain", "--hospitals", "3", "--parameters", "100", "--no-task")
    code, out, err = fed("compare", *words)
    assert (code, out) == (1, "")
    assert "error: Ray failed: NotADirectoryError: " in err and "/dev/null/ray" in err and "try again" in err
    assert "Traceback" not in err
