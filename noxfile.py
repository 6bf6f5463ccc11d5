"""The checks, each by name: `nox -s lint types tests exhaustive fast newest oldest extras campaign busy docs bench`.

With `--no-venv` a session uses what is installed in the current environment, as .ci/run does.
"""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement

nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
OLDEST = PROJECT["requires-python"].removeprefix(">=")
SHORT = ["tests", "--durations=10"]
TORCH = "2.13.0"
"""The release of PyTorch that is tested: of this one the package registries have a build for the CPU alone."""
WITH_EXTRAS = [
    "tests/learning/test_torch_models.py",
    "tests/learning/test_onnx_export.py",
    "tests/flower/test_compatibility.py",
    "tests/simulations/run/test_mlflow_log.py",
    "tests/simulations/run/test_tensorboard.py",
    "tests/examples",
]
EXTRAS_TESTS = "torch or bfloat16 or onnx or mlflow or tensorboard"
"""Their tests that are skipped where an extra is not installed, by name."""
PROGRAMS = [
    "tests/cli/test_cli.py",
    "tests/cli/test_compare_command.py",
    "tests/flower/test_fedsec_run.py",
    "tests/flower/test_runner.py",
    "tests/flower/test_two_lines.py",
    "tests/party/test_journal.py",
    "tests/report/test_browser.py",
    "tests/report/test_page_widths.py",
    "tests/simulations/costs/test_comparison.py",
    "tests/simulations/costs/test_estimate.py",
    "tests/simulations/run/test_lease.py",
    "tests/simulations/run/test_local_engine.py",
    "tests/simulations/run/test_processes.py",
    "tests/simulations/run/test_vigil.py",
    "tests/test_leftovers.py",
    "tests/test_startup.py",
]
"""Tests that start programs, wait for something, or measure: what a busy machine could make fail."""
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
"""A program that takes a core until it is ended, or its parent is."""
NEWER = [name for name in ("3.14", "3.13", "3.12") if tuple(map(int, name.split("."))) > sys.version_info[:2]]
"""Newer releases of Python than the one that the other sessions use, the newest first."""
VERSIONS = r"""
import importlib.metadata as metadata, platform, re
names = {re.match(r"[\w.-]+", line)[0] for line in metadata.requires("fedsec") if "extra" not in line}
print(f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in sorted(names)), sep=", ")
"""
"""A program that prints what fedsec runs on."""


