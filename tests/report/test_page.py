"""The page as text: complete, escaped, and written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fedsec.errors import ConfigurationError
from fedsec.report import figures, page
from fedsec.report.document import Comparison
from fedsec.report.ranking import Trust

EVIL = '<script>alert("x")</script> & $\\frac{1}{2}$ μ漢é'


class Reader(HTMLParser):
    """Counts tags, checks that elements close, and keeps the ids."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def data(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


@pytest.fixture(scope="module")
def realistic(made: Any) -> str:
    return page.render(made.realistic())


def test_the_markup_is_sound(realistic: str) -> None:
    reader = Reader(realistic)
    assert not reader.open
    repeated = {one for one, count in Counter(reader.ids).items() if count > 1}
    assert not {one for one in repeated if not re.search(r"-(m|p)[0-9a-f]{8,}$", one)}  # equal markers within a figure
    for section in ("answer", "phases", "growth", "networks", "accuracy", "trust", "families", "cells", "method"):
        assert section in reader.ids and f'href="#{section}"' in realistic
    assert reader.tags.count("figure") >= 10 and reader.tags.count("figcaption") == reader.tags.count("figure")
    assert realistic.count('role="img"') == reader.tags.count("figure")


def test_nothing_is_fetched(realistic: str) -> None:
    without = re.sub(r'xmlns(:xlink)?="[^"]*"', "", realistic)
    assert not re.findall(r"https?://|@import|url\((?!#)|<iframe|<img", without)
    assert set(re.findall(r'(?:src|href)="([^"#][^"]*)"', without)) == {"data:,"}


def test_every_cell_is_there(made: Any, realistic: str) -> None:
    found = made.realistic()
    assert realistic.count("<tr data-s=") == len(found.cells) == len(data(realistic)["cells"])
    assert "tolerates 0" in realistic and "over the budget" in realistic and "scaled" in realistic


def test_what_comes_from_outside_is_text(made: Any) -> None:
    cells = [
        made.cell(EVIL, 10, size, status=status, note=EVIL) for size in (10, 1000) for status in ("measured", "refused")
    ]
    cells += [made.cell(EVIL, 3, 10), made.cell("paillier", 3, 10)]
    found = made.comparison(
        cells,
        title=EVIL,
        machine={EVIL: EVIL},
        versions={EVIL: EVIL},
        created=EVIL,
        networks={EVIL: made.networks["lan"]},
    )
    text = page.render(found)
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text and "μ漢é" in text
    assert text.count("</script>") == 2 and not Reader(text).open
    assert list(data(text)["networks"]) == [EVIL]


@pytest.mark.parametrize("empty", ["nothing", "refused", "one", "one-client", "clear", "bare"])
def test_sparse_comparisons_have_a_page(made: Any, tmp_path: Path, empty: str) -> None:
    bare = ("setup", "memory_hospital", "memory_server", "exact", "error", "withstands")
    cells = {
        "nothing": [],
        "refused": [
            made.cell("shamir", 10, 100, status="refused", note="too large"),
            made.cell("secagg", 3, 9, status="refused"),
        ],
        "one": [made.cell("shamir", 10, 100)],
        "one-client": [made.cell("shamir", size, 100, status="one-client") for size in (10, 100)],
        "clear": [made.cell("plain", 10, 100)],
        "bare": [
            cell.model_copy(update=dict.fromkeys(bare))
            for cell in (made.cell("shamir", 10, 100), made.cell("paillier", 10, 100, key=2048))
        ],
    }[empty]
    found = made.comparison(cells, quality=(), networks={} if empty == "bare" else made.networks)
    if empty == "one":
        found = found.model_copy(update={"strategies": {}})
    page.write(found, tmp_path)
    text = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    assert not Reader(text).open and "None" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    if empty == "one":
        assert "cheapest on every network" in text and "Only 10 hospitals were measured" in text
        assert "Whom do you trust?" in text and "only one that qualifies" in text
    if empty == "refused":
        assert "too large" in text and "No strategy has a whole round" in text


def test_the_page_opens_with_the_trust_that_was_given(made: Any) -> None:
    found = made.comparison([made.cell(name, 10, 100) for name in ("secagg", "additive")])
    text = page.render(found, Trust("malicious", 2, 1))
    assert '<option value="malicious" selected>' in text and 'name="colluding"' in text and 'value="2"' in text
    assert f"{Trust('malicious', 2, 1).words()}</p>" in text
    assert "secagg</p>" in text.replace("<wbr>", "") and "Whom do you trust?</p>" not in text


def test_zero_costs_have_a_page(made: Any) -> None:
    cell = made.cell("shamir", 10, 100)
    zero = {"median": 0.0, "low": 0.0, "high": 0.0}
    total = cell.round.model_copy(update={"up": 0.0})
    total = type(total).model_validate(
        {**total.model_dump(), "hospital_cpu": zero, "hospital_cpu_most": zero, "server_cpu": zero}
    )
    phases = tuple(
        phase.model_copy(update=dict.fromkeys(("hospital_cpu_most", "server_cpu", "up_most", "down_most"), 0.0))
        for phase in cell.phases
    )
    page.render(made.comparison([cell.model_copy(update={"round": total, "phases": phases})]))


def test_files_are_written_and_the_same_each_time(made: Any, tmp_path: Path) -> None:
    cells = [made.cell(name, size, 100) for name in ("shamir", "paillier") for size in (3, 10)]
    found = made.comparison(cells)
    (tmp_path / "comparison.json").write_text(found.model_dump_json(), encoding="utf-8")
    written = page.write(found, tmp_path)
    before = {path: path.read_bytes() for path in written}
    assert written[-1].name == page.PAGE and {path.suffix for path in written} == {".svg", ".png", ".csv", ".html"}
    assert page.write(found, tmp_path) == written and {path: path.read_bytes() for path in written} == before
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        [*written, tmp_path / "comparison.json"]
    )
    lines = list(csv.DictReader(io.StringIO((tmp_path / page.CELLS).read_text(encoding="utf-8"))))
    assert len(lines) == len(cells)
    for cell, line in zip(cells, lines, strict=True):
        assert float(line["seconds_lan"]) == cell.seconds["lan"] and line["strategy"] == cell.strategy
        assert float(line["round_hospital_cpu_low"]) == cell.round.hospital_cpu.low
    reread = Comparison.model_validate_json((tmp_path / "comparison.json").read_bytes())
    assert page.render(reread) == page.render(found)


def test_a_comparison_with_older_names_of_fields_is_read(made: Any) -> None:
    written = json.loads(made.realistic().model_dump_json())
    for cell in written["cells"]:
        cell["silent"], cell["pace"] = cell.pop("dropouts"), cell.pop("reference_seconds")
        if promised := cell["withstands"]:
            promised["server_follows"] = promised.pop("semi_honest_server")
            promised["server_breaks"] = promised.pop("malicious_server")
    assert Comparison.model_validate(written) == made.realistic()


def test_a_disk_that_is_full_is_said(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made.comparison([made.cell("shamir", 10, 100)])
    page.write(found, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match=r"cannot be written: No space left on device"):
        page.write(found, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_is_a_file_is_said(made: Any, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        page.write(made.comparison([made.cell("shamir", 10, 100)]), tmp_path)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("shamir", "shamir"),
        ("packed_shamir:server=malicious", "packed_shamir malicious"),
        ("shamir:threshold=4:server=malicious", "shamir threshold=4 malicious"[:25] + "…"),
        ("shamir:silent=4", "shamir silent=4"),
    ],
)
def test_names_in_figures_keep_what_tells_them_apart(name: str, shown: str) -> None:
    assert figures.short(name) == shown
