"""What may be wrong with rows that can be read: each a sentence with its cure, told before anything is trained.

Nothing here refuses a row: a suspicion may be right data. With `--strict` each is an error. The secure statistics count
the hospitals that have each of them, by kind and column.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsec.data.bundled import Floats
from fedsec.data.cells import is_gap, plain_word, quoted, word
from fedsec.data.dates import SERIALS
from fedsec.data.label import Label
from fedsec.data.schema import MOST_LEVELS, Number, Schema
from fedsec.data.table import Suspicion, Table
from fedsec.data.table_columns import CASE, LABEL_CASE

FARTHEST, MAD_TO_DEVIATION = 6.0, 1.4826
"""Robust deviations: 1.4826 times the median distance from the median, which a normal distribution's deviation is."""
CODES = (
    -1.0,
    *(float(sign * int(str(digit) * places)) for digit in (7, 8, 9) for places in (1, 2, 3, 4) for sign in (1, -1)),
)
"""What people write for a missing number: -1, 9, -9, 99, 999, -99 and their kin."""
FEWEST, FEWEST_AT_A_SITE = 20, 10
PURE = 0.995
"""From this share of rows on that a column tells the label of, it may be the label in other words."""
CONSTANT, COUNTER, DAYS, SENTINEL, FAR, TELLS = ("constant", "row number", "days", "code", "far off", "tells the label")
FEW, ONE_CLASS, ALIKE = "few rows", "one class", "names alike"
OF_NUMBERS: Mapping[str, str] = {
    CONSTANT: "never varies",
    COUNTER: "counts the rows",
    DAYS: "may hold days as Excel counts them",
    SENTINEL: "has what may be codes for a missing value, such as -9 or 999",
    FAR: f"has values beyond {FARTHEST:g} robust deviations",
    TELLS: "tells the label of nearly every row",
}
OF_CATEGORIES: Mapping[str, str] = {
    CONSTANT: "never varies",
    CASE: "has levels that differ in case alone",
    TELLS: "tells the label of nearly every row",
}
OF_LABELS = (SENTINEL, FAR)
"""Kinds of suspicion of a label that is a number, a count or a time."""
OF_HOSPITALS: Mapping[str, str] = {
    FEW: f"fewer than {FEWEST_AT_A_SITE} rows",
    ONE_CLASS: "rows of one class alone",
    LABEL_CASE: "classes of the label that differ in case alone",
}
"""What the secure statistics count hospitals by: of each column, and of a hospital's rows as a whole."""
KINDS = (*dict.fromkeys((*OF_NUMBERS, *OF_CATEGORIES, *OF_HOSPITALS, ALIKE)),)


def suspicions(table: Table) -> list[Suspicion]:
    """What looks wrong in a table, the columns first, then the label, then the sites."""
    return [*_of_columns(table), *_of_sites(table)]


def places(schema: Schema) -> list[tuple[str, str]]:
    """Kind and column of each suspicion that the secure statistics count; no column where all rows are meant."""
    return [
        *((kind, column.name) for column in schema.numbers for kind in OF_NUMBERS),
        *((kind, column.name) for column in schema.categories for kind in OF_CATEGORIES),
        *((kind, schema.label.name) for kind in OF_LABELS if numeric(schema.label)),
        *((kind, "") for kind in OF_HOSPITALS if schema.label.groups or kind == FEW),
    ]


def numeric(label: Label) -> bool:
    """Whether a label is a number, a count or a time."""
    return label.task in ("regression", "count", "survival")


def flags(table: Table, least: int = 0) -> list[float]:
    """1 for each of `places` that is suspicious in one hospital's rows, and 0 for every other.

    least: of a column with fewer values than this nothing is told.
    """
    read = (one for one in table.suspicions if one.rows)
    present = {one.name: (~np.isnan(table.numbers[:, place])).sum() for place, one in enumerate(table.schema.numbers)}
    present |= {one.name: (table.levels[:, place] >= 0).sum() for place, one in enumerate(table.schema.categories)}
    found = {
        (one.kind, one.column)
        for one in (*_of_columns(table), *of_hospital(table), *read)
        if not one.column or present.get(one.column, least) >= least
    }
    return [float(place in found) for place in places(table.schema)]


def of_hospital(table: Table) -> list[Suspicion]:
    """What looks wrong with the rows of one hospital as a whole."""
    found, rows = list[Suspicion](), len(table.target)
    if rows < FEWEST_AT_A_SITE:
        found.append(Suspicion(FEW, f"there are {rows} rows; fewer than {FEWEST_AT_A_SITE} are hardly a hospital's"))
    if table.schema.label.groups and np.ptp(table.group) == 0:
        text = f"label {table.schema.label.columns[-1]!r} has one class in all {rows:,} rows: check the file"
        found.append(Suspicion(ONE_CLASS, text))
    return found


