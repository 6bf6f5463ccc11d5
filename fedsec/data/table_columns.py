"""A table from columns of raw values, by a schema: what does not fit is told by column and row, all in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fedsec.data.bundled import Dataset, Floats
from fedsec.data.cells import gaps, is_gap, mapped, plain_word, quoted, word
from fedsec.data.column_values import UNKNOWN, levels_of, numbers_of
from fedsec.data.label import Label
from fedsec.data.problems import Problems
from fedsec.data.schema import OTHER, Category, Number, Schema
from fedsec.data.table import Integers, Suspicion, Table

CASE, LABEL_CASE = "levels that differ in case", "classes that differ in case"
"""Kinds of suspicion that reading alone can find."""
MISSING_CURE = "name what stands for a missing value (missing)"


def of_dataset(dataset: Dataset, ranges: Mapping[str, tuple[float, float]], target: tuple[float, float]) -> Table:
    """A dataset of numbers without gaps, as a table; `ranges` by column."""
    columns = tuple(Number(name, *ranges[name]) for name in dataset.feature_names)
    label = Label("target", dataset.task, *target)
    numbers, none = dataset.features, np.empty((len(dataset.target), 0), np.int64)
    table = Table(dataset.name, Schema(columns, label), numbers, none, dataset.target, dataset.source)
    problems = Problems(dataset.name)
    for index, column in enumerate(columns):
        _check_range(problems, column, numbers[:, index])
    problems.check()
    return table


def of_columns(
    name: str,
    columns: Mapping[str, Sequence[Any]],
    schema: Schema,
    source: str,
    site: Sequence[Any] | None = None,
    person: Sequence[Any] | None = None,
) -> Table:
    """A table from columns of raw values; None, NaN, and what stands for a missing value are gaps. Rows count from 1.

    Raises DataError with all that does not fit, naming column, row, value, what was expected, and the cure.
    """
    problems = Problems(name)
    table = read_table(problems, columns, schema, source, site, person)
    if table is None:
        raise problems.error()
    return table


def read_table(
    problems: Problems,
    columns: Mapping[str, Sequence[Any]],
    schema: Schema,
    source: str,
    site: Sequence[Any] | None = None,
    person: Sequence[Any] | None = None,
) -> Table | None:
    """`of_columns`, which adds to `problems` what does not fit; None where there is any problem."""
    missing = [
        one for one in (*(column.name for column in schema.columns), *schema.label.columns) if one not in columns
    ]
    if missing:
        problems.add(f"columns {missing} of the schema are missing; there are {sorted(columns)}: add or rename them")
        return None
    rows, gap, suspicions = len(columns[schema.label.name]), gaps(schema.missing), list[Suspicion]()
    if not rows:
        problems.add("no rows")
        return None
    numbers = np.empty((rows, len(schema.numbers)))
    for index, number in enumerate(schema.numbers):
        numbers[:, index] = _numbers(problems, number, columns, gap)
    levels = np.empty((rows, len(schema.categories)), np.int64)
    for index, category in enumerate(schema.categories):
        levels[:, index] = _levels(problems, category, columns[category.name], gap, suspicions)
    target = _target(problems, schema.label, columns, gap, suspicions)
    sites, where = read_sites(problems, site) if site is not None else ((), None)
    people = read_persons(problems, person) if person is not None else None
    if problems.found:
        return None
    table = Table(
        problems.name, schema, numbers, levels, target, source, sites, where, people, suspicions=tuple(suspicions)
    )
    labelled = np.flatnonzero(~np.isnan(target))
    if len(labelled) == rows:
        return table
    table = _without_empty_sites(table.take(labelled))
    note = f"{rows - len(labelled):,} of {rows:,} rows have no label {schema.label.name!r} and were left out"
    return replace(table, notes=(note,))


def _without_empty_sites(table: Table) -> Table:
    if table.site is None:
        return table
    kept, site = np.unique(table.site, return_inverse=True)
    return replace(table, sites=tuple(table.sites[index] for index in kept), site=site.astype(np.int64))


def _numbers(
    problems: Problems, column: Number, columns: Mapping[str, Sequence[Any]], gap: Callable[[Any], bool]
) -> Floats:
    """A column's values; 0 for each that is none, which `problems` then has."""
    name, values = column.name, columns[column.name]
    try:
        found = numbers_of(column, columns, gap)
    except ValueError as error:
        problems.add(str(error))
        return np.zeros(len(values))
    if None in found:
        row = found.index(None)
        words = Counter(str(value).strip() for value, number in zip(values, found, strict=True) if number is None)
        problems.add(
            f"column {name!r}, row {row + 1}: {values[row]!r} is not a {'date' if column.date else 'number'} "
            f"({found.count(None):,} of {len(found):,} are not: {quoted(*_common(words))}); correct them, "
            f"{MISSING_CURE}, or leave the column out; a column of words has its levels in the schema"
        )
    array = np.array([0.0 if number is None else number for number in found], dtype=np.float64)
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        problems.add(f"column {name!r}, row {row + 1}: {array[row]}; a finite number was expected: correct the cell")
    else:
        _check_range(problems, column, np.where([number is None for number in found], np.nan, array))
    return array


