"""A short document as a PDF on A4, in the fewest pages that it can be read on. fpdf2 comes with the extra `report`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedsec.report.short_document import Part

if TYPE_CHECKING:
    from fpdf import FPDF

SIZES = (9.5, 9.0, 8.5, 8.0, 7.5)
"""Sizes of the text in points, the largest that is wanted first."""
MARGIN, GAP = 16.0, 1.6
"""In millimetres."""
FONT, INK, SOFT, LINE = "text", (26, 32, 38), (90, 98, 106), (205, 210, 214)


def pdf(title: str, lead: str, parts: Sequence[Part], foot: str, pages: int, made: datetime) -> bytes:
    """The document as bytes, on `pages` pages if its text can be made small enough, and on more if not.

    foot: stands on each page, with the page's number. made: what the file says of when it was made.
    """
    for size in SIZES:
        drawn = _draw(title, lead, parts, foot, size, made)
        if drawn.page_no() <= pages:
            break
    return bytes(drawn.output())


def _draw(title: str, lead: str, parts: Sequence[Part], foot: str, size: float, made: datetime) -> FPDF:
    page = _paper(foot)
    page.set_title(title)
    page.set_creation_date(made)
    page.add_page()
    page.set_text_color(*INK)
    page.set_font(FONT, "B", size + 6)
    page.multi_cell(0, (size + 6) * 0.45, title, align="L", new_x="LMARGIN", new_y="NEXT")
    page.ln(GAP)
    _text(page, lead, size, SOFT)
    for part in parts:
        _part(page, part, size)
    return page


def _part(page: FPDF, part: Part, size: float) -> None:
    page.ln(GAP)
    if page.will_page_break(size * 2.2):  # a title never stands alone at the foot of a page
        page.add_page()
    page.set_font(FONT, "B", size + 1.5)
    page.set_text_color(*INK)
    page.multi_cell(0, (size + 1.5) * 0.45, part.title, align="L", new_x="LMARGIN", new_y="NEXT")
    page.ln(GAP / 3)
    for text in part.paragraphs:
        _text(page, text, size)
    for text in part.points:
        page.set_font(FONT, "", size)
        page.cell(4, size * 0.45, "•")
        _text(page, text, size)
    if part.table:
        _table(page, part, size)


def _text(page: FPDF, text: str, size: float, ink: tuple[int, int, int] = INK) -> None:
    page.set_font(FONT, "", size)
    page.set_text_color(*ink)
    page.multi_cell(0, size * 0.45, text, align="L", new_x="LMARGIN", new_y="NEXT")
    page.ln(GAP / 3)


def _table(page: FPDF, part: Part, size: float) -> None:
    from fpdf.enums import TableBordersLayout
    from fpdf.fonts import FontFace

    page.set_draw_color(*LINE)
    page.set_font(FONT, "", size - 0.5)
    with page.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        col_widths=tuple(part.widths) or None,
        text_align="LEFT",
        line_height=(size - 0.5) * 0.45,
        headings_style=FontFace(emphasis="BOLD"),
        padding=(0.6, 1.2, 0.6, 0),
    ) as table:
        for row in part.table:
            table.row(list(row))


def _paper(foot: str) -> FPDF:
    """An empty document with our letters, which are those of the figures."""
    import matplotlib
    from fpdf import FPDF

    class Paper(FPDF):
        def footer(self) -> None:
            self.set_y(-12)
            self.set_font(FONT, "", 7)
            self.set_text_color(*SOFT)
            self.multi_cell(0, 3, f"{foot}   page {self.page_no()}", align="L")

    page = Paper(format="A4")
    letters = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for style, name in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
        page.add_font(FONT, style, letters / name)
    page.set_margins(MARGIN, MARGIN - 2, MARGIN)
    page.set_auto_page_break(True, margin=MARGIN)
    page.set_lang("en")
    page.set_producer("fedsec")
    return page
