"""A schema drawn up from rows: a draft for hospitals to agree on, which only a simulation can make.

What a column is, which words its levels are, and what the label means are found out here and stand in the schema from
then on, so that all hospitals read alike. A column that cannot be a feature is left out, and why is a problem.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from fedsec.data import dates, labels
from fedsec.data.cells import LONGEST_WORD, as_number, gaps, mapped, plain_word, quoted, word
from fedsec.data.label import Label
from fedsec.data.problems import Problems
from fedsec.data.ranges import around, within_reach
from fedsec.data.schema import MOST_LEVELS, OTHER, Category, Number, Schema, column_table
from fedsec.errors import ConfigurationError, unknown

DROP = "drop"


@dataclass(frozen=True)
class Choices:
    """What the user decides of how rows are read.

    positive, task: as `labels.draw_up` has them. missing: words and numbers that stand for a missing value. dates: by
    column of dates, what it becomes, or `drop`; under "" the choice for all others. drop_unlabelled: whether rows
    without a label are left out. event: the column of events, where the label is a time.
    """

    positive: str = ""
    task: str = "auto"
    missing: tuple[str, ...] = ()
    dates: Mapping[str, str] = field(default_factory=dict)
    drop_unlabelled: bool = False
    event: str = ""

    @staticmethod
    def dates_of(texts: Sequence[str]) -> dict[str, str]:
        """NAME=CHOICE as a mapping; raises ConfigurationError where a choice is none."""
        found = {}
        for text in texts:
            name, _, choice = (part.strip() for part in text.rpartition("="))
            if choice != DROP:
                if not name:
                    raise ConfigurationError(
                        f"dates is {text!r}; {dates.CHOICES} was expected, or drop for all columns"
                    )
                dates.check_choice(name, choice)
            found[name] = choice
        return found


@dataclass
class Draft:
    """A schema as far as it could be drawn up.

    left_out: columns that are no features, and why. said: what was found out and stands in the schema, in sentences.
    """

    columns: list[Number | Category] = field(default_factory=list)
    label: Label | None = None
    missing: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def schema(self, problems: Problems) -> Schema | None:
        """The schema; None, and a problem, where there is no label or no column."""
        if not self.columns and not problems.found:
            problems.add("no column can be a feature: name columns of numbers or of few words")
        return Schema(tuple(self.columns), self.label, self.missing) if self.label and self.columns else None


def draw_up(
    problems: Problems, columns: Mapping[str, Sequence[Any]], features: Sequence[str], label: str, choices: Choices
) -> Draft:
    """A schema that all these rows fit, with these columns as features; what stands in its way is in `problems`."""
    gap, draft = gaps(choices.missing), Draft(missing=choices.missing)
    for name in choices.dates:
        if name and name not in columns:
            raise unknown("column for dates", name, columns)
    for name in features:
        there = _values(columns[name], gap)
        column = _dated(problems, draft, name, there, columns, choices) or _column(
            problems, draft, name, there, len(columns[name])
        )
        if isinstance(column, str):
            draft.left_out[name] = column
        else:
            draft.columns.append(column)
    draft.label = _label(problems, draft, columns, label, choices, gap)
    return draft


def _label(
    problems: Problems,
    draft: Draft,
    columns: Mapping[str, Sequence[Any]],
    label: str,
    choices: Choices,
    gap: Callable[[Any], bool],
) -> Label | None:
    positive, drop = choices.positive, choices.drop_unlabelled
    if choices.event:
        pairs = [pair for pair in zip(columns[label], columns[choices.event], strict=True) if not any(map(gap, pair))]
        times, events = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        blank = sum(
            gap(event) and not gap(time) for time, event in zip(columns[label], columns[choices.event], strict=True)
        )
        if blank and len(set(map(plain_word, map(word, events)))) == 1:
            problems.add(
                f"event {choices.event!r} is {word(events[0])!r} or empty, in {blank:,} rows: if an empty cell means "
                "that the event had not come, write 0 there; with drop-unlabelled these rows would be left out"
            )
            return None
        return labels.draw_up_survival(problems, draft.said, label, times, choices.event, events, positive, drop)
    values = [value for value in columns[label] if not gap(value)]
    return labels.draw_up(problems, draft.said, label, values, positive, choices.task, drop)


def _values(values: Sequence[Any], gap: Callable[[Any], bool]) -> list[Any]:
    """Those that are no gaps. A dash beside nothing but a plus, as of a rhesus factor, is none."""
    there = [value for value, none in zip(values, mapped(gap, values), strict=True) if not none]
    return [value for value in values if value in ("+", "-")] if set(there) == {"+"} else there


def _dated(
    problems: Problems,
    draft: Draft,
    name: str,
    there: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    choices: Choices,
) -> Number | str:
    """The column of dates that was chosen to be a number, or why it is left out; "" for a column of other things."""
    chosen = choices.dates.get(name, "")
    if not chosen:
        if wrong := dates.short_years(name, there):
            if choices.dates.get("") == DROP:
                return "holds dates"
            problems.add(wrong)
            return "holds dates whose century is open"
        some = any(map(dates.is_date, there[: dates.SAMPLE]))
        if not some or 2 * sum(mapped(dates.is_date, there)) <= len(there):
            return ""
        if choices.dates.get("") != DROP:
            problems.add(
                f"column {name!r} has dates, {quoted([str(there[0])])} and others, which a model does not take: set "
                f"dates to '{name}=drop', '{name}=days since 2020-01-01', '{name}=age at 2020-01-01' or '{name}=age at "
                "COLUMN'"
            )
            return "holds dates; choose what they become"
        chosen = DROP
    if chosen == DROP:
        return "holds dates"
    gap = gaps(choices.missing)
    try:
        found = dates.numbers(name, columns[name], chosen, columns, gap)
        numbers = [number for number in found if number is not None and number == number]
        if not numbers:
            raise ValueError(f"column {name!r} has no date in any row: leave it out")
        low, high = around(name, min(numbers), max(numbers))
    except ValueError as error:
        problems.add(str(error))
        return "holds dates that cannot be read"
    draft.said.append(f"column {name!r} becomes {chosen}")
    return Number(name, low, high, chosen)


def _column(problems: Problems, draft: Draft, name: str, there: Sequence[Any], rows: int) -> Number | Category | str:
    """A column of numbers if most of its values are, and else of words; or why it is neither."""
    if not there:
        problems.add(f"column {name!r} has no value in any of {rows:,} rows: add it to drop")
        return "has no value"
    numbers = [number for number in mapped(as_number, there) if number is not None and math.isfinite(number)]
    if _are_codes(there):
        draft.said.append(f"column {name!r} holds codes that begin with 0, and is one of words")
    elif 2 * len(numbers) >= len(there):
        return _number(problems, name, numbers)
    return _category(problems, name, there)


def _are_codes(there: Sequence[Any]) -> bool:
    """Whether these are digits of one length, some with 0 in front, as postal codes are."""
    if not all(isinstance(value, str) and value.strip().isdecimal() for value in there):
        return False
    texts = {value.strip() for value in there}
    return len(set(map(len, texts))) == 1 and any(len(text) > 1 and text.startswith("0") for text in texts)


def _number(problems: Problems, name: str, numbers: Sequence[float]) -> Number | str:
    try:
        around(name, min(numbers), max(numbers))
    except ValueError as error:
        problems.add(str(error))
        return "has no finite range"
    reached = within_reach(np.array(numbers))
    return Number(name, *around(name, float(reached.min()), float(reached.max())))


def _category(problems: Problems, name: str, there: Sequence[Any]) -> Category | str:
    spelled = Counter(mapped(word, there))
    levels: dict[str, str] = {}
    for text in sorted(spelled, key=lambda text: (-spelled[text], text)):
        levels.setdefault(plain_word(text), text)
    longest = max(map(len, spelled))
    if len(levels) > MOST_LEVELS or longest > LONGEST_WORD:
        named = "set person to it if it names patients, " if 2 * len(levels) > len(there) else ""
        problems.add(
            f"column {name!r} has {len(levels):,} different words ({quoted(sorted(spelled)[:1])} and others, the "
            f"longest of {longest} letters); a category has at most {MOST_LEVELS}, of at most {LONGEST_WORD} letters: "
            f"{named}add the column to drop, or join its words to fewer"
        )
        return f"has more than {MOST_LEVELS} different words, or longer ones than {LONGEST_WORD} letters"
    return Category(name, tuple(sorted(levels.values())))


def joined(column: Category, counts: NDArray[np.int64], least: int, said: list[str]) -> Category:
    """The column with rare levels as `other`, and a sentence on it in `said`; the column itself where none is rare.

    counts: int64[hospitals, levels], rows of each. Rare are levels with fewer than `least` rows, or at one hospital
    alone; 0 joins none.
    """
    rows, sites = counts.sum(axis=0), (counts > 0).sum(axis=0)
    rare = [level for level, n, at in zip(column.levels, rows, sites, strict=True) if n < least or at < 2]
    if not least or not (rare := [level for level in rare if level != OTHER]):
        return column
    said.append(
        f"Column {column.name}: {', '.join(rare)} joined as {OTHER!r}, for fewer than {least} rows have them, or one "
        "hospital alone (--least-cell)"
    )
    return column.joined(set(column.levels) - set(rare))


def counted(column: Category, values: Sequence[Any], sites: Sequence[Any]) -> NDArray[np.int64]:
    """int64[hospitals, levels]: how many rows of raw values each hospital has of each level."""
    places = {plain_word(level): place for place, level in enumerate(column.levels)}
    pairs = Counter((word(site), places.get(plain_word(value))) for value, site in zip(values, sites, strict=True))
    names = {site: row for row, site in enumerate(sorted({site for site, _ in pairs}))}
    counts = np.zeros((len(names), len(column.levels)), np.int64)
    for (site, place), rows in pairs.items():
        if place is not None:
            counts[names[site], place] += rows
    return counts


HEADER = """\
# A schema: what hospitals agree on before anything is computed. A draft, drawn up from rows: read each line.
# Ranges bound what a hospital's statistics can be; a value outside is refused at its hospital. Enter the limits of
# your units, not those of the rows at hand. Levels are your coding list: a level "other" takes every word without one.
# What stands for a missing value, besides NA, N/A, NaN, a point, a dash and nothing: missing = ["-9", "unknown"] here.
"""
LABEL = {
    "classification": "\n# What is predicted. positive counts as 1, negative as 0; any other word is refused.\n",
    "regression": "\n# What is predicted, a number.\n",
    "count": "\n# What is predicted, a count from 0 to high.\n",
    "multiclass": "\n# What is predicted: one of these classes; any other word is refused.\n",
    "survival": (
        "\n# What is predicted: the time to an event. event is the column that says whether it came (positive), or a\n"
        "# row was last seen without it (negative). Within each interval the hazard is taken to be constant.\n"
    ),
}
NO_LABEL = """
# What is predicted could not be drawn up. Complete it: two classes, or a number with its range.
# [label]
# name = {name}
# task = "classification"
# positive = "…"
# negative = ["…"]
"""


def commented(schema: Schema | Draft, label: str, left_out: Mapping[str, str]) -> str:
    """The text of a schema's file with comments. It says nothing of single rows beyond ranges and levels.

    left_out: columns that are no features, and why: they stand there as comments.
    """
    parts = [HEADER, tomli_w.dumps({"missing": list(schema.missing)}) if schema.missing else ""]
    if schema.label:
        parts += [LABEL[schema.label.task], tomli_w.dumps({"label": schema.label.table()})]
    else:
        parts.append(NO_LABEL.format(name=tomli_w.dumps({"_": label}).partition("= ")[2].strip()))
    for column in schema.columns:
        about = "words" if isinstance(column, Category) else "dates, as a number" if column.date else "a number"
        parts += [f"\n# {about}\n", tomli_w.dumps({"columns": {column.name: column_table(column)}})]
    for name, why in left_out.items():
        heading = tomli_w.dumps({"columns": {name: {"levels": []}}}).partition("\n")[0]
        parts.append(f"\n# left out: it {why}\n# {heading}\n")
    return "".join(parts)