def _common(counts: Counter[str]) -> tuple[list[str], list[int]]:
    """Words and their counts, the most frequent first."""
    found = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [text for text, _ in found], [count for _, count in found]


def _levels(
    problems: Problems,
    category: Category,
    values: Sequence[Any],
    gap: Callable[[Any], bool],
    suspicions: list[Suspicion],
) -> Integers:
    """`levels_of`, with words that are no level as a problem, and those that differ in case as a suspicion."""
    found = np.array(levels_of(category, values, gap), np.int64)
    if (found == UNKNOWN).any():
        rows = np.flatnonzero(found == UNKNOWN).tolist()
        unknown = Counter(word(values[row]) for row in rows)
        problems.add(
            f"column {category.name!r}, row {rows[0] + 1}: {values[rows[0]]!r} is not among the schema's levels: "
            f"{', '.join(category.levels)} ({len(rows):,} of {len(values):,} are not: {quoted(*_common(unknown))}; a "
            f"level {OTHER!r} would take them): correct them, or add them"
        )
    texts = {value: word(value) for value in set(values)}
    of_text = {(texts[value], level) for value, level in zip(values, found.tolist(), strict=True) if level >= 0}
    other = {
        text
        for text, place in of_text
        if text != (level := category.levels[place]) and text.casefold() == level.casefold()
    }
    if other:
        cased = Counter(texts[value] for value in values if texts[value] in other)
        text = f"read as levels that differ in case alone: {quoted(*_common(cased))}; write them alike"
        rows = [row for row, value in enumerate(values) if texts[value] in other]
        suspicions.append(Suspicion(CASE, f"column {category.name!r}: {text}", category.name, tuple(rows)))
    return found


def _check_range(problems: Problems, column: Number, values: Floats) -> None:
    out = np.flatnonzero((values < column.low) | (values > column.high))
    if len(out):
        problems.add(
            f"column {column.name!r}, row {out[0] + 1}: {values[out[0]]:g}; the schema allows {column.low:g} to "
            f"{column.high:g} ({len(out):,} of {len(values):,} values are outside): correct the cells, {MISSING_CURE}, "
            "or agree on a wider range in the schema"
        )


def _target(
    problems: Problems,
    label: Label,
    columns: Mapping[str, Sequence[Any]],
    gap: Callable[[Any], bool],
    suspicions: list[Suspicion],
) -> Floats:
    """The label of each row, NaN where it has none and the schema leaves such rows out."""
    values = columns[label.name]
    gaps_of = [mapped(gap, columns[one]) for one in label.columns]
    empty = [row for row, none in enumerate(zip(*gaps_of, strict=True)) if any(none)]
    if len(empty) == len(values):
        problems.add(f"label {label.name!r} has no value in any of {len(values):,} rows: name another column")
    elif empty and not label.drop_unlabelled:
        without = label.columns[list(zip(*gaps_of, strict=True))[empty[0]].index(True)]
        problems.add(
            f"label {without!r}, row {empty[0] + 1}: no value ({len(empty):,} of {len(values):,} rows have none): "
            "fill them in, or leave these rows out (drop-unlabelled; in a schema drop_unlabelled = true in [label])"
        )
    if label.task == "classification":
        return _classes(problems, label.name, label, values, gap, suspicions)
    if label.task == "multiclass":
        return _several(problems, label, values, gap, suspicions)
    left_out = set(empty)  # the times of rows without an event are not looked at
    told = [None if row in left_out else value for row, value in enumerate(values)]
    numbers = _numbers(problems, Number(label.name, label.low, label.high), {**columns, label.name: told}, gap)
    if label.task == "count" and len(odd := np.flatnonzero(~np.isnan(numbers) & (numbers != np.floor(numbers)))):
        problems.add(
            f"label {label.name!r}, row {odd[0] + 1}: {numbers[odd[0]]:g} is no count ({len(odd):,} of {len(values):,} "
            "values are not): whole numbers were expected; correct the cells"
        )
    if not label.event:
        return numbers
    events = _classes(problems, label.event, label, columns[label.event], gap, suspicions)
    return np.where(np.isnan(events), np.nan, np.copysign(numbers, events - 0.5))


