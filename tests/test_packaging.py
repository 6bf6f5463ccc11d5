"""The lists in pyproject.toml are complete, and its facts agree with the code's."""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from setuptools import find_packages

import fedsec

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_installed() -> None:
    """Links lead from fedsec/ to what stands at the top; a folder of Python without __init__.py would be left out."""
    for name in ("strategies", "simulations"):
        link = ROOT / "fedsec" / name
        assert link.is_symlink() and link.readlink() == Path("..") / name
    tops = {"fedsec": "fedsec", "fedsec.strategies": "strategies", "fedsec.simulations": "simulations"}
    folders = {
        ".".join([name, *file.parent.relative_to(ROOT / folder).parts])
        for name, folder in tops.items()
        for file in (ROOT / folder).rglob("*.py")
    }
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert set(find_packages(str(ROOT), include=found["include"])) == folders


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == fedsec.__version__


def test_each_dependency_states_one_oldest_version() -> None:
    """Those are the versions on which `nox -s oldest` runs the fast tests."""
    project = PROJECT["project"]
    stated = map(Requirement, chain(project["dependencies"], *project["optional-dependencies"].values()))
    bounds: dict[str, set[str]] = {}
    for one in stated:
        if one.name != project["name"]:
            oldest = [bound.version for bound in one.specifier if bound.operator == ">="]
            assert len(oldest) == 1, f"{one}: `{one.name}>=VERSION` was expected"
            bounds.setdefault(one.name, set()).update(oldest)
    assert {name: versions for name, versions in bounds.items() if len(versions) > 1} == {}
