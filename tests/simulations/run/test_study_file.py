"""study.toml: a run is repeated from what it left, and a study that a person wrote is read or refused in words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fedsec.app.config import RunConfig
from fedsec.errors import ConfigurationError
from fedsec.report import output
from fedsec.report.run_document import RunDocument
from fedsec.simulations.run import study_file
from fedsec.simulations.run.engines import Engine
from fedsec.simulations.run.study_file import FIELDS, NOT_HERE, Asked
from fedsec.strategy_spec import StrategySpec

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "pairwise_masks.py"


def rows(path: Path, more: int = 0) -> Path:
    """Rows of four hospitals, of which each has both classes."""
    ages = [20 + place * 7 % 60 for place in range(160 + more)]
    lines = [
        f"{'ABCD'[place % 4]},{age},{('icu', 'med')[place % 3 == 0]},{int(age + place % 5 > 52)}"
        for place, age in enumerate(ages)
    ]
    path.write_text("\n".join(["hospital,age,ward,died", *lines]) + "\n")
    return path


def _options(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "study.toml").read_text())
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_run_is_repeated_from_its_folder_bit_for_bit(fed: Any, tmp_path: Path) -> None:
    """With its strategy's file and its schema, which it holds as copies, and from the rows where they lie.

    The first repetition is in a process of its own: in this one the strategy's first file is loaded.
    """
    data, strategy = rows(tmp_path / "rows.csv"), tmp_path / "masks_of_a_study.py"
    strategy.write_text(EXAMPLE.read_text())
    schema = tmp_path / "agreed.toml"
    common = ("--data", str(data), "--site", "hospital", "--label", "died")
    assert fed("stats", *common, "--write-schema", str(schema))[0] == 0
    first = (
        "run",
        *common,
        "--schema",
        str(schema),
        "--engine",
        "local",
        "--rounds",
        "2",
        "--seed",
        "7",
        "--strategy",
        str(strategy),
    )
    code, _, err = fed(*first, "--output", "one")
    assert code == 0, err
    options = _options(tmp_path / "one")
    assert options["strategy"] == "masks_of_a_study.py" and (tmp_path / "one" / "masks_of_a_study.py").is_file()
    assert list(options["rows"]) == [str(data)] and options["seed"] == 7 and options["engine"] == "local"
    assert options["schema"] == "schema.toml" and (tmp_path / "one" / "schema.toml").read_text() == schema.read_text()
    strategy.unlink()
    schema.unlink()
    again = [sys.executable, "-c", "from fedsec.cli import main; main()", "run", "--like", "one", "--output", "two"]
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The model is that of" in done.stdout and "bit for bit" in done.stdout
    assert _options(tmp_path / "two")["made"] == options["made"]
    built_in = ("--strategy", "shamir")
    code, out, err = fed("run", "one/study.toml", "--seed", "8", "--output", "three", *built_in)
    assert code == 0 and "bit for bit" not in out, err
    assert _options(tmp_path / "three")["made"] != options["made"]
    rows(data, more=8)
    code, _, err = fed("run", "--like", "one", "--output", "four", *built_in)
    assert code != 0 and "rows.csv has changed since that run" in err and "--data" in err
    code, _, err = fed("run", "--like", "one", "--output", "four", "--data", str(data), *built_in)
    assert code == 0, err
    data.unlink()
    code, _, err = fed("run", "--like", "one", "--output", "five", *built_in)
    assert code != 0 and "is gone" in err


CONFIGS = [
    RunConfig(),
    RunConfig(strategy="packed_shamir", parameters='{"pack": 2, "server": "malicious"}', rounds=9, seed=0, clip=0.0),
    RunConfig(cohort="fixed", fraction=0.5, equal_weights=True, aggregator="fedadam", learning_rate=0.25, clients=7),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["defaults", "parameters", "options"])
def test_what_is_written_is_read_again(tmp_path: Path, config: RunConfig) -> None:
    made = output.read(ROOT / "tests" / "golden" / "result-1.json", RunDocument, "a run")
    study_file.write(tmp_path, Asked(config, Engine.LOCAL, 60.0, 2), made)
    found = study_file.read(tmp_path)
    options = dict(found.options)
    assert [options.pop(name) for name in ("engine", "timeout", "allow_void")] == [Engine.LOCAL, 60.0, 2]
    spec = StrategySpec.parse(options.pop("strategy"))
    assert RunConfig(**options, strategy=spec.name, parameters=spec.json) == config
    assert found.compared(made) == f"The model is that of {tmp_path}, bit for bit."
    other = found.compared(made.model_copy(update={"model_hash": "00"}))
    assert other.startswith(f"The model is not that of {tmp_path}")
    assert study_file.Study(tmp_path, {}).compared(made) == ""


def test_every_option_of_a_run_has_its_place_in_a_study() -> None:
    assert {*FIELDS.values()} == {*RunConfig.model_fields} - {*NOT_HERE}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rouns = 3", "unknown option 'rouns'; did you mean 'rounds'"),
        ("rounds = 'three'", "rounds is 'three'; a whole number was expected, at least 1"),
        ("rounds = [3]", r"rounds is \[3\]; one value was expected"),
        ("engine = 'cloud'", "unknown engine 'cloud'"),
        ("timeout = 'long'", "timeout is 'long'; a number was expected"),
        ("timeout = 0", "timeout is 0.0; it must be above 0 seconds"),
        ("allow-void = 0.5", "allow-void is 0.5; a whole number was expected"),
        ("output = 'here'", "unknown option 'output'"),
        ("made = 1", "made is 1; a table of texts was expected"),
        ("rounds = ", "is not TOML"),
        ("strategy = 'shamir:treshold=3'", "did you mean 'threshold'"),
        ("site = 'hospital'", "there are no rows for it"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused_with_file_option_and_cure(
    fed: Any, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "study.toml").write_text(text)
    code, out, err = fed("run", "study.toml")
    assert code != 0
    assert re.search(said, " ".join((out + err).split())), err
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_file_of_rows_in_a_study_s_place_is_taken_as_rows(fed: Any, tmp_path: Path) -> None:
    """As `fedsec stats` takes it."""
    rows(tmp_path / "rows.csv")
    words = ("--engine", "local", "--site", "hospital", "--label", "died", "--rounds", "1")
    for place, named in (("one", ("rows.csv",)), ("two", ("--data", "rows.csv"))):
        code, _, err = fed("run", *named, *words, "--output", place)
        assert code == 0, err
    hashes = {json.loads((tmp_path / place / "result.json").read_text())["model_hash"] for place in ("one", "two")}
    assert len(hashes) == 1
    code, _, err = fed("run", "rows.csv", "--data", "rows.csv", *words)
    assert code == 2 and "rows are given twice: rows.csv and --data rows.csv; name one of them" in err
    (tmp_path / "rows.sas7bdat").touch()
    code, _, err = fed("run", "rows.sas7bdat", *words)
    assert code == 2 and "SAS's own format" in err


def test_a_study_and_a_run_to_repeat_are_not_both_named(fed: Any, tmp_path: Path) -> None:
    code, _, err = fed("run", "study.toml", "--like", "one")
    assert code != 0 and "name one of them" in err
    code, _, err = fed("run", "--like", str(tmp_path / "nothing"))
    assert code != 0 and "there is no such file" in err


def test_paths_are_relative_to_the_study_and_lists_are_lists(tmp_path: Path) -> None:
    folder = tmp_path / "studies"
    folder.mkdir()
    files = 'data = "rows.csv"\nschema = "../s.toml"\nstrategy = "./mine.py:a=1"\n'
    (folder / "study.toml").write_text(files + 'drop = ["id", "name"]\nmissing = [-9, 999]\n')
    found = study_file.read(folder).options
    assert found == {
        "data": str(folder / "rows.csv"),
        "schema_file": str(folder / "../s.toml"),
        "drop": "id,name",
        "missing": "-9,999",
        "strategy": f"{folder}/mine.py:a=1",
    }


@pytest.mark.parametrize(
    ("value", "text"), [({"timeout": -1.0}, "timeout is -1.0"), ({"allow_void": -1}, "allow-void is -1")]
)
def test_what_is_asked_is_in_range(value: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Asked(RunConfig(), **value)
