"""What a reader of a comparison's page can select, and the strings that the page then shows.

Every figure, rank and sentence is written here, for each setting, network and trust; page.js looks them up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedsec.report import analysis, ranking, sections, units
from fedsec.report.analysis import Setting
from fedsec.report.document import Cell, Comparison, Network
from fedsec.report.ranking import Place

if TYPE_CHECKING:
    from markupsafe import Markup


def selection(comparison: Comparison) -> Markup:
    """All strings, as JSON that cannot end its element.

    cells: of each cell, what depends on nothing else. phrases: what each choice adds to a setting's words. networks:
    how each is called in a sentence. settings: by the values of the controls, the cells that were measured there, and
    for each network and trust their ranking and the answer.
    """
    from markupsafe import Markup  # only where a page is written: help must not need it

    text = json.dumps(
        {
            "strategies": sections.families(comparison),
            "parts": list(Setting._fields),
            "phrases": phrases(comparison),
            "networks": {name: sections.network_in_words(name, one) for name, one in networks(comparison).items()},
            "cells": [_cell(cell) for cell in comparison.cells],
            "settings": _settings(comparison),
        },
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing in it is markup any more


def networks(comparison: Comparison) -> dict[str, Network]:
    """The networks to choose from, by name; where the document names none, one without a name."""
    return dict(comparison.networks) or {"": sections.OWN}


def phrases(comparison: Comparison) -> dict[str, dict[str, str]]:
    """For each part of a setting, by the value of its control, what it adds to the setting's words."""
    return {
        part: {str(value): analysis.PHRASES[part](value) for value in values}
        for part, values in analysis.choices(comparison).items()
    }


def _cell(cell: Cell) -> dict[str, Any]:
    follows, breaks = sections.withstood(cell)
    strings: dict[str, Any] = {
        "name": cell.strategy,
        "follows": follows,
        "breaks": breaks,
        "dropouts": sections.dropouts(cell),
        "promise": ranking.promise(cell),
    }
    if cell.status not in analysis.WHOLE or cell.round is None:
        return strings | {"unranked": sections.unranked(cell)}
    bars = sections.bars(cell)
    return strings | {"figures": sections.cell_figures(cell), "bars": [_bar(bars[kind]) for kind in ("cpu", "bytes")]}


def _bar(bar: dict[str, Any]) -> list[Any]:
    """Its total in words and as a number, and of each segment the label, the text and the part of the whole."""
    return [bar["total"], bar["value"], [[part["label"], part["text"], part["grow"]] for part in bar["parts"]]]


def _settings(comparison: Comparison) -> dict[str, Any]:
    places = {id(cell): place for place, cell in enumerate(comparison.cells)}
    out = {}
    for setting in analysis.settings(comparison):
        cells = analysis.cells_of(comparison, setting)
        out["|".join("" if value is None else str(value) for value in setting)] = {
            "cells": [places[id(cell)] for cell in cells],
            "networks": {
                name: _network(comparison, cells, network, places) for name, network in networks(comparison).items()
            },
        }
    return out


def _network(comparison: Comparison, cells: Sequence[Cell], network: Network, places: dict[int, int]) -> dict[str, Any]:
    ranked = {trust: ranking.ranking(comparison, cells, network, trust) for trust in ranking.TRUSTS}
    order, answers = ranked["any"], [_answer(rows) for rows in ranked.values()]
    different = [answer for place, answer in enumerate(answers) if answer not in answers[:place]]
    return {
        "order": [places[id(place.cell)] for place in order],
        "seconds": [units.seconds(place.seconds) for place in order],
        "wire": [units.seconds(place.wire) for place in order],
        "answers": different,
        "trust": {trust: different.index(answer) for trust, answer in zip(ranked, answers, strict=True)},
    }


def _answer(rows: Sequence[Place]) -> dict[str, Any]:
    """The ranking under one trust: ranks, ratios to the cheapest and tags in its order, the answer and its reasons."""
    first = next((place for place in rows if place.rank), None)
    best, why = ranking.answer(rows)
    return {
        "first": rows.index(first) if first else -1,
        "best": best,
        "why": why,
        "ranks": [place.rank for place in rows],
        "times": [sections.ratio(place, first) for place in rows],
        "tags": [sections.tag(place) for place in rows],
    }
