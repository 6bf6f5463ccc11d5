"""`fedsec new-strategy` and `fedsec init`: what they write works as it is, and nothing of one's own is overwritten."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fedsec.testing import Conformance

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.slow
def test_a_new_strategy_passes_its_test_as_it_is(fed: Any, tmp_path: Path) -> None:
    code, out, _ = fed("new-strategy", "my_masks", "--output", "mine")
    assert code == 0 and "python -m pytest mine/test_my_masks.py" in out
    folder = tmp_path / "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["my_masks.py", "test_my_masks.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_masks.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    tests = [name for name in dir(Conformance) if name.startswith("test_")]
    assert done.returncode == 0 and found and int(found[1]) >= len(tests), done.stdout
    code, out, _ = fed("strategies", str(folder / "my_masks.py"), "--json")
    assert [one for one in json.loads(out)["strategies"] if one["name"] == "my_masks"]


def test_a_new_strategy_is_the_documented_one_with_comments(fed: Any, tmp_path: Path) -> None:
    fed("new-strategy", "pairwise_masks")
    written, documented = (tmp_path / "pairwise_masks.py").read_text(), (EXAMPLES / "pairwise_masks.py").read_text()
    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(documented))
    assert written.count("#") > 10 > documented.count("#")


def test_a_new_app_is_the_documented_one(fed: Any, tmp_path: Path) -> None:
    """tests/flower runs the documented one."""
    code, out, _ = fed("init", "Secured App")
    assert code == 0 and "flwr run . --stream" in out
    app, documented = tmp_path / "Secured-App", EXAMPLES / "secured_app"
    for path in ("pyproject.toml", "secured_app/client_app.py", "secured_app/server_app.py", "secured_app/__init__.py"):
        assert (app / path).read_text() == (documented / path).read_text(), path
    assert "# Secured app\n" in (app / "README.md").read_text() and "{" not in (app / "README.md").read_text()
    code, out, _ = fed("init", "other", "--json")
    assert code == 0 and str(tmp_path / "other" / "README.md") in json.loads(out)["written"]
    assert "other.server_app:app" in (tmp_path / "other" / "pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("my_study", "my-study"),
        ("our-study", "our-study"),
        ("Trial 7b", "Trial-7b"),
        ("ICU_2.0", "ICU-2-0"),
        ("x" * 32, "x" * 32),
    ],
)
def test_flower_builds_what_is_written(
    fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    from flwr.cli.build import build

    monkeypatch.setattr(sys, "path", [*sys.path])  # Flower adds the app's folder
    code, out, _ = fed("init", name)
    assert code == 0 and f"cd {folder}\n" in out
    assert ("Flower takes letters" in out) == (name != folder)
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    build(tmp_path / folder)
    [bundle] = tmp_path.glob("*.fab")
    with zipfile.ZipFile(bundle) as files:
        package = folder.lower().replace("-", "_")
        assert {f"{package}/{file}.py" for file in ("__init__", "client_app", "server_app")} < set(files.namelist())
        project = tomllib.loads(files.read("pyproject.toml").decode())["project"]
    assert project["dependencies"] == []
    readme = (tmp_path / folder / "README.md").read_text()
    assert "'/path/to/fedsec[simulation]'" in readme and "Do not install `fedsec` by its name alone" in readme


def test_an_empty_folder_whose_name_flower_does_not_take_is_left_alone(fed: Any, tmp_path: Path) -> None:
    (tmp_path / "my_study").mkdir()
    code, _, err = fed("init", "my_study")
    assert code == 2 and "Flower builds no app in a folder of that name: use my-study" in err
    assert [path.name for path in tmp_path.iterdir()] == ["my_study"]
    (tmp_path / "fine").mkdir()
    assert fed("init", "fine")[0] == 0 and (tmp_path / "fine" / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new-strategy", "My-Masks"), "small letters"),
        (("new-strategy", "class"), "no word of Python"),
        (("new-strategy", "test_me"), "not test_"),
        (("new-strategy", "shamir"), "there is a strategy of that name"),
        (("new-strategy", "masked"), "Masked is a name in the file already"),
        (("new-strategy", "sum"), "Sum is a name in the file already"),
        (("new-strategy", "random"), "Python has a module of that name"),
        (("init", "pandas"), "would hide another"),
        (("new-strategy", "taken"), "taken.py exists already"),
        (("new-strategy", "mine", "--output", "file/below"), "cannot be written"),
        (("init", "full"), "exists already, and is not an empty folder"),
        (("init", "file"), "exists already"),
        (("init", "file/below"), "cannot be written"),
        (("init", "123"), "a letter first"),
        (("init", "Köln"), "letters a to z"),
        (("init", "x" * 33), "at most 32 characters"),
        (("init", "class"), "no word of Python"),
        (("init", "flwr"), "would hide another"),
        (("init", "json"), "would hide another"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(
    words: tuple[str, ...], said: str, fed: Any, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    for name in ("full/thesis.tex", "file", "taken.py"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    code, out, err = fed(*words)
    assert code == 2 and out == "" and said in " ".join(err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "taken.py"]
    assert (tmp_path / "taken.py").read_text() == "mine"


def test_force_replaces(fed: Any, tmp_path: Path) -> None:
    (tmp_path / "taken.py").write_text("mine", encoding="utf-8")
    assert fed("new-strategy", "taken", "--force")[0] == 0
    assert "class Taken(" in (tmp_path / "taken.py").read_text()
