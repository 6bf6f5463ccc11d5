"""No page is wider than its screen or its paper, whatever hospitals, columns and classes are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from fedsec.report import page, run_page
from fedsec.simulations import run
from fedsec.simulations.poster import poster_page
from tests.simulations.poster.test_poster_page import FACTS

pytestmark = pytest.mark.slow

LONG = "a_name_of_{}_as_long_as_electronic_health_records_have_them_in_an_export"
PAPER = (718, 1000)
"""A4 between its margins, upright and across."""


def _run(place: Path) -> Path:
    """The page of a run in which all names are long."""
    rng = np.random.default_rng(1)
    rows = 400
    age = rng.integers(20, 90, rows)
    frame = pandas.DataFrame(
        {
            "hospital": rng.choice([LONG.format("a_hospital"), "B", "Sisters of Mercy, " * 5], rows),
            LONG.format("a_number"): rng.normal(10, 2, rows).round(2),
            LONG.format("words"): rng.choice([LONG.format("one"), LONG.format("another")], rows),
            "age": age,
            LONG.format("the_label"): np.where(rng.random(rows) < age / 120, LONG.format("a"), LONG.format("b")),
        }
    )
    label, positive = LONG.format("the_label"), LONG.format("a")
    asked: dict[str, Any] = {"leave_one_site_out": True, "rounds": 2, "progress": False}
    run(frame, site="hospital", label=label, positive=positive, output=place, **asked)
    run_page.write(place, png=False)
    return place / run_page.PAGE


def _comparison(place: Path, made: Any) -> Path:
    path = place / "comparison.html"
    path.write_text(page.render(made.realistic()), encoding="utf-8")
    return path


def _poster(place: Path) -> Path:
    for name, facts in FACTS.items():
        (place / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    return poster_page.write(place)


@pytest.fixture(scope="module")
def pages(made: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each kind of page, by its name."""
    place = tmp_path_factory.mktemp("pages")
    return {"run": _run(place / "run"), "comparison": _comparison(place, made), "poster": _poster(place)}


KINDS = ("run", "comparison", "poster")
SIDEWAYS = "document.scrollingElement.scrollWidth - innerWidth"
CUT = """[...document.querySelectorAll('main, main *')].filter((one) => !one.closest('svg, .hidden')
  && one.getBoundingClientRect().right > innerWidth + 1).map((one) => [one.tagName, one.className, one.id])"""
UNFOLD = "for (const one of document.querySelectorAll('details')) one.open = true"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [390, 1400])
def test_no_page_is_wider_than_its_screen(browser: Any, pages: dict[str, Path], kind: str, width: int) -> None:
    """What is wider scrolls in a frame of its own."""
    browser.media()
    browser.size(width)
    browser.open(pages[kind])
    browser.evaluate(UNFOLD)
    assert browser.evaluate(SIDEWAYS) <= 0
    assert browser.complaints() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", PAPER)
def test_nothing_is_cut_in_print(browser: Any, pages: dict[str, Path], kind: str, width: int) -> None:
    """Nothing scrolls on paper: each table fits, and no word is beyond the edge."""
    browser.size(width)
    browser.media("print")
    browser.open(pages[kind])
    browser.evaluate(UNFOLD)
    assert browser.evaluate(CUT) == []
    assert browser.evaluate(SIDEWAYS) <= 0
