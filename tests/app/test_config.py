"""RunConfig is the one place of a run's options: the command line and `pyproject.toml` say what it says."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from fedsec.app.config import RunConfig, choices, limits
from fedsec.cli.partition import partition
from fedsec.cli.run import run
from fedsec.cli.run_options import ROWS, RUN, help_of, with_config
from fedsec.cli.stats import stats
from fedsec.errors import ConfigurationError, FedsecError
from fedsec.simulations.run.partitions import PARTITIONINGS
from tests.tiers import examples

ROOT = Path(__file__).parents[2]
OPTIONS = set(RUN)


def test_the_declared_configuration_is_that_of_the_command() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert declared == RunConfig.model_validate({}).model_dump(by_alias=True)


def test_every_option_has_a_label_and_a_help_of_its_own() -> None:
    fields = RunConfig.model_fields.values()
    assert all(field.title and (field.description or "").endswith(".") for field in fields)
    assert len({field.title for field in fields}) == len({field.description for field in fields}) == len(fields)
    assert len(RunConfig.labels()) == len(fields) and RunConfig.labels()["batch-size"] == "batch size"


@pytest.mark.parametrize(
    ("command", "names"),
    [(run, OPTIONS), (stats, {*ROWS, "strategy", "parameters", "least_cell"}), (partition, set(ROWS))],
)
def test_a_command_has_the_options_of_the_fields(command: Any, names: set[str]) -> None:
    app = typer.Typer()
    app.command()(command)
    shown = {parameter.name: parameter for parameter in get_command(app).params}
    assert names <= set(shown) and not (set(RunConfig.model_fields) - names - {"output"}) & set(shown)
    for name in names:
        field, parameter = RunConfig.model_fields[name], shown[name]
        assert getattr(parameter, "help", None) == help_of(name)
        assert name == "parameters" or parameter.default == field.default
        assert name == "partition" or f"--{field.alias}".startswith(parameter.opts[0])


def test_help_adds_choices_and_limits() -> None:
    assert choices("partition") == ["auto", "natural", *PARTITIONINGS]
    assert help_of("fraction").endswith("Above 0 and at most 1.") and help_of("rounds").endswith("At least 1.")
    assert help_of("cohort").endswith("One of sampled, fixed.") and "fedyogi" in help_of("aggregator")


def test_a_command_gets_the_checked_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    got: list[RunConfig] = []

    @with_config(*OPTIONS, one_class=True)
    def command(config: RunConfig, *, extra: int = 1) -> None:
        got.append(config)

    app = typer.Typer()
    app.command()(command)
    words = ["-p", "threshold=4", "--data", "rows.csv", "--site", "ward", "--schema", "agreed.toml", "--rounds", "2"]
    get_command(app).main([*words, "--equal-weights"], standalone_mode=False)
    [config] = got
    assert json.loads(config.parameters) == {"threshold": 4} and config.rounds == 2 and config.equal_weights
    assert (config.data, config.schema_file) == (str(tmp_path / "rows.csv"), str(tmp_path / "agreed.toml"))
    assert config.one_class and config.model_dump(exclude=set(RunConfig.model_fields) - {"clip", "epochs"}) == {
        "clip": 4.0,
        "epochs": 5,
    }
    with pytest.raises(ConfigurationError, match="rounds is 0"):
        get_command(app).main(["--rounds", "0"], standalone_mode=False)


@pytest.mark.slow
def test_the_configuration_is_light() -> None:
    """A hospital's node reads it: neither Ray nor Flower nor a drawing library comes with it."""
    heavy = ("ray", "flwr", "matplotlib", "sklearn", "pandas", "torch")
    script = f"import sys, fedsec.app.config; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ODD: list[Any] = [
    "many",
    None,
    [1],
    {},
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    -1e300,
    -1,
    0,
    1.5,
    2**32,
    "1e",
    b"1",
    object(),
]


def in_our_words(text: str) -> bool:
    """No text of the library's that checks the fields."""
    return not re.search(r"input should|validat|unable to parse|pydantic|greater|less than", text, re.IGNORECASE)


@pytest.mark.parametrize("name", RunConfig.model_fields)
def test_a_value_that_does_not_fit_is_refused_in_our_words(name: str) -> None:
    """Field, value, limit and, where there is one, the default."""
    field, refused = RunConfig.model_fields[name], 0
    for value in ODD:
        try:
            RunConfig.parse({field.alias or name: value})
        except ConfigurationError as error:
            text, refused = str(error), refused + 1
            assert text.startswith(f"{field.alias} is {value!r}; ") and text.count("was expected") == 1
            assert in_our_words(text)
            assert limits(name) in text and (not field.default or f"default {field.default}" in text or choices(name))
    assert refused >= 3


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"rounds": 0}, "rounds is 0; a whole number was expected, at least 1 (default 5)"),
        ({"clip": -1.0}, "clip is -1.0; a finite number was expected, at least 0 (default 4.0)"),
        ({"clip": math.inf}, "clip is inf; a finite number was expected, at least 0 (default 4.0)"),
        ({"fraction": 1.5}, "fraction is 1.5; a finite number was expected, above 0 and at most 1 (default 1.0)"),
        (
            {"seed": 2**32},
            "seed is 4294967296; a whole number was expected, at least 0 and below 4,294,967,296 (default 1)",
        ),
        ({"batch-size": 2.5}, "batch-size is 2.5; a whole number was expected, at least 1 (default 16)"),
        ({"batch_size": "x"}, "batch-size is 'x'; a whole number was expected, at least 1 (default 16)"),
        ({"cohort": "some"}, "cohort is 'some'; one of sampled, fixed was expected"),
        ({"one-class": "perhaps"}, "one-class is 'perhaps'; true or false was expected"),
        ({"site": 7}, "site is 7; a text was expected"),
        ({"site": ["x" * 500]}, f"site is ['{'x' * 198}…; a text was expected"),
        ({"round": 3}, "unknown option 'round'; did you mean 'rounds'?"),
    ],
)
def test_errors_of_fields(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        RunConfig.read(values)


@given(
    st.dictionaries(
        st.sampled_from(sorted(field.alias or name for name, field in RunConfig.model_fields.items())) | st.text(),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
        max_size=4,
    )
)
@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_configuration_is_read_or_refused_in_our_words(values: dict[str, Any]) -> None:
    try:
        RunConfig.read(values)
    except FedsecError as error:
        assert in_our_words(str(error).replace(repr(values), ""))


def test_too_few_hospitals_are_refused_and_what_joined_them_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"clients is 2; secure aggregation needs at least 3 hospitals$"):
        RunConfig.read({}).prove(2)
    with pytest.raises(ConfigurationError, match="sites with fewer than 30 rows count as one: lower minimum-rows"):
        RunConfig.read({"minimum-rows": 30}).prove(2)
