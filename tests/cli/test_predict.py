"""`fedsec predict`: a run's model on a file of new rows, and its model card."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsec
from fedsec.learning import trained_model
from fedsec.learning.intervals import student_95
from tests.report.test_card_section import sentences, text_of

pytestmark = pytest.mark.slow  # the run that they share takes seconds

RUN = ("run", "--engine", "local", "--dataset", "lung", "--rounds", "2", "--output", "out")
NEW = """age,sex,ph.ecog,ph.karno,pat.karno,meal.cal,wt.loss,who
60,1,1,90,80,1000,5,a
430,3,1,90,80,,5,b
70,2,x,80,,900,,c
55,2,0,100,90,,0,"d, e"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in this process."""
    from typer.main import get_command

    from fedsec.cli.main import app

    folder = tmp_path_factory.mktemp("run") / "out"
    get_command(app).main([*RUN[:-1], str(folder)], standalone_mode=False)
    return folder


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text(NEW)
    return tmp_path


def test_rows_are_scored_and_refused_in_words(fed: Any, run: Path, new: Path) -> None:
    code, out, err = fed("predict", str(run), "new.csv")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Scored 2 of 4 rows of new.csv: new-scored.csv",
        "interval_low, interval_high: the share with status = 1 of rows that were given about the same probability, at "
        "95%; from 45 test rows, which no hospital trained on",
        "Not read by the model: who",
        "Refused: row 2: age is 430, outside of the range 0 to 120 that was agreed on; sex is '3', none of its levels "
        "1, 2",
        "Refused: row 3: ph.ecog is 'x', no number",
    ]
    with (new / "new-scored.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["who"] for row in rows] == ["a", "b", "c", "d, e"]
    assert [bool(row["refused"]) for row in rows] == [False, True, True, False]
    kept = [rows[0], rows[3]]
    model: Any = fedsec.load_model(run)
    chance = model.predict_proba({name: [row[name] for row in kept] for name in model.feature_names_in_})[:, 1]
    assert np.allclose([float(row["status probability"]) for row in kept], chance, atol=1e-6)
    assert [row["status predicted"] for row in kept] == ["1" if value >= 0.5 else "not 1" for value in chance]
    told = json.loads((run / "result.json").read_text())["clinical"]["test"]["groups"]
    for row, found in zip(kept, chance, strict=True):
        groups = [one["interval"] for one in told if one["low"] <= found <= one["high"]]
        got = [float(row[name]) for name in ("interval_low", "interval_high") if row[name]]
        assert np.allclose(got, groups[0], atol=1e-6) if groups else not got or told[0]["low"] < found
    assert any(row["interval_low"] for row in kept) and not rows[1]["interval_low"] and not rows[2]["interval_high"]
    code, _, err = fed("predict", str(run), "new.csv")
    assert code == 2 and "new-scored.csv exists already; choose another, or replace it with --force" in err
    words = ("predict", str(run / "model.safetensors"), "new.csv", "--threshold", "0.01", "--force", "--json")
    code, out, _ = fed(*words)
    assert code == 0 and json.loads(out)["scored"] == 2 and list(json.loads(out)["refused"]) == ["2", "3"]
    with (new / "new-scored.csv").open() as file:
        assert [row["status predicted"] for row in csv.DictReader(file)] == ["1", "", "", "1"]


@pytest.mark.parametrize(
    ("words", "content", "match"),
    [
        (("nowhere",), NEW, "there is no model at nowhere: name the folder of a finished `fedsec run`"),
        (("RUN", "--threshold", "2"), NEW, "threshold is 2.0; a probability between 0 and 1 was expected"),
        (("RUN",), NEW.replace("age", "Age"), "columns that are missing here: 'age' (there is 'Age')"),
        (("RUN",), NEW.replace("who", "refused"), "new.csv has a column 'refused' already"),
        (("RUN",), "\n".join(NEW.splitlines()[:1] + NEW.splitlines()[2:3]), "every row was refused; row 1: age is 430"),
    ],
)
def test_what_cannot_be_scored_is_said_and_nothing_is_written(
    words: tuple[str, ...], content: str, match: str, fed: Any, run: Path, new: Path
) -> None:
    (new / "new.csv").write_text(content)
    code, out, err = fed("predict", str(run) if words[0] == "RUN" else words[0], "new.csv", *words[1:])
    assert code in (1, 2) and match in err and not out
    assert sorted(path.name for path in new.iterdir()) == ["new.csv"]


def test_the_card_says_what_the_run_found(run: Path) -> None:
    card = (run / "model-card.md").read_text()
    document = json.loads((run / "result.json").read_text())
    assert "# Model card: status" in card and "nobody has validated it for care" in card
    assert f"{sum(document['rows'])} rows at 10 hospitals" in card
    low, high = document["intervals"]["federated"]
    assert f"- auc: {document['quality']['federated']['auc']:.4f}" in card
    assert f"- 95% interval of auc: {low:.3f} to {high:.3f}" in card
    assert "| meal.cal | 0 to 10000 | mean " in card and "% missing |" in card
    model = fedsec.load_model(run)
    for one in model.coefficients():
        assert f"| {one.feature} | {one.scaled:+.3f} |" in card
    groups = [line.split(" | ") for line in card.splitlines() if " to " in line and line.startswith("| 0.")]
    told = [int(group[2].replace(",", "")) for group in groups]
    assert told == [group["rows"] for group in document["clinical"]["pooled"]["groups"]]
    assert len(told) > 3 and sum(told) == sum(document["rows"])
    for name in ("sensitivity", "brier", "calibration_slope"):
        assert f" | {document['clinical']['pooled']['measures'][name]:.3f} | " in card
    assert "- threshold: 0.5" in card and "- threshold chosen: set, not chosen from rows" in card
    stated = json.loads((run / "disclosure.json").read_text())
    for section in stated["sections"]:
        of_later_rounds = [f"{text[:1].upper()}{text[1:]}." for text in document["warnings"]]
        assert all(text in card for text in section["sentences"] if text not in of_later_rounds)


def test_a_number_has_an_interval_and_a_model_without_one_says_why(fed: Any, run: Path, new: Path) -> None:
    code, _, err = fed("run", "--engine", "local", "--dataset", "diabetes", "--rounds", "1", "--output", "number")
    assert code == 0, err
    rmse = json.loads((new / "number" / "result.json").read_text())["quality"]["federated"]["rmse"]
    (new / "rows.csv").write_text("age,sex,bmi,bp,s1,s2,s3,s4,s5,s6\n" + ",".join(["0.01"] * 10) + "\n")
    assert fed("predict", "number", "rows.csv")[0] == 0
    with (new / "rows-scored.csv").open() as file:
        (row,) = csv.DictReader(file)
    low, middle, high = (float(row[name]) for name in ("interval_low", "target predicted", "interval_high"))
    assert np.allclose([middle - low, high - middle], rmse * student_95(89), rtol=1e-4)  # of 89 test rows
    assert f"(root mean square {rmse:.4g}); from 89 test rows" in (new / "number" / "model-card.md").read_text()
    replace(trained_model.read(run), intervals=None).write(new / "older.safetensors")
    code, out, _ = fed("predict", "older.safetensors", "new.csv")
    assert code == 0 and "There are no intervals: the final model was not evaluated" in out
    with (new / "new-scored.csv").open() as file:
        assert {row["interval_low"] + row["interval_high"] for row in csv.DictReader(file)} == {""}
    assert json.loads(fed("predict", "older.safetensors", "new.csv", "--force", "--json")[1])["intervals"] is None


def test_the_page_has_the_card_word_for_word(fed: Any, run: Path, tmp_path: Path) -> None:
    """And what its user adds to the file, once `fedsec report` made the page again."""
    run = Path(shutil.copytree(run, tmp_path / "run"))
    card = run / "model-card.md"
    for added in ("", "For the ward of north, *by* its staff."):
        if added:
            card.write_text(card.read_text().replace("Research.", f"Research. {added}"))
            assert fed("report", str(run))[0] == 0
        markup = (run / "report.html").read_text().split('id="card-title"')[1].split("</section>")[0]
        said = text_of("<h2" + re.sub("<summary>.*?</summary>", "", markup))
        expected = " ".join(sentences(card.read_text())).replace("*by*", "by")
        assert said.replace(" .", ".").startswith(expected), (expected, said)
        assert added.replace("*", "") in said


@pytest.mark.usefixtures("brief")
def test_new_rows_are_read_as_the_hospitals_rows_were(fed: Any, new: Path) -> None:
    """A date, a code for a missing value and a level in another case, from a file of another format."""
    tables = Path(__file__).parents[1] / "data" / "tables"
    about = ("--site", "hospital", "--person", "patient", "--label", "died", "--missing", "-9")
    dates = ("--dates", "admitted=days since 2021-01-01")
    source = tables / "01_german_excel.csv"
    words = ("run", "--engine", "local", "--data", str(source), *about, *dates, "--rounds", "1", "--output", "own")
    assert fed(*words)[0] == 0
    code, out, _ = fed("predict", "own", str(source))
    assert code == 0 and "Scored 600 of 600 rows of 01_german_excel.csv: 01_german_excel-scored.csv" in out
    with (new / "01_german_excel-scored.csv").open() as file:
        expected = [row["died probability"] for row in csv.DictReader(file)]
    (new / "one.tsv").write_text(
        "ward\tadmitted\tsbp\tcreatinine\tage\n"
        "ICU\t2022-10-24\t136\t0.75\t19\nICU\t2022-10-24\t-9\t0.75\t19\nicu\tlater\t136\t0.75\t19\n"
    )
    code, out, _ = fed("predict", "own", "one.tsv", "--json")
    assert code == 0 and json.loads(out)["refused"] == {"3": "admitted is 'later', no date"}
    with (new / "one-scored.csv").open() as file:
        got = [row["died probability"] for row in csv.DictReader(file)]
    assert got[0] == expected[0] and got[1] != got[0] and got[2] == ""
