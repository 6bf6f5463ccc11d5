"""The checks, each by name: `nox -s lint types tests fast campaign busy docs bench`.

With `--no-venv` a session uses what is installed in the current environment, as .ci/run does.
"""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
SHORT = ["tests", "--durations=10"]
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
"""A program that takes a core until it is ended, or its parent is."""


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


@nox.session
def busy(session: nox.Session) -> None:
    """The test suite beside twenty busy processes: slow and green. Arguments after `--` go to pytest."""
    install(session, "-e", ".[dev]")
    with ExitStack() as ended:
        for _ in range(20):
            process = subprocess.Popen([sys.executable, "-c", BUSY])  # noqa: S603 (our own words, no shell)
            ended.callback(process.wait)
            ended.callback(process.kill)
        session.run("python", "-m", "pytest", *(session.posargs or ["-q", "-n", "2"]))


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
