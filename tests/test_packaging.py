"""The lists in pyproject.toml are complete, and its facts agree with the code's."""

from __future__ import annotations

import tomllib
from pathlib import Path

import fedsec

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_installed() -> None:
    tops = {"fedsec": "fedsec", "fedsec.strategies": "strategies", "fedsec.simulations": "simulations"}
    found = {
        ".".join([name, *file.parent.relative_to(ROOT / folder).parts])
        for name, folder in tops.items()
        for file in (ROOT / folder).rglob("*.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == fedsec.__version__
