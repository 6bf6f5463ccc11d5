"""The pages in a real browser: they answer, sort, switch and fit, and ask the network for nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedsec.report import analysis, page, ranking, sections, units
from fedsec.report.document import Network, seconds
from fedsec.report.ranking import Trust
from fedsec.simulations.poster import experiment_output, poster_page
from fedsec.simulations.poster.verdicts import SHORT
from tests.simulations.poster.test_poster_page import FACTS
from tests.tiers import exhaustive

ENTER = ("Enter", 13, "\r")


@pytest.fixture(scope="module")
def realistic(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page.render(made.realistic()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, realistic: Path) -> Any:
    browser.media()
    browser.size(1200)
    browser.open(realistic)
    return browser


def choose(browser: Any, name: str, value: Any) -> None:
    browser.evaluate(
        f"(() => {{ const one = document.querySelector('#controls [name={name}]'); "
        f"one.value = {json.dumps(str(value))};"
        "if (one.value === '' && one.tagName === 'INPUT') throw Error('no such value');"
        "one.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def texts(browser: Any, selector: str) -> list[str]:
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent.trim())"
    found: list[str] = browser.evaluate(script)
    return found


def test_it_opens_quietly_and_asks_for_nothing_else(opened: Any, realistic: Path) -> None:
    assert opened.complaints() == []
    assert opened.requests() == [realistic.as_uri()]
    assert opened.evaluate("document.readyState") == "complete"
    assert len(texts(opened, "#all tbody tr")) == 25 and texts(opened, "#shown") == ["1–25 of 720 cells"]


def test_no_strategy_is_named_before_trust_is_answered(opened: Any, made: Any) -> None:
    """The first control is trust, and each answer alone leaves the others open."""
    assert opened.evaluate("document.querySelector('#controls').elements[1].name") == "server"
    assert [opened.evaluate(f"document.querySelector('[name={name}]').value") for name in ranking.QUESTIONS] == [""] * 3
    given = dict(zip(ranking.QUESTIONS, ("semi-honest", 2, 1), strict=True))
    for name, answer in given.items():
        assert texts(opened, "#best") == ["Whom do you trust?"] and texts(opened, "#promise") == [""]
        assert texts(opened, "#ranking tbody td:first-child") == ["\N{EN DASH}"] * len(made.kinds)
        assert texts(opened, "#ranking tr.first") == [] and "Trust comes before cost" in texts(opened, "#why")[0]
        choose(opened, name, answer)
    (best,) = texts(opened, "#best")
    assert best in made.kinds and texts(opened, "#ranking tr.first th") == [best]
    assert texts(opened, "#for")[0].endswith(Trust(*given.values()).words())
    for wrong in (100, -1, 1.5):
        choose(opened, "colluding", wrong)
        assert (
            texts(opened, "#best") == ["Whom do you trust?"]
            and ranking.QUESTIONS["colluding"] in texts(opened, "#why")[0]
        )
        assert opened.evaluate("getComputedStyle(document.querySelector('[name=colluding]~small')).display") == "block"
    choose(opened, "colluding", 99)
    assert texts(opened, "#best") == ["No answer"] and "promises this" in texts(opened, "#why")[0]
    choose(opened, "server", "")
    assert texts(opened, "#best") == ["Whom do you trust?"]
    assert opened.complaints() == []


@pytest.mark.parametrize("trust", [Trust("malicious", 2, 1), *exhaustive([(Trust(),), (Trust("semi-honest", 0, 99),)])])
def test_the_script_repeats_what_the_page_says_without_it(
    browser: Any, made: Any, tmp_path: Path, trust: Trust
) -> None:
    """Server and browser compute the same, to the letter, however the page's first question was answered."""
    path = tmp_path / "report.html"
    path.write_text(page.render(made.realistic(), trust), encoding="utf-8")
    browser.size(1200)
    browser.open(path)
    plain = [part for part in path.read_text(encoding="utf-8").split("<section") if 'id="answer"' in part]
    script = f"""(() => {{
      const holder = document.createElement("div"); holder.innerHTML = {json.dumps("<section" + plain[0])};
      const text = (root, id) => root.querySelector("#" + id).textContent.replace(/\\s+/g, " ").trim();
      return ["for", "best", "why", "promise", "ranking"].map((id) => [id, text(holder, id), text(document, id)]);
    }})()"""
    for part, before, after in browser.evaluate(script):
        assert before.replace(" ", "") == after.replace(" ", "") and (before or part == "promise")


@pytest.mark.exhaustive
def test_the_script_formats_no_number() -> None:
    """Figures are written in Python alone: positions in a table are all that the script puts into words."""
    script = (Path(page.__file__).parent / "page.js").read_text(encoding="utf-8")
    assert not re.search(r"toPrecision|toFixed|Mbit|latency|withstands|Intl", script)
    assert script.count("toLocaleString") == 1


