"""What a reader of a comparison's page can select, and the strings that the page then shows.

Every figure, rank and sentence is written here, for each setting, network and trust; page.js looks them up.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedsec.report import analysis, ranking, sections, units
from fedsec.report.analysis import Setting
from fedsec.report.document import Cell, Comparison, Network
from fedsec.report.ranking import Place, Trust

if TYPE_CHECKING:
    from markupsafe import Markup


def selection(comparison: Comparison) -> Markup:
    """All strings, as JSON that cannot end its element.

    cells: of each cell, what depends on nothing else. phrases: what each choice adds to a setting's words. trust: the
    same of each answer about trust, and what is said while one is missing. networks: how each is called in a sentence.
    settings: by the values of the controls, the cells that were measured there, the numbers of colluding and dropped
    out hospitals at which the answer changes, and for each network the ranking and the answers.
    """
    from markupsafe import Markup  # only where a page is written: help must not need it

    text = json.dumps(
        {
            "strategies": sections.families(comparison),
            "parts": list(Setting._fields),
            "phrases": phrases(comparison),
            "trust": _trust(),
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
        "tolerated": sections.tolerated(cell),
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
        limits = _limits(comparison, cells)
        out["|".join("" if value is None else str(value) for value in setting)] = {
            "hospitals": setting.hospitals,
            "cells": [places[id(cell)] for cell in cells],
            "limits": limits,
            "networks": {
                name: _network(comparison, cells, network, places, limits)
                for name, network in networks(comparison).items()
            },
        }
    return out


Limits = dict[str, tuple[list[int], list[int]]]
"""By server, the numbers that strategies withstand of colluding hospitals, and tolerate of dropouts, in order."""


def _limits(comparison: Comparison, cells: Sequence[Cell]) -> Limits:
    able = [cell for cell in cells if cell.round and analysis.family(comparison, cell.strategy) != "clear"]
    dropouts = sorted({ranking.tolerated(cell) for cell in able})
    return {
        server: (sorted({ranking.withstood(cell, server) for cell in able} - {-1}), dropouts)
        for server in ranking.SERVERS
    }


def _network(
    comparison: Comparison, cells: Sequence[Cell], network: Network, places: dict[int, int], limits: Limits
) -> dict[str, Any]:
    """The ranking on a network; answers: those that differ, the first while trust is unanswered.

    trust: by server, for each number of colluding hospitals up to the limits in turn, and beyond them, a list of the
    answers' places for dropouts in the same way.
    """
    answers: list[dict[str, Any]] = []

    def place_of(trust: Trust) -> int:
        found = _answer(ranking.ranking(comparison, cells, network, trust), trust)
        if found not in answers:
            answers.append(found)
        return answers.index(found)

    place_of(Trust())
    order = ranking.ranking(comparison, cells, network)
    return {
        "order": [places[id(place.cell)] for place in order],
        "seconds": [sections.starred(place.cell, units.seconds(place.seconds)) for place in order],
        "wire": [sections.starred(place.cell, units.seconds(place.wire)) for place in order],
        "trust": {
            server: [[place_of(Trust(server, one, other)) for other in _steps(dropouts)] for one in _steps(colluding)]
            for server, (colluding, dropouts) in limits.items()
        },
        "answers": answers,
    }


def _steps(limits: Sequence[int]) -> list[int]:
    """A number for each part between the limits: each of them, and one beyond them all."""
    return [*limits, max(limits, default=-1) + 1]


def _trust() -> dict[str, Any]:
    names = tuple(ranking.QUESTIONS)
    subsets = [part for size in (1, 2, 3) for part in itertools.combinations(names, size)]
    return {
        "servers": {server: ranking.server_words(server) for server in ranking.SERVERS},
        "counted": ranking.COUNTED,
        "open": {"|".join(part): ranking.still_open(part) for part in subsets},
        "headlines": sections.HEADLINES,
    }


def _answer(rows: Sequence[Place], trust: Trust) -> dict[str, Any]:
    """The ranking under one trust: ranks, ratios to the cheapest and tags in its order, the answer and its reasons."""
    first = next((place for place in rows if place.rank), None)
    best, why = ranking.answer(rows, trust)
    return {
        "first": rows.index(first) if first else -1,
        "best": best,
        "why": why,
        "ranks": [place.rank for place in rows],
        "times": [sections.ratio(place, first) for place in rows],
        "tags": [sections.tag(place, trust) for place in rows],
        "kinds": [sections.kind(place, trust) for place in rows],
    }