def _several(
    problems: Problems, label: Label, values: Sequence[Any], gap: Callable[[Any], bool], suspicions: list[Suspicion]
) -> Floats:
    """The place of each row's class, NaN for gaps; a class called `other` takes no other word."""
    index = {plain_word(one): place for place, one in enumerate(label.classes)}
    plain = mapped(lambda value: None if gap(value) else plain_word(value), values)
    odd = Counter(word(value) for value, one in zip(values, plain, strict=True) if one is not None and one not in index)
    if odd:
        row = next(row for row, one in enumerate(plain) if one is not None and one not in index)
        problems.add(
            f"label {label.name!r}, row {row + 1}: {word(values[row])!r} is none of its classes: "
            f"{', '.join(label.classes)} ({odd.total():,} of {len(values):,} are not: {quoted(*_common(odd))}): "
            "correct them, or add them to the schema"
        )
    exact = set(label.classes)
    cased = Counter(
        text for value, one in zip(values, plain, strict=True) if one in index and (text := word(value)) not in exact
    )
    if cased:
        rows = tuple(row for row, value in enumerate(values) if word(value) in cased)
        text = f"read as classes that differ in case alone: {quoted(*_common(cased))}; write them alike"
        suspicions.append(Suspicion(LABEL_CASE, f"label {label.name!r}: {text}", rows=rows))
    return np.array([np.nan if one is None else float(index.get(one, 0)) for one in plain])


def _classes(
    problems: Problems,
    name: str,
    label: Label,
    values: Sequence[Any],
    gap: Callable[[Any], bool],
    suspicions: list[Suspicion],
) -> Floats:
    """1 for the positive class, 0 for the others, NaN for gaps; name: of the column that has them."""
    positive, named = plain_word(label.positive), {plain_word(one) for one in label.negative}
    plain = mapped(lambda value: None if gap(value) else plain_word(value), values)
    others = sorted({one for one in plain if one not in (None, positive)} - named)
    if len(others) > (0 if named else 1):
        odd = [word(value) for value, one in zip(values, plain, strict=True) if one in others]
        row = plain.index(plain_word(odd[0])) if named else plain.index(others[1])
        allowed = f"{label.positive!r} and {', '.join(map(repr, label.negative)) if named else 'one other'}"
        problems.add(
            f"label {name!r}, row {row + 1}: {word(values[row])!r} is one class too many; expected {allowed}, "
            f"found {len(others)} others: {quoted(*_common(Counter(odd)))}: correct the cells"
        )
    spelled = Counter(word(value) for value, one in zip(values, plain, strict=True) if one is not None)
    usual = {
        one: max((text for text in spelled if plain_word(text) == one), key=lambda text: (spelled[text], text))
        for one in map(plain_word, spelled)
    }
    cased = {
        text: n for text, n in spelled.items() if text.casefold() == plain_word(text) and text != usual[text.casefold()]
    }
    if cased:
        text = f"read as classes that differ in case alone: {quoted(*_common(Counter(cased)))}; write them alike"
        rows = tuple(row for row, value in enumerate(values) if word(value) in cased)
        suspicions.append(Suspicion(LABEL_CASE, f"label {name!r}: {text}", rows=rows))
    return np.array([np.nan if one is None else float(one == positive) for one in plain])


def read_persons(problems: Problems, person: Sequence[Any]) -> Integers:
    if empty := [row for row, none in enumerate(mapped(is_gap, person)) if none]:
        problems.add(
            f"the person of row {empty[0] + 1} is empty ({len(empty):,} of {len(person):,} rows have none): fill it "
            "in, so that each person's rows stay together"
        )
    return np.unique([word(one) for one in person], return_inverse=True)[1].astype(np.int64)


def read_sites(problems: Problems, values: Sequence[Any]) -> tuple[tuple[str, ...], Integers]:
    if empty := [row for row, none in enumerate(mapped(is_gap, values)) if none]:
        problems.add(
            f"the site of row {empty[0] + 1} is empty ({len(empty):,} of {len(values):,} rows have none): fill in each "
            "row's hospital"
        )
    words = mapped(word, values)
    names = sorted(set(words), key=lambda one: (not one.isdecimal(), int(one) if one.isdecimal() else 0, one))
    index = {site: number for number, site in enumerate(names)}
    return tuple(names), np.array([index[one] for one in words], dtype=np.int64)


def read_features(
    problems: Problems,
    columns: Mapping[str, Sequence[Any]],
    features: Sequence[Number | Category],
    missing: Sequence[str],
) -> None:
    """Add to `problems` what does not fit in the cells of these columns, where there is no label to read."""
    gap = gaps(missing)
    for column in features:
        if isinstance(column, Number):
            _numbers(problems, column, columns, gap)
        else:
            _levels(problems, column, columns[column.name], gap, [])
