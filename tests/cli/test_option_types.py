"""Whole numbers and paths as people write them, in every option of every command that is one."""

from __future__ import annotations

import importlib
import json
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec.cli.lazy_group import as_command
from fedsec.cli.main import COMMANDS
from fedsec.cli.option_types import UserPath, WholeNumber, whole_number
from fedsec.cli.poster import EXPERIMENTS
from tests.tiers import slow

SAME = [
    "1000000",
    "1_000_000",
    "1e6",
    "1E6",
    "1e+6",
    "1.0e6",
    "10e5",
    "1000000.0",
    " 1000000 ",
    "1M",
    "1m",
    "1000k",
    "1_000K",
    "0.001G",
    "1e3k",
]
NONE = [
    "1.5",
    "1e-3",
    "0.001",
    "inf",
    "-inf",
    "nan",
    "snan",
    "1e400",
    "1e999999999",
    "",
    "x",
    "1,000",
    "0x10",
    "1e",
    "k",
    "1.0005k",
    "M5",
    "1kM",
    "nank",
    "infM",
    "1T",
    "1 GiB",
    "1e999999999999999999M",
]


@pytest.mark.parametrize("text", SAME)
def test_one_number_written_in_many_ways(text: str) -> None:
    assert whole_number(text) == 1_000_000 and whole_number(f"-{text.strip()}") == -1_000_000


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (whole )?number"):
        whole_number(text)


def test_a_model_s_size_as_papers_write_it() -> None:
    assert whole_number("11.2M") == 11_200_000 and whole_number("7G") == 7 * 10**9 and whole_number("-2k") == -2000


@given(st.integers(-(10**29), 10**29))
def test_every_integer_is_exact(number: int) -> None:
    assert whole_number(str(number)) == whole_number(f"{number:_}") == whole_number(f"{number}e0") == number


@pytest.mark.slow  # some of them import Flower
@pytest.mark.parametrize(("name", "one"), [*COMMANDS.items(), *EXPERIMENTS.items()])
def test_every_integer_option_of_every_command_reads_them(name: str, one: Any) -> None:
    module, _, attribute = one.path.partition(":")
    made = as_command(name, getattr(importlib.import_module(module), attribute))
    kinds = [parameter.type for parameter in made.params]
    assert not [kind for kind in kinds if isinstance(kind, click.types.IntParamType) and type(kind) is not WholeNumber]
    assert not [kind for kind in kinds if isinstance(kind, click.types.Path) and type(kind) is not UserPath]
    if name in ("run", "partition", "plan", "compare", "network"):
        assert WholeNumber in map(type, kinds)


@pytest.mark.slow
def test_a_plan_of_a_million_parameters(fed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from fedsec.simulations.costs.predict import cost_model
    from tests.simulations.costs.test_estimate import fitted

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fitted(["plain"]).write(cost_model.home())  # a calibration would take seconds
    code, out, err = fed("plan", "--parameters", "1_000_000", "--strategies", "plain", "--hospitals", "3e0", "--json")
    assert code == 0, err
    assert json.loads(out)["setting"]["parameters"] == 1_000_000 and json.loads(out)["setting"]["hospitals"] == 3


@pytest.mark.parametrize("text", ["1.5", "1e-3", "many"])
def test_what_is_none_is_refused_by_the_option_s_name(fed: Any, text: str) -> None:
    for words in (("plan", "--parameters", text), ("partition", "--clients", text), ("compare", "--repetitions", text)):
        code, out, err = fed(*words)
        shown = " ".join(err.replace("│", " ").split())
        assert (code, out) == (2, "")
        assert f"Invalid value for '{words[1]}'" in shown and f"'{text}' is not a" in shown
    code, _, err = fed("compare", "--parameters", text)
    assert code == 2 and f"parameters: '{text}' is not a" in err


@pytest.mark.parametrize(
    "words",
    [
        ("init",),
        ("new-strategy", "mine", "--output"),
        ("report",),
        *slow([(("partition", "--output"),)]),  # which loads rows first
        ("stats", "--write-schema"),
        ("plan", "--output"),
        ("plan", "--against"),
        ("compare", "--output"),
        ("run", "--output"),
        ("run", "--data"),
        ("run", "--schema"),
    ],
)
@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "n" * 300, "file/below"])
def test_a_path_that_cannot_be_is_refused_in_words(fed: Any, tmp_path: Any, words: tuple[str, ...], path: str) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    if path == "file/below" and words[0] in ("plan", "compare", "run"):
        return  # found out when the folder is made, after what takes long
    code, out, err = fed(*words, path)
    assert code in (1, 2) and out == "" and "Traceback" not in err and err


def test_a_home_folder_is_written_out(fed: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code, _, err = fed("init", "~/study")
    assert code == 0, err
    assert (tmp_path / "home" / "study" / "pyproject.toml").is_file()
