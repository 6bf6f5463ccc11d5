"""The model card on a run's page is the file beside it, sentence by sentence."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from fedsec.errors import ConfigurationError
from fedsec.report import card_section

MARKDOWN = """# Model card: a \\*b\\* \\_c

A model of `fedsec` with <b>bold</b>, **a warning** and ![a picture](http://example.org/a.png).

## Intended use

Research.

## Training data

10 rows.

## Predictors

| Column | Allowed |
|---|---|
| a\\|b | 0 to 1 & more |

- one: 1
"""


def test_markup_of_others_is_text_and_nothing_is_fetched() -> None:
    found = card_section.of_markdown(MARKDOWN)
    assert found.title == "Model card: a *b* _c"
    for part in (
        "&lt;b&gt;bold&lt;/b&gt;",
        "<strong>a warning</strong>",
        "<h3>Intended use</h3>",
        "<h3>Training data</h3>",
    ):
        assert part in found.shown, part
    assert "<img" not in found.shown and "<h3>Predictors</h3>" not in found.shown
    assert found.folded.startswith("<h3>Predictors</h3>")
    assert "<td>a|b</td>" in found.folded and "0 to 1 &amp; more" in found.folded and "<li>one: 1</li>" in found.folded
    assert found.folded.count('<div class="scroll"') == found.folded.count("</table></div>") == 1


def test_a_card_that_its_user_made_shorter_has_a_section_too() -> None:
    found = card_section.of_markdown("No heading.\n")
    assert found == ("Model card", "<p>No heading.</p>\n", "")
    assert card_section.of_markdown("") == ("Model card", "", "")


def test_a_folder_without_a_card_has_none_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    assert card_section.section(tmp_path) is None
    (tmp_path / card_section.CARD).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigurationError, match=r"model-card\.md cannot be read as text"):
        card_section.section(tmp_path)


def sentences(markdown: str) -> list[str]:
    """The text of each line and of each cell of a table, without the signs of Markdown."""
    lines = [line.lstrip("#- ").replace("**", "").replace("`", "") for line in markdown.splitlines()]
    cells = [cell.strip() for line in lines for cell in re.split(r"(?<!\\)\|", line) if cell.strip(" -|")]
    return [re.sub(r"\\(.)", r"\1", cell) for cell in cells]


def text_of(markup: str) -> str:
    """What a part of a page says."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def test_page_and_file_say_the_same() -> None:
    """Word for word, and in this order; a run's own card is compared so in tests/cli/test_predict.py."""
    plain = MARKDOWN.replace("<b>bold</b>", "bold").replace("![a picture](http://example.org/a.png)", "more")
    found = card_section.of_markdown(plain)
    said = text_of(f"{found.title} {found.shown} {found.folded}").replace(" ,", ",").replace(" .", ".")
    assert said == " ".join(sentences(plain))