def in_words(kind: str, column: str) -> str:
    """What hospitals are counted by, for a reader: `column 'lactate' never varies`."""
    if column:
        return f"column {column!r} {OF_NUMBERS.get(kind) or OF_CATEGORIES[kind]}"
    return OF_HOSPITALS[kind]


def _of_columns(table: Table) -> Iterator[Suspicion]:
    for index, column in enumerate(table.schema.numbers):
        for kind, text in _of_numbers(column, table.numbers[:, index]):
            yield Suspicion(kind, text, column.name)
    for index, category in enumerate(table.schema.categories):
        used = set(table.levels[:, index].tolist()) - {-1}
        if len(used) == 1:
            text = f"column {category.name!r} is {category.levels[used.pop()]!r} in all rows: leave it out"
            yield Suspicion(CONSTANT, text, category.name)
    if numeric(label := table.schema.label):
        about = Number(label.name, label.low, label.high)
        times = bool(label.event)  # many end with the study, so early ones are far from these, and right
        for kind, text in _of_numbers(about, np.abs(table.target) if times else table.target, "label", times):
            if kind in OF_LABELS:
                yield Suspicion(kind, text, label.name)
    for name in _near_the_label(table):
        text = "tells the label of nearly every row: leave it out, unless it is known before the label is"
        yield Suspicion(TELLS, f"column {name!r} {text}", name)


def _of_numbers(column: Number, values: Floats, what: str = "column", above: bool = False) -> Iterator[tuple[str, str]]:
    there = values[~np.isnan(values)]
    if not len(there):
        return
    if there.min() == there.max():
        yield CONSTANT, f"column {column.name!r} is {there[0]:g} in all rows that have a value: leave it out"
        return
    if len(there) < FEWEST:
        return
    if len(there) == len(values) and np.array_equal(np.sort(there), there.min() + np.arange(len(there))):
        span = f"from {there.min():g} to {there.max():g}"
        yield COUNTER, f"column {column.name!r} counts the rows, {span}: leave it out"
        return
    whole = bool((there == np.floor(there)).all())
    if not column.date and whole and there.min() >= SERIALS[0] and there.max() <= SERIALS[1]:
        text = f"may hold days as Excel counts them, {there.min():g} to {there.max():g}: choose what these dates become"
        yield DAYS, f"column {column.name!r} {text} (dates), or leave it out"
    codes = sentinels(there)
    if codes:
        counts = [int((there == code).sum()) for code in codes]
        found, named = [f"{code:g}" for code in codes], ",".join(f"{code:g}" for code in codes)
        text = f"has {quoted(found, counts)} far from its other values, which may be codes for a missing value"
        yield SENTINEL, f"{what} {column.name!r} {text}: then set missing to {named}"
    far = _far(np.where(np.isin(values, codes), np.nan, values))
    rows = np.flatnonzero(far & (values > np.median(there)) if above else far)
    if len(rows):
        counted = f"{len(rows):,} value{'s' if len(rows) > 1 else ''}"
        where = f"{values[rows[0]]:g} in row {rows[0] + 1}{' and others' if len(rows) > 1 else ''}"
        text = f"{counted} beyond {FARTHEST:g} robust deviations, {where}: check the cells"
        yield FAR, f"{what} {column.name!r}: {text}"


def sentinels(there: Floats) -> list[float]:
    """The codes for a missing number among these values: the outermost, and far from all that are none."""
    kept, found = there, list[float]()
    present = [code for code in CODES if (there == code).any()]
    for code in sorted(present, key=abs, reverse=True):
        rest = kept[kept != code]
        if len(rest) < FEWEST or not (code < rest.min() or code > rest.max()):
            continue
        middle = np.median(rest)
        deviation = MAD_TO_DEVIATION * float(np.median(np.abs(rest - middle)))
        beyond = code < 0 <= rest.min() or abs(code - middle) > max(
            FARTHEST * deviation, 1.5 * np.abs(rest - middle).max()
        )
        if beyond:
            kept, found = rest, [*found, code]
    return found


def _far(values: Floats) -> NDArray[np.bool_]:
    """bool[rows]: beyond 6 robust deviations; where none is negative, a value above 0 by the logarithms too.

    What is measured in a laboratory is skewed, and a large value no error: its logarithm is not far off.
    """
    there = values[~np.isnan(values)]
    far = _beyond(values, there)
    if len(there) and there.min() >= 0 and 2 * (there > 0).sum() > len(there):
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.log(values)
        far &= _beyond(logarithms, np.log(there[there > 0])) | ~(values > 0)
    return far


