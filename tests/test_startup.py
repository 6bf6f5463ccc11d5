"""What is imported when: numba, Flower, Ray and the commands' modules wait until somebody needs them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

from fedsec.cli.agree import COMMANDS as AGREE
from fedsec.cli.lazy_group import Listed, as_command
from fedsec.cli.main import COMMANDS
from fedsec.cli.poster import EXPERIMENTS

pytestmark = pytest.mark.slow

pytestmark = pytest.mark.slow

HEAVY = {
    "flwr",
    "lifelines",
    "llvmlite",
    "matplotlib",
    "numba",
    "pandas",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "statsmodels",
}


def loaded(statement: str) -> set[str]:
    """The modules of a fresh process after a statement, whose own output goes to standard error."""
    code = f"""
import contextlib, json, sys
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    {statement}
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def command(*words: str) -> set[str]:
    """The modules of a fresh process after `fedsec` with these words."""
    return loaded(f"from fedsec.cli import main; sys.argv = {['fedsec', *words]!r}; main()")


@pytest.mark.parametrize(
    "words", [("--version",), ("--help",), ("poster", "--help"), ("agree", "--help"), ("nonesuch",)]
)
def test_help_imports_no_command_and_no_numpy(words: tuple[str, ...]) -> None:
    found = command(*words)
    assert not found & (HEAVY | {"numpy"})
    listed = {*COMMANDS.values(), *EXPERIMENTS.values(), *AGREE.values()}
    groups = {"fedsec.cli.poster", "fedsec.cli.agree"}  # which list commands of their own
    modules = {one.path.partition(":")[0] for one in listed} - groups
    assert len(modules) > 12 and not found & modules


@pytest.mark.slow  # some of them import Flower
@pytest.mark.parametrize(("name", "one"), [*COMMANDS.items(), *EXPERIMENTS.items(), *AGREE.items()])
def test_help_shows_the_first_line_of_each_command(name: str, one: Listed) -> None:
    module, _, attribute = one.path.partition(":")
    made = as_command(name, getattr(importlib.import_module(module), attribute))
    assert one.help == (made.help or "").partition("\n")[0]


def test_strategies_load_without_a_compiler() -> None:
    found = command("strategies", "--json")
    assert "fedsec.strategies.shamir" in found and "fedsec.strategies.paillier" in found
    assert not found & HEAVY


def test_a_hospital_s_app_imports_nothing_of_a_simulation() -> None:
    found = loaded("import fedsec.app.client_app")
    assert "flwr" in found
    assert not found & (HEAVY - {"flwr"})
    assert not [name for name in found if name.startswith("fedsec.simulations")]


def test_linear_algebra_has_one_thread_in_a_run() -> None:
    """Whatever the user's environment says: with more of them, a model's bits depend on the machine."""
    code = """
import contextlib, json, sys
from fedsec.cli import main
sys.argv = ["fedsec", sys.argv[1], "--help"]
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    main()
import numpy, threadpoolctl
print(json.dumps([one["num_threads"] for one in threadpoolctl.threadpool_info()]))
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    found = {}
    for name in ("run", "stats"):
        command = [sys.executable, "-c", code, name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[name] = set(json.loads(done.stdout))
    assert found["run"] <= {1}  # none that it knows, on macOS
    assert 1 not in found["stats"] or os.cpu_count() == 1  # the control