def test_every_setting_shows_the_figures_that_python_makes(opened: Any, made: Any) -> None:
    found = made.realistic()
    for setting in analysis.settings(found)[::23]:
        cells = analysis.cells_of(found, setting)
        for part, value in setting._asdict().items():
            choose(opened, part, value)
        for name, network in found.networks.items():
            choose(opened, "network", name)
            places = ranking.ranking(found, cells, network)
            expected = [sections.starred(place.cell, units.seconds(seconds(place.cell, network))) for place in places]
            assert texts(opened, "#ranking tbody td:nth-child(6)") == expected
            assert len(texts(opened, "#unranked li")) == sum(cell.status not in analysis.WHOLE for cell in cells)
            assert texts(opened, "#for")[0].startswith(setting.words())
    assert opened.complaints() == []


def test_choices_change_the_answer(opened: Any, made: Any) -> None:
    comparison = made.realistic()
    opening = analysis.opening(comparison)
    assert opening is not None
    answers = set()
    for parameters in (100, 1_000_000):
        for name, network in comparison.networks.items():
            for trust in (Trust("semi-honest", 0, 0), Trust("malicious", 2, 1), Trust("semi-honest", 49, 49)):
                choose(opened, "parameters", parameters)
                choose(opened, "network", name)
                for question, given in trust._asdict().items():
                    choose(opened, question, given)
                cells = analysis.cells_of(comparison, opening._replace(parameters=parameters))
                places = ranking.ranking(comparison, cells, network, trust)
                best, why = ranking.answer(places, trust)
                assert texts(opened, "#best") == [best] and texts(opened, "#why") == [why]
                first = next(place for place in places if place.rank)
                assert texts(opened, "#promise") == [ranking.promise(first.cell)]
                assert len(texts(opened, "#ranking tbody tr")) == len(places)
                answers.add(best)
    assert len(answers) > 1
    assert opened.complaints() == []


@pytest.mark.exhaustive
def test_an_own_network(browser: Any, made: Any, tmp_path: Path) -> None:
    """One of the user's own comes from the command line; the page opens with it."""
    own = Network(latency=0.3, down=50e6 / 8, up=5e6 / 8)
    comparison = made.realistic(networks={**made.networks, "clinic": own})
    path = tmp_path / "report.html"
    path.write_text(page.render(comparison), encoding="utf-8")
    browser.size(1200)
    browser.open(path)
    cells = analysis.cells_of(comparison, analysis.opening(comparison))
    trust = Trust("semi-honest", 1, 0)
    for question, given in trust._asdict().items():
        choose(browser, question, given)
    assert texts(browser, "#why") == [ranking.answer(ranking.ranking(comparison, cells, own, trust), trust)[1]]
    assert (
        "50\N{NO-BREAK SPACE}Mbit/s down, 5\N{NO-BREAK SPACE}Mbit/s up, 300\N{NO-BREAK SPACE}ms"
        in texts(browser, "#for")[0]
    )
    choose(browser, "network", "lan")
    places = ranking.ranking(comparison, cells, made.networks["lan"], trust)
    assert texts(browser, "#why") == [ranking.answer(places, trust)[1]]
    assert browser.complaints() == []


def test_tables_sort_by_click_and_by_key(opened: Any) -> None:
    head = "#all thead th:nth-child(9)"
    column = "[...document.querySelectorAll('#all tbody tr')].map((row) => row.cells[8].dataset.v)"

    def order() -> tuple[str, list[float | None]]:
        state = opened.evaluate(f"document.querySelector('{head}').getAttribute('aria-sort')")
        return state, [float(value) if value else None for value in opened.evaluate(column)]

    assert order()[0] == "none"
    opened.evaluate(f"document.querySelector('{head} button').click()")
    state, values = order()
    assert state == "ascending" and values == sorted(value for value in values if value is not None)
    opened.evaluate(f"document.querySelector('{head} button').focus()")
    opened.press(*ENTER)
    state, values = order()
    assert state == "descending" and values == sorted((value for value in values if value is not None), reverse=True)
    opened.evaluate("document.querySelector('#all thead th button').click()")
    assert order()[0] == "none"
    assert opened.evaluate("document.querySelector('#all thead th').getAttribute('aria-sort')") == "ascending"