def _beyond(values: Floats, there: Floats) -> NDArray[np.bool_]:
    middle = np.median(there)
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(there - middle)))
    if not deviation > 0:
        return np.zeros(len(values), bool)
    with np.errstate(invalid="ignore"):
        far: NDArray[np.bool_] = np.abs(values - middle) > FARTHEST * deviation
    return far


def _near_the_label(table: Table) -> Iterator[str]:
    """The names of columns that tell nearly every row's label: it in other words, or what is known only after it."""
    label, rows = table.schema.label, len(table.target)
    target, groups = np.abs(table.target) if label.event else table.target, len(label.groups)
    if rows < FEWEST or target.min() == target.max():
        return
    for index, column in enumerate(table.schema.numbers):
        values = table.numbers[:, index]
        there = ~np.isnan(values)
        if there.sum() < FEWEST or np.ptp(values[there]) == 0 or np.ptp(target[there]) == 0:
            continue
        near = False
        if groups == 2:
            near = bool(there.all()) and _best_cut(values, table.group.astype(np.float64)) >= PURE
        elif groups and len(kinds := np.unique(values[there])) <= MOST_LEVELS:  # the classes in numbers
            places = np.where(there, np.searchsorted(kinds, np.where(there, values, kinds[0])) + 1, 0)
            near = _tells(places, table.group, groups)
        if not near and numeric(label):
            near = abs(float(np.corrcoef(values[there], target[there])[0, 1])) >= PURE
        if near:
            yield column.name
    for index, category in enumerate(table.schema.categories):
        if groups and _tells(table.levels[:, index] + 1, table.group, groups):
            yield category.name


def _tells(places: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> bool:
    """Whether nearly every row's group follows from its place, and not from the largest group alone."""
    cells = np.zeros((int(places.max()) + 1, groups))
    np.add.at(cells, (places, group), 1)
    return bool(cells.max(axis=1).sum() >= PURE * len(places) > cells.sum(axis=0).max())


def _best_cut(values: Floats, target: Floats) -> float:
    """The share of rows that are right, if all above a value are of one class and all others of the other."""
    order = np.argsort(values, kind="stable")
    ones = np.concatenate([[0.0], np.cumsum(target[order])])
    ends = np.concatenate([[True], np.diff(values[order]) > 0, [True]])
    right = ones[-1] - ones + np.arange(len(ones)) - ones  # below: class 0; above: class 1
    right = right[ends]
    largest = max(ones[-1], len(values) - ones[-1])
    best = float(max(right.max(), len(values) - right.min()))
    return best / len(values) if best > largest else 0.0


def _of_sites(table: Table) -> Iterator[Suspicion]:
    if table.site is None:
        return
    counts = np.bincount(table.site, minlength=len(table.sites))
    small = [place for place, rows in enumerate(counts) if rows < FEWEST_AT_A_SITE]
    if small:
        listed = quoted([table.sites[place] for place in small], [int(counts[place]) for place in small])
        text = f"hospitals with fewer than {FEWEST_AT_A_SITE} rows: {listed}; leave them out, or join small sites"
        yield Suspicion(FEW, f"{text} (minimum-rows)")
    if groups := len(table.schema.label.groups):
        of_site = np.zeros((len(table.sites), groups), np.int64)
        np.add.at(of_site, (table.site, table.group), 1)
        for name, rows, cells in zip(table.sites, counts, of_site, strict=True):
            if rows >= FEWEST_AT_A_SITE and rows in cells:
                none = groups == 2 and cells[1] == 0
                which = f"no row of class {table.schema.label.positive}" if none else "rows of one class alone"
                text = f"hospital {name!r} has {which} among {rows:,}: check it, or join small sites (minimum-rows)"
                yield Suspicion(ONE_CLASS, text)


def alike(what: str, values: Iterable[Any]) -> list[Suspicion]:
    """Names of sites or persons that may be one, such as 1, 01 and 1.0, or North and north."""
    names: dict[str, set[str]] = defaultdict(set)
    for text in {word(value) for value in values if not is_gap(value)}:
        plain = plain_word(text)
        names[plain.lstrip("0") or "0" if plain.isdecimal() else plain].add(text)
    groups = sorted(sorted(group) for group in names.values() if len(group) > 1)
    text = f"{what}s that look alike: {_listed(groups)}: write each in one way"
    return [Suspicion(ALIKE, text)] if groups else []


def _listed(groups: Sequence[Sequence[str]]) -> str:
    shown = [" and ".join(map(repr, group)) for group in groups[:5]]
    return "; ".join(shown) + (f"; and {len(groups) - 5:,} more" if len(groups) > 5 else "")
