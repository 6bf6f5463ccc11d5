"""result.json: what earlier releases wrote is read, and what is written today has the same form."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedsec import catalog
from fedsec.disclosure import DISCLOSURE, statement
from fedsec.encoding.mean_spec import MeanSpec
from fedsec.errors import ConfigurationError
from fedsec.flower.verdict import Round
from fedsec.metering import Ledger
from fedsec.report import run_page
from fedsec.report.run_document import Aggregation, Intervals, Quality, RunDocument, final_table, load

SINCE: dict[str, Any] = {"unusable": 0, "warnings": []}
"""What an aggregation has since, as it is read from older documents."""
SINCE_OF_A_RUN: dict[str, Any] = {"about": None, "clinical": None, "table_one": None}
"""The same of a whole document."""
SINCE_OF_STATISTICS: dict[str, Any] = {"target_shares": []}
GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `fedsec run` left behind before the document was typed."""
    shutil.copy(GOLDEN / "result-1.json", tmp_path / "result.json")
    shutil.copy(GOLDEN / "ledger-1.csv", tmp_path / "ledger.csv")
    return tmp_path


def test_a_document_of_format_1_is_read_and_written_with_what_came_since(folder: Path) -> None:
    document, rows = load(folder)
    written, old = json.loads(document.to_json()), json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert {key: written.pop(key) for key in SINCE_OF_A_RUN} == SINCE_OF_A_RUN
    assert {key: written["statistics"].pop(key) for key in SINCE_OF_STATISTICS} == SINCE_OF_STATISTICS
    for aggregation in written["rounds"]:
        assert {key: aggregation.pop(key) for key in SINCE} == SINCE
    assert written == old
    Ledger(list(rows)).write(folder / "again.csv")
    assert (folder / "again.csv").read_text() == (folder / "ledger.csv").read_text()


@pytest.mark.slow
def test_a_document_of_format_1_has_all_that_the_page_shows(folder: Path) -> None:
    names = {path.name for path in run_page.write(folder)}
    assert {"curve-loss.svg", "curve-auc.svg", "intervals.svg", "phases-cpu.svg", "phases-bytes.svg"} <= names
    text = (folder / "report.html").read_text(encoding="utf-8")
    for part in ("breast-cancer across 5 hospitals", "0.992 to 1.00", "hospital 5 alone", "mobile", "91"):
        assert part in text, part
    assert "None" not in text and "no ledger.csv" not in text


@pytest.mark.slow
def test_the_page_shows_the_disclosure_statement_where_the_run_left_one(folder: Path) -> None:
    run_page.write(folder)
    assert "Who could learn what" not in (folder / "report.html").read_text(encoding="utf-8")
    rounds = [Round(1, "train", 5, 5, (1, 2, 3, 4, 5), 455, metrics={"<loss>": 0.5})]
    stated = statement(catalog.strategy("secagg")(), MeanSpec(4.0, 1000), rounds)
    (folder / DISCLOSURE).write_text(stated.to_json(), encoding="utf-8")
    run_page.write(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    for part in ("Who could learn what", "4 of 5 hospitals and the server together", "&lt;loss&gt;", "An outsider"):
        assert part in text, part
    (folder / DISCLOSURE).write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not a disclosure statement of this release: format"):
        run_page.write(folder)


def test_every_key_of_the_form_is_in_the_old_document(folder: Path) -> None:
    """The form has no key that format 1 lacked but those, and none of its keys is skipped."""
    old: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert set(RunDocument.model_fields) == set(old) | set(SINCE_OF_A_RUN)
    assert set(Aggregation.model_fields) == set(old["rounds"][0]) | set(SINCE)
    assert set(Quality.model_fields) == set(old["quality"]) and set(Intervals.model_fields) == set(old["intervals"])


def test_what_is_not_a_number_is_null(folder: Path) -> None:
    document, _ = load(folder)
    quality = document.quality.model_dump() | {"pooled": {"loss": math.inf, "auc": math.nan}}
    spans = {**(document.intervals.model_dump() if document.intervals else {}), "pooled": (math.nan, 1.0)}
    changed = RunDocument.model_validate(document.model_dump() | {"quality": quality, "intervals": spans})
    written = json.loads(changed.to_json())
    assert written["quality"]["pooled"] == {"loss": None, "auc": None}
    assert written["intervals"]["pooled"] == [None, 1.0]


def test_the_final_table_is_that_of_the_terminal_and_the_page(folder: Path) -> None:
    document, _ = load(folder)
    table = final_table(document)
    assert [model.who for model in table[:4]] == [
        "federated, shamir",
        "plain FedAvg",
        "pooled data",
        "each alone, mean",
    ]
    assert [model.who for model in table[4:]] == [f"hospital {number} alone" for number in range(1, 6)]
    losses = [model.quality["loss"] or 0.0 for model in table[4:]]
    assert table[3].quality["loss"] == pytest.approx(sum(losses) / 5) and table[3].interval is None
    assert table[0].interval == (document.intervals.federated if document.intervals else None)


def test_a_ledger_that_was_cut_is_refused_in_words(tmp_path: Path) -> None:
    shutil.copyfile(GOLDEN / "result-1.json", tmp_path / "result.json")
    whole = (GOLDEN / "ledger-1.csv").read_bytes()
    (tmp_path / "ledger.csv").write_bytes(whole[:900])
    with pytest.raises(ConfigurationError, match=r"ledger\.csv is not a ledger"):
        load(tmp_path)