def interpreter(*versions: str) -> str | None:
    """The first of these Pythons that works here: on the path, or among those of pyenv, whose shims may refuse."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in versions:
        found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}*/bin/python{version}"))]
        for path in filter(None, found):
            if subprocess.run([path, "-c", "0"], capture_output=True, check=False).returncode == 0:  # noqa: S603
                return str(path)
    return None


def lowest() -> list[str]:
    """The oldest versions that pyproject.toml allows, as constraints: each `>=X` of a dependency or extra as `==X`."""
    stated = [Requirement(text) for text in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())]
    bounds = {(one.name, bound.version) for one in stated for bound in one.specifier if bound.operator == ">="}
    return [f"{name}=={version}" for name, version in sorted(bounds)]


def install(session: nox.Session, *packages: str) -> None:
    """Install into the session's own environment, where it has one."""
    if session.venv_backend not in ("none", None):
        session.install(*packages)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, likely mistakes and insecure calls; which package may import which."""
    install(session, "ruff>=0.9", "import-linter>=2.3")
    session.run("python", "-m", "ruff", "check", ".")
    session.run("python", "-m", "ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the checkout, and on what a user installs: the built wheel, unpacked apart from it."""
    install(session, ".[dev]")
    session.run("python", "-m", "mypy", "-p", "fedsec")
    wheel = Path(session.create_tmp()).resolve() / "installed"
    session.run("python", "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(wheel), ".")
    with session.chdir(wheel):
        cache = ROOT / ".mypy_cache" / "wheel"
        config = ROOT / "pyproject.toml"
        session.run("python", "-m", "mypy", f"--config-file={config}", f"--cache-dir={cache}", "-p", "fedsec")


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite; arguments after `--` go to pytest."""
    install(session, "-e", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or SHORT))


@nox.session
def fast(session: nox.Session) -> None:
    """What a developer runs after each change: no Ray, no browser, no Flower run."""
    install(session, "-e", ".[dev]")
    session.run("python", "-m", "pytest", "-q", "-m", "fast", *session.posargs)


def versions_on(session: nox.Session, *options: str) -> None:
    """The tests that depend on releases, and the fast ones, in an environment installed with these options of pip."""
    session.install("-e", ".[dev]", *options)
    session.run("python", "-c", VERSIONS)
    session.run("python", "-m", "pytest", "-q", "-m", "fast or versions", *(session.posargs or ["-n", "2"]))


@nox.session(python=interpreter(*NEWER) or False)
def newest(session: nox.Session) -> None:
    """Tests that depend on releases, on the newest Python that is here, with the newest release of every package."""
    if session.python is False:
        session.skip(f"none of Python {', '.join(NEWER)} is installed")
    versions_on(session, "--upgrade")


@nox.session(python=interpreter(OLDEST) or False)
def oldest(session: nox.Session) -> None:
    """Tests that depend on releases, on the oldest Python, with the oldest releases that pyproject.toml allows."""
    if session.python is False:
        session.skip(f"Python {OLDEST} is not installed")
    constraints = Path(session.create_tmp()).resolve() / "oldest.txt"
    constraints.write_text("\n".join(lowest()), encoding="utf-8")
    versions_on(session, "--constraint", str(constraints))


@nox.session
def busy(session: nox.Session) -> None:
    """The tests that start programs or wait, beside twenty busy processes: slow and green. `-- -q -n 2`: all tests."""
    install(session, "-e", ".[dev]")
    with ExitStack() as ended:
        for _ in range(20):
            process = subprocess.Popen([sys.executable, "-c", BUSY])  # noqa: S603 (our own words, no shell)
            ended.callback(process.wait)
            ended.callback(process.kill)
        session.run("python", "-m", "pytest", *(session.posargs or ["-q", "-n", "2", *PROGRAMS]))


@nox.session
def extras(session: nox.Session) -> None:
    """What stands on PyTorch, ONNX, MLflow and TensorBoard, in an environment that has them."""
    try:
        session.install("-e", ".[dev,mlflow,onnx,tensorboard,torch]", "onnxruntime", f"torch=={TORCH}")
    except CommandFailed:
        session.skip(f"PyTorch {TORCH}, ONNX, MLflow or TensorBoard cannot be installed here")
    session.run(
        "python", "-m", "pytest", "-q", "-m", "not campaign", "-k", EXTRAS_TESTS, *(session.posargs or WITH_EXTRAS)
    )


@nox.session
def exhaustive(session: nox.Session) -> None:
    """The further cases and whole runs that the suite leaves out; CI runs them too."""
    install(session, "-e", ".[dev]")
    session.run("python", "-m", "pytest", "-q", "-m", "exhaustive", *(session.posargs or ["-n", "2"]))


@nox.session
def campaign(session: nox.Session) -> None:
    """The long fault campaigns and property searches."""
    install(session, "-e", ".[dev]")
    session.run("python", "-m", "pytest", "-m", "campaign", "-n", "auto", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, warnings as errors, and its examples run."""
    install(session, "-e", ".[docs]")
    for builder in ("html", "doctest"):
        session.run(
            "python", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", builder, "docs", f"docs/_build/{builder}"
        )


@nox.session
def bench(session: nox.Session) -> None:
    """Each benchmark in its quick form; arguments after `--` replace `--quick`."""
    install(session, "-e", ".[bench]")
    for file in sorted((ROOT / "benchmarks").glob("[a-z]*.py")):
        if "def main(" in file.read_text(encoding="utf-8") and "ServerApp" not in file.read_text(encoding="utf-8"):
            session.run("python", str(file), *(session.posargs or ["--quick"]))
