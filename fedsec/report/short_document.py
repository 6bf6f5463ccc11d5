"""A short document as parts, which text and pages are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """One part of a document: a title, paragraphs, points, and a table whose first row is its heading."""

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    widths: Sequence[float] = field(default=())
    """Of the table's columns, as parts of the page."""
