"""Which names and files give a strategy, and what stops those that do not."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fedsec.strategies
from fedsec import catalog
from fedsec.errors import ConfigurationError
from fedsec.local import LocalFederation
from fedsec.strategies.plain import Plain
from fedsec.strategies.shamir import Shamir

SOURCE = Path(fedsec.strategies.__path__[0]) / "plain.py"


def plug_in(path: Path, text: str = "") -> str:
    """A strategy file like the built-in ones; each test takes a name of its own, for messages are known by it."""
    path.write_text(text or SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    return str(path)


def test_built_in_names() -> None:
    assert catalog.strategy("plain") is Plain
    assert catalog.strategy("shamir") is Shamir
    assert {"paillier", "plain", "shamir"} <= set(catalog.names())
    assert catalog.names() == sorted(catalog.names())
    for name in catalog.names():
        assert catalog.strategy(name)().name == name


def test_an_unknown_name_gets_the_nearest_and_the_choices() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown strategy 'shamr'; did you mean 'shamir'\? \(choose from .*plain"
    ):
        catalog.strategy("shamr")
    with pytest.raises(ConfigurationError, match=r"unknown strategy 'zzz' \(choose from"):
        catalog.strategy("zzz")
    with pytest.raises(
        ConfigurationError, match=r"parameter of strategy 'shamir' 'treshold'; did you mean 'threshold'"
    ):
        catalog.build("shamir", {"treshold": 3})


def test_a_file_by_its_path(tmp_path: Path) -> None:
    path = plug_in(tmp_path / "catalog_by_path.py")
    kind = catalog.strategy(path)
    assert kind is catalog.strategy(path)  # loaded once
    assert kind().name == "catalog_by_path"
    assert kind is not Plain
    assert LocalFederation(kind(), 3).sum({1: [1], 2: [2], 3: [3]}).sum.vector.tolist() == [6]
    assert "catalog_by_path" not in catalog.names()


def test_a_file_by_this_machine_s_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = plug_in(tmp_path / "catalog_listed.py"), plug_in(tmp_path / "catalog_given.py")
    monkeypatch.setenv(catalog.FILES_VARIABLE, os.pathsep.join(["", first, ""]))
    assert "catalog_listed" in catalog.names()
    assert catalog.build("catalog_listed", {"value_bits": 12}).value_bits == 12
    assert catalog.build("catalog_given", {}, [second]).name == "catalog_given"
    monkeypatch.delenv(catalog.FILES_VARIABLE)
    with pytest.raises(ConfigurationError, match="unknown strategy 'catalog_listed'"):
        catalog.build("catalog_listed", {})


def test_a_message_never_names_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "was-run"
    path = plug_in(tmp_path / "catalog_fetched.py", f"open({str(marker)!r}, 'w')\n")
    for name in (path, "catalog_fetched.py", "./catalog_fetched.py", f"file:{path}"):
        with pytest.raises(ConfigurationError, match="a message names a strategy, never a file"):
            catalog.build(name, {})
    for name in (
        "catalog_fetched",
        path[:-3],
        "../catalog_fetched",
        "",
        "os",
        "plain\x00",
        "fedsec.strategies.plain",
        "_plain",
    ):
        with pytest.raises(ConfigurationError, match="unknown strategy"):
            catalog.build(name, {})
    assert not marker.exists()


@pytest.mark.parametrize(
    ("stem", "text", "said"),
    [
        ("catalog_syntax", "def broken(:\n", "cannot be loaded: SyntaxError"),
        ("catalog_import", "import no_such_package\n", "cannot be loaded: ModuleNotFoundError: .*no_such_package"),
        ("catalog_raises", "raise ValueError('broken inside')\n", "cannot be loaded: ValueError: broken inside"),
        ("catalog_empty", "x = 1\n", "defines 0 strategies"),
        ("catalog_borrows", "from fedsec.strategies.plain import Plain\n", "defines 0 strategies"),
        ("catalog_two", SOURCE.read_text(encoding="utf-8") + "\n\nclass Second(Plain): ...\n", "defines 2 strategies"),
    ],
)
def test_a_file_that_gives_none(tmp_path: Path, stem: str, text: str, said: str) -> None:
    path = plug_in(tmp_path / f"{stem}.py", text)
    for _ in range(2):  # and again, for a broken module must not stay behind
        with pytest.raises(ConfigurationError, match=f"{stem}.py.* {said}"):
            catalog.strategy(path)


def test_a_broken_file_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "catalog_mended.py"
    plug_in(path, SOURCE.read_text(encoding="utf-8") + "\nraise ValueError\n")
    with pytest.raises(ConfigurationError, match="ValueError"):
        catalog.strategy(str(path))
    plug_in(path)
    assert catalog.strategy(str(path))().name == "catalog_mended"


def test_a_file_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"strategy file .*nowhere\.py does not exist"):
        catalog.strategy(str(tmp_path / "nowhere.py"))
    with pytest.raises(ConfigurationError, match="does not exist"):
        catalog.strategy("~/no/such/file.py")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ConfigurationError, match="does not exist"):
        catalog.strategy(str(tmp_path / "folder.py"))
    monkeypatch.setenv(catalog.FILES_VARIABLE, f"{plug_in(tmp_path / 'catalog_text.txt')}")
    with pytest.raises(ConfigurationError, match="is not a Python file"):
        catalog.strategy("catalog_text")


def test_no_file_takes_a_built_in_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plug_in(tmp_path / "shamir.py")
    with pytest.raises(ConfigurationError, match="'shamir' is a built-in strategy; rename the file"):
        catalog.strategy(path)
    monkeypatch.setenv(catalog.FILES_VARIABLE, path)
    assert catalog.strategy("shamir") is Shamir
    assert catalog.build("shamir", {}, [path]) == Shamir()
    assert catalog.strategy(str(SOURCE)) is Plain  # the built-in's own file is the built-in


def test_two_files_of_one_name_cannot_both_be_loaded(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    catalog.strategy(plug_in(tmp_path / "one" / "catalog_twin.py"))
    with pytest.raises(ConfigurationError, match="two messages are called catalog_twin"):
        catalog.strategy(plug_in(tmp_path / "two" / "catalog_twin.py"))


def entry(name: str, loaded: Any) -> Any:
    def load() -> Any:
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    return SimpleNamespace(name=name, load=load)


def test_installed_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_module = catalog.strategy(plug_in(tmp_path / "by_module.py"))
    by_class = catalog.strategy(plug_in(tmp_path / "by_class.py"))
    points = [
        entry("by_module", sys.modules[by_module.__module__]),
        entry("by_class", by_class),
        entry("no_class", 7),
        entry("plain", Shamir),
        entry("other_name", Shamir),
        entry("gone", ImportError("it is not here")),
        entry("broken", AttributeError("no such attribute")),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points if group == catalog.GROUP else [])
    assert catalog.strategy("by_module") is by_module
    assert catalog.strategy("by_class") is by_class
    assert catalog.strategy("plain") is Plain  # an installed package cannot take a built-in's name
    for name, text in (
        ("no_class", "entry point 'no_class' is 7; a SecureSum was expected"),
        ("other_name", "it must have its module's name"),
        ("gone", "'gone' cannot be .*it is not here"),
        ("broken", "entry point 'broken' cannot be loaded: AttributeError: no such attribute"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            catalog.strategy(name)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"value_bits": 0}, "value_bits is 0; it must lie between 1 and 60"),
        ({"value_bits": 61}, "value_bits is 61"),
        ({"value_bits": "24"}, "value_bits is '24'; int was expected"),
        ({"value_bits": 24.0}, "value_bits is 24.0; int was expected"),
        ({"value_bits": True}, "value_bits is True; int was expected"),
        ({"floor": None}, "floor is None; int was expected"),
        ({"floor": 2}, "floor is 2; it must be at least 3: a sum of fewer than 3 inputs is never released"),
        ({"threshold": [3]}, r"threshold is \[3\]; int was expected"),
    ],
)
def test_parameters_that_cannot_work(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        catalog.build("shamir", parameters)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"key_bits": 2046}, "key_bits is 2046; it must be a multiple of 2 and lie between 2048 and 8192"),
        ({"key_bits": 1024}, "key_bits is 1024; it must be a multiple of 2 and lie between 2048 and 8192"),
        ({"key_bits": 2049}, "key_bits is 2049; it must be a multiple of 2"),
        ({"policy": "quick"}, "policy is 'quick'; choose from conservative, fast, uniform, standard"),
        ({"witness": 1}, "key_holder and witness are both party 1"),
        ({"key_holder_identity": 5}, "key_holder_identity is 5; str was expected"),
    ],
)
def test_paillier_parameters_that_cannot_work(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        catalog.build("paillier", parameters)
