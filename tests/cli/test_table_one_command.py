"""Table 1 as a user types it: by class, by site, of a run, as a file, and within 80 columns."""

from __future__ import annotations

import csv
import io
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedsec.app.config import RunConfig
from fedsec.data import table_one
from fedsec.report import run_document
from fedsec.simulations.run import hospitals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ABOUT = ("--site", "hospital", "--label", "died", "--person", "patient")


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    runpy.run_path(str(ROOT / "docs" / "examples" / "own_rows.py"), run_name="__main__")
    return pd.read_csv(tmp_path / "rows.csv")


def test_all_rows_by_class_are_those_of_pandas(fed: Any, rows: pd.DataFrame) -> None:
    code, out, err = fed("stats", "rows.csv", *ABOUT, "--part", "all", "--by-class", "--format", "json")
    assert (code, err) == (0, "")
    told = json.loads(out)["table_one"]
    assert told["rows"] == [len(rows), *rows.died.value_counts().sort_index()] and told["part"] == "all"
    groups = [rows, rows[rows.died == 0], rows[rows.died == 1]]
    for column in told["numbers"]:
        for cells, group in zip(column["groups"], groups, strict=True):
            values = group[column["name"]].dropna()
            assert cells["mean"] == pytest.approx(values.mean()) and cells["counted"] == len(values)
            for part, quantile in cells["quantiles"].items():
                assert abs(quantile["value"] - values.quantile(float(part))) <= quantile["within"]
    (ward,) = told["categories"]
    assert ward["groups"][2]["counts"] == groups[2].ward.value_counts()[ward["levels"]].tolist()


def test_the_table_fits_the_terminal_and_says_what_is_suppressed(fed: Any, rows: pd.DataFrame) -> None:
    for words in (
        ("--by-class",),
        ("--by-site",),
        ("--by-site", "--by-class"),
        ("--by-class", "--least-cell", "5"),
        (),
    ):
        code, out, err = fed("stats", "rows.csv", *ABOUT, *words)
        assert (code, err) == (0, "") and max(map(len, out.partition("Quantiles")[0].splitlines())) <= 80
        said = " ".join(out.split())
        assert "is off by less than ±" in said and ("suppressed" in said) == ("--least-cell" in words)
        assert ("only a simulation can show it" in said) == ("--by-site" in words)
        if "--by-site" in words:
            assert all(name in out for name in rows.hospital.unique())


def test_each_hospital_of_a_simulation_has_its_own_column(fed: Any, rows: pd.DataFrame) -> None:
    code, out, _ = fed("stats", "rows.csv", *ABOUT, "--part", "all", "--by-site", "--format", "csv")
    assert code == 0
    read = [one for one in csv.DictReader(io.StringIO(out)) if one["statistic"] == "rows"]
    assert {one["group"]: int(one["value"]) for one in read} == {
        "all hospitals": len(rows),
        **rows.hospital.value_counts().to_dict(),
    }


@pytest.mark.exhaustive
def test_a_run_keeps_it_and_shows_it_again(fed: Any, tmp_path: Path) -> None:
    """What the run's secure sum came to is what the same rows have, and no hospital's own figures are kept."""
    run = ("run", "--engine", "local", "--dataset", "lung", "--rounds", "1", "--epochs", "1", "--output", "out")
    code, _, err = fed(*run)
    assert code == 0, err
    document, _ = run_document.load(tmp_path / "out")
    kept = document.table_one
    assert kept is not None
    here = hospitals.of_config(RunConfig(dataset="lung"))
    expected = table_one.of_rows(here.train)
    assert (kept.rows, kept.categories) == (expected.rows, expected.categories)
    for one, other in zip(kept.numbers, expected.numbers, strict=True):
        assert [cells.bins for cells in one.groups] == [cells.bins for cells in other.groups]
        assert np.allclose([cells.mean for cells in one.groups], [cells.mean for cells in other.groups], rtol=1e-9)
    code, out, _ = fed("stats", "out", "--by-class")
    assert code == 0 and "183 training rows at 10 hospitals" in out and "status = 1" in out
    assert fed("stats", "out", "--by-class", "--format", "markdown")[1].startswith("|  | all | status: other |")
    code, _, err = fed("stats", "out", "--by-site")
    assert code == 2 and "holds no single hospital's figures" in err and "give the rows in place of the run" in err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<svg class="spark"') == 6 and "Table 1" in page and "Histogram of age" in page
    older = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    del older["table_one"]
    (tmp_path / "out" / "result.json").write_text(json.dumps(older), encoding="utf-8")
    code, _, err = fed("stats", "out")
    assert code == 2 and "is a run of an earlier release, which has no Table 1" in err
    assert fed("report", "out")[0] == 0 and "Histogram of age" not in (tmp_path / "out" / "report.html").read_text()


def test_what_a_deployment_left_is_shown_and_no_site_of_it(fed: Any, tmp_path: Path, rows: pd.DataFrame) -> None:
    here = hospitals.of_config(RunConfig(dataset="lung"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / table_one.FILE).write_text(table_one.of_rows(here.train, 5).to_json())
    code, out, _ = fed("stats", "out", "--by-class")
    assert code == 0 and "suppressed" in out
    code, _, err = fed("stats", "out", "--by-site")
    assert code == 2 and "in a deployment the server receives sums over all hospitals, and none of a single one" in err
    (tmp_path / "out" / table_one.FILE).write_text("{}")
    code, _, err = fed("stats", "out")
    assert code == 2 and "table-one.json is not a Table 1 of this release" in err
    code, _, err = fed("stats", "rows.csv", "--data", "rows.csv", *ABOUT)
    assert code == 2 and "give one of them" in err


@pytest.mark.usefixtures("brief")
def test_suspicions_are_told_as_counts_before_training(
    fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the terminal before the first round, on the page and in result.json; of the hospitals their number alone."""
    monkeypatch.chdir(tmp_path)
    rng, lines = np.random.default_rng(4), ["site,age,lactate,died"]
    for site in ("north", "south", "east", "west", "inner"):
        for row in range(40):
            lactate = 1 if site in ("south", "east") else round(rng.gamma(2.0, 1.0), 1)
            lines.append(f"{site},{rng.integers(30, 90)},{lactate},{row % 2}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    about = ("--data", "rows.csv", "--site", "site", "--label", "died", "--rounds", "1", "--epochs", "1")
    code, _, err = fed("run", "--engine", "local", *about, "--output", "out")
    said = "2 of 5 hospitals: column 'lactate' never varies"
    assert code == 0 and said in err and err.index(said) < err.index("round 1/1")
    document, _ = run_document.load(tmp_path / "out")
    assert document.table_one is not None and document.table_one.suspected == (said,)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"<li>{said.replace(chr(39), '&#39;')}.</li>" in page
    code, out, _ = fed("stats", "rows.csv", "--site", "site", "--label", "died")
    assert code == 0 and f"Warning: {said}" in out and "south" not in out
    told = json.loads(fed("stats", "rows.csv", "--site", "site", "--label", "died", "--json")[1])
    assert told["suspected"] == [said]