def test_tables_filter_and_turn(opened: Any) -> None:
    opened.evaluate("document.getElementById('later').click()")
    assert texts(opened, "#shown") == ["26–50 of 720 cells"]
    opened.evaluate(
        "(() => { const one = document.querySelector('#filters [name=status]'); one.value = 'refused';"
        "one.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert texts(opened, "#shown") == ["1–25 of 72 cells that match, of 720"]
    assert all("tolerates 0" in text for text in texts(opened, "#all tbody tr"))
    opened.evaluate(
        "(() => { const one = document.querySelector('#filters [name=text]'); one.value = 'no such thing';"
        "one.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert texts(opened, "#shown") == ["0 of 0 cells that match, of 720"]


def test_the_theme_switches(opened: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened.evaluate(colour)
    opened.evaluate("document.getElementById('theme').click()")
    dark = opened.evaluate(colour)
    assert light == "rgb(255, 255, 255)" and dark != light and texts(opened, "#theme") == ["Light page"]
    opened.evaluate("document.getElementById('theme').click()")
    assert opened.evaluate(colour) == light
    opened.evaluate("localStorage.clear(); delete document.documentElement.dataset.theme")
    opened.media(scheme="dark")
    assert opened.evaluate(colour) == dark


def test_no_page_scrolls_sideways(opened: Any) -> None:
    for width in (360, 390, 768, 1200):
        opened.size(width)
        assert opened.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), f"sideways at {width}"


def test_no_table_is_cut_in_print(opened: Any) -> None:
    opened.media("print", "dark")
    for width in (718, 1000):  # A4 between its margins, upright and across
        opened.size(width)
        cut = opened.evaluate(
            "[...document.querySelectorAll('table')]"
            ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
            ".map((one) => [one.id, one.getBoundingClientRect().right])"
        )
        assert cut == [], width
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.evaluate("getComputedStyle(document.getElementById('controls')).display") == "none"


def test_it_can_be_used_by_keyboard(opened: Any) -> None:
    opened.press("Tab", 9)
    assert opened.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(40):
        opened.press("Tab", 9)
        seen.add(
            opened.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.tagName"
            )
        )
        assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"theme", *ranking.QUESTIONS, "hospitals", "network", "same-scale"} <= seen
    unnamed = (
        "[...document.querySelectorAll('input, select, button')]"
        ".filter((one) => !one.labels?.length && !one.textContent.trim())"
    )
    assert opened.evaluate(f"{unnamed}.length") == 0


def test_without_scripts_every_cell_is_in_the_page(browser: Any, realistic: Path) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(realistic)
        root = browser.send("DOM.getDocument")["root"]["nodeId"]
        rows = browser.send("DOM.querySelectorAll", nodeId=root, selector="#all tbody tr")["nodeIds"]
        assert len(rows) == 720
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_names_are_text(browser: Any, made: Any, tmp_path: Path) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>μ'
    cells = [
        made.cell(evil, 10, 100),
        made.cell(evil, 3, 100, status="refused", note=evil),
        made.cell("shamir", 10, 100),
    ]
    path = tmp_path / "report.html"
    path.write_text(page.render(made.comparison(cells, title=evil)), encoding="utf-8")
    browser.open(path)
    assert browser.evaluate("document.title") == evil and evil in texts(browser, "#ranking tbody th")
    choose(browser, "hospitals", 3)
    assert evil in texts(browser, "#unranked li b")
    assert browser.complaints() == [] and browser.evaluate("document.images.length") == 0


@pytest.mark.parametrize("kind", ["empty", "refused", "one"])
def test_sparse_pages_work(browser: Any, made: Any, tmp_path: Path, kind: str) -> None:
    cells = {
        "empty": [],
        "refused": [made.cell("shamir", 10, 10, status="refused")],
        "one": [made.cell("shamir", 10, 10)],
    }
    path = tmp_path / "report.html"
    path.write_text(page.render(made.comparison(cells[kind], networks={}, quality=())), encoding="utf-8")
    browser.open(path)
    if kind == "one":
        assert texts(browser, "#best") == ["Whom do you trust?"]
        for question, given in Trust("semi-honest", 1, 1)._asdict().items():
            choose(browser, question, given)
    assert browser.complaints() == [] and texts(browser, "#best") == ["shamir" if kind == "one" else "No answer"]


def test_the_poster_shows_its_verdicts_on_every_screen(browser: Any, tmp_path: Path) -> None:
    for name, facts in FACTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    experiment_output.keep_short(tmp_path, "network", True)
    written, judged = poster_page.write(tmp_path), poster_page.judged(tmp_path)
    for width in (360, 390, 1200):
        browser.size(width)
        browser.open(written)
        assert browser.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), f"sideways at {width}"
        seen = browser.evaluate(
            "[...document.querySelectorAll('#claims .judged b')].map((one) => [one.textContent, "
            "one.getBoundingClientRect().left, one.getBoundingClientRect().right, "
            "one.closest('.scroll').getBoundingClientRect().right])"
        )
        assert [one[0] for one in seen] == [row["verdict"] for row in judged]
        assert all(0 <= left < right <= min(edge, width) for _, left, right, edge in seen)
    marked = [row for row in judged if row["run"] and row["verdict"] != SHORT]
    assert texts(browser, "#claims .judged .tag") == [SHORT] * len(marked) and marked
    assert texts(browser, "#short b") == ["This is a short run."] and browser.complaints() == []


@pytest.mark.exhaustive
def test_two_thousand_cells_open(browser: Any, made: Any, tmp_path: Path) -> None:
    sizes = [10 * number for number in range(1, 84)]
    cells = [made.cell(name, hospitals, size) for name in made.kinds for hospitals in (3, 10, 30) for size in sizes]
    path = tmp_path / "report.html"
    path.write_text(page.render(made.comparison(cells)), encoding="utf-8")
    browser.size(1200)
    browser.open(path)
    assert len(cells) >= 1990 and browser.evaluate("document.readyState") == "complete"
    assert texts(browser, "#shown") == [f"1–25 of {len(cells):,} cells"]
    browser.evaluate("document.querySelector('#all thead th:nth-child(9) button').click()")
    state = browser.evaluate("document.querySelector('#all thead th:nth-child(9)').ariaSort")
    assert state in ("ascending", "descending")
