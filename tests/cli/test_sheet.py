"""`fedsec sheet`: two pages for data protection officers, of what the run itself states."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedsec import catalog
from fedsec.app.config import RunConfig
from fedsec.app.protection_sheet import sheet
from fedsec.disclosure import DISCLOSURE, statement
from fedsec.report.pdf import pdf
from fedsec.report.run_document import load
from fedsec.report.short_document import Part
from fedsec.simulations import run
from fedsec.strategy_spec import StrategySpec
from tests.tiers import exhaustive

pytestmark = pytest.mark.slow

FEW = ("additive", "paillier", "secagg_plus")
"""A strategy of shares, one of ciphertexts, one of masks."""
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def pages(data: bytes) -> int:
    """How many pages a PDF says that it has."""
    found = re.search(rb"/Count (\d+)", data)
    assert data.startswith(b"%PDF-") and found
    return int(found[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run."""
    place = tmp_path_factory.mktemp("sheet") / "run"
    run(strategy="secagg", rounds=1, progress=False, output=place)
    return place


def test_it_is_two_pages_of_what_the_run_states(fed: Any, folder: Path, tmp_path: Path) -> None:
    code, out, err = fed("sheet", str(folder), "-o", "board.pdf")
    assert code == 0 and "board.pdf" in out, err
    assert pages((tmp_path / "board.pdf").read_bytes()) == 2
    code, _, err = fed("sheet", str(folder), "-o", "board.pdf")
    assert code == 2 and "exists already" in err
    assert fed("sheet", str(folder), "-o", "board.pdf", "--force")[0] == 0
    code, text, _ = fed("sheet", str(folder), "--markdown")
    assert code == 0
    stated = (folder / DISCLOSURE).read_text()
    for sentence in re.findall(r"^- (.* together could open one hospital's input.*)$", text, re.MULTILINE):
        assert sentence in stated
    assert "4 of 5 hospitals and the server together could open one hospital's input" in text
    assert "simulated on one machine" in text and "no legal advice" in text and "Art. 28" in text
    assert "30 columns" in text and "and 6 more" in text
    for title in ("Which data flow where", "Who sees what", "What is not protected", "Roles and duties under the GDPR"):
        assert f"\n## {title}" in text
    assert str(folder) not in text


@pytest.mark.parametrize("name", [*FEW, *exhaustive(name for name in catalog.names() if name not in FEW)])
def test_of_each_strategy_it_says_whom_it_rests_on_on_two_pages(folder: Path, tmp_path: Path, name: str) -> None:
    """The statement is that of the run's own sums, had they been formed by this strategy."""
    for file in ("model.safetensors", "result.json", "agreement.toml"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    document, _ = load(folder)
    protocol = catalog.configured(StrategySpec.parse(name))
    stated = statement(protocol, RunConfig(largest_weight=1000).spec(), document.rounds)
    (tmp_path / DISCLOSURE).write_text(stated.to_json())
    found = sheet(tmp_path)
    colluding = next(one for one in stated.sections if one.role == "colluding hospitals")
    text = found.markdown()
    assert all(f"- {sentence}\n" in text for sentence in colluding.sentences)
    assert ("the server reads each hospital's update" in text) == (not protocol.private)
    assert pages(pdf(found.title, found.lead, found.parts, "foot", 2, WHEN)) == 2


def test_text_that_is_long_gets_more_pages_and_nothing_is_left_out() -> None:
    short, long = ([Part("A part", ["words " * 40] * times)] for times in (3, 90))
    assert pages(pdf("Title", "Lead", short, "foot", 2, WHEN)) == 1
    assert pages(pdf("Title", "Lead", long, "foot", 2, WHEN)) > 2
    assert pages(pdf("Title", "Lead", short, "a_long_name " * 20, 2, WHEN)) == 1  # a foot of two lines


def test_a_folder_without_a_run_is_refused_in_words(fed: Any, tmp_path: Path) -> None:
    code, _, err = fed("sheet", "nowhere")
    assert code == 2 and "nowhere is no folder: name that of a finished run" in err
    code, _, err = fed("sheet", str(tmp_path))
    assert code == 2 and "has no disclosure.json: name the folder of a finished run" in err
