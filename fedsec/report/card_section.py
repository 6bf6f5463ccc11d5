"""The model card on a run's page: model-card.md itself as HTML, so that page and file say the same.

Whoever uses the model completes the file, and `fedsec report` shows what it says then.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fedsec.errors import ConfigurationError

if TYPE_CHECKING:
    from markdown_it.token import Token
    from markupsafe import Markup

CARD = "model-card.md"
OPEN = 2
"""How many parts of the card stand open on the page, what it is for and which rows it saw; the rest is folded."""
_LEVELS = {"h1": "h2", "h2": "h3", "h3": "h4", "h4": "h5", "h5": "h6"}
"""The page's own title is its h1."""


class CardSection(NamedTuple):
    """The card's title in the page's words, and its text in two parts, of which the second is folded."""

    title: str
    shown: Markup
    folded: Markup


def section(folder: Path) -> CardSection | None:
    """The card in a run's folder; None in a folder without one. Raises ConfigurationError where it cannot be read."""
    path = folder / CARD
    try:
        return of_markdown(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as text: {error}") from error


def of_markdown(text: str) -> CardSection:
    """The card of this text; HTML in it is shown as text, and pictures, which a page would fetch, are left out."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = markdown.parse(text)
    title = "Model card"
    if tokens and (tokens[0].type, tokens[0].tag) == ("heading_open", "h1"):
        title, tokens = "".join(one.content for one in tokens[1].children or ()), tokens[3:]
    parts = [place for place, one in enumerate(tokens) if (one.type, one.tag) == ("heading_open", "h2")]
    cut = parts[OPEN] if len(parts) > OPEN else len(tokens)

    def html(some: list[Token]) -> Markup:
        for one in some:
            one.tag = _LEVELS.get(one.tag, one.tag)
        found = markdown.renderer.render(some, markdown.options, {})
        found = found.replace("<table>", '<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>')
        return Markup(found.replace("</table>", "</table></div>"))  # noqa: S704 - all that is text was escaped

    return CardSection(title, html(tokens[:cut]), html(tokens[cut:]))
