"""The lists in pyproject.toml are complete, and its facts agree with the code's."""

from __future__ import annotations

import tomllib
from pathlib import Path

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
