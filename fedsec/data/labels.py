"""The label that a column can be, drawn up from its values: classes, a number, a count, or times to an event."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsec.data import label as kinds
from fedsec.data.cells import MOST_SHOWN, as_number, plain_word, quoted, word
from fedsec.data.label import INTERVALS, MOST_CLASSES, Label
from fedsec.data.problems import Problems
from fedsec.data.ranges import around
from fedsec.errors import ConfigurationError, unknown

TASKS = ("auto", *kinds.TASKS)
PAIRS = {
    "0": "1",
    "1": "2",
    "n": "y",
    "no": "yes",
    "f": "t",
    "false": "true",
    "alive": "dead",
    "survived": "died",
    "absent": "present",
    "negative": "positive",
    "censored": "event",
    "control": "case",
    "nein": "ja",
    "non": "oui",
}
"""Two classes whose meaning is known, the second of each pair counting as 1: in small letters."""
FEW_CLASSES = 10


def check_task(task: str, event: str = "") -> None:
    """Raise ConfigurationError for an unknown task, or where a column of events does not fit it."""
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if event and task not in ("auto", "survival"):
        raise ConfigurationError(
            f"event is {event!r} and task is {task}, which has no column of events: leave event out, or set task to "
            "survival"
        )
    if task == "survival" and not event:
        raise ConfigurationError(
            "task is survival, which needs event too: the column that says whether a row had the event at its time, or "
            "was last seen without it then"
        )


def draw_up(
    problems: Problems, notes: list[str], name: str, values: Sequence[Any], positive: str, task: str, drop: bool
) -> Label | None:
    """The label of a column of values without gaps, by what was chosen; None where `problems` says why there is none.

    positive: the class that counts as 1, or "". task: one of TASKS but survival, which `draw_up_survival` does. drop:
    whether rows without a label are left out.
    """
    spelled = Counter(map(word, values))
    if not spelled:
        problems.add(f"label {name!r} has no value in any row: name another column")
        return None
    classes: dict[str, str] = {}
    for text in sorted(spelled, key=lambda text: (-spelled[text], text)):
        classes.setdefault(plain_word(text), text)
    numbers = [number for value in values if (number := as_number(value)) is not None]
    if task == "multiclass":
        return _several(problems, notes, name, classes, positive, drop)
    if task == "count":
        return _count(problems, name, numbers, len(values), positive, drop)
    if task == "regression" or (task == "auto" and not positive and _is_number(len(numbers), values, classes)):
        return _number(problems, name, numbers, len(values), positive, drop)
    chosen = _positive(problems, name, classes, positive, len(numbers) == len(values))
    if chosen is None:
        return None
    found = _two(name, classes, chosen, positive, drop)
    _say(notes, f"label {name!r}", found)
    return found


def draw_up_survival(
    problems: Problems,
    notes: list[str],
    name: str,
    times: Sequence[Any],
    event: str,
    events: Sequence[Any],
    positive: str,
    drop: bool,
) -> Label | None:
    """The label of a column of times and one of events, of the rows that have both; None where `problems` says why.

    The intervals hold about as many events each, between times of two digits.
    """
    whether = draw_up(problems, [], event, events, positive, "classification", drop)
    numbers = [as_number(value) for value in times]
    known = [number for number in numbers if number is not None and math.isfinite(number)]
    if not known or 2 * len(known) <= len(times):
        problems.add(f"label {name!r}: {len(times) - len(known):,} of {len(times):,} values are no times: name another")
        return None
    if min(known) < 0 or max(known) == 0:
        what = f"a time of {min(known):g}" if min(known) < 0 else "no time above 0"
        problems.add(f"label {name!r} has {what}; times from 0 on were expected: correct the cells, or name another")
        return None
    if whether is None:
        return None
    high = around(name, 0.0, max(known))[1]
    there = [
        number
        for number, value in zip(numbers, events, strict=True)
        if number is not None and plain_word(word(value)) == plain_word(whether.positive)
    ]
    found = Label(
        name,
        "survival",
        0.0,
        high,
        whether.positive,
        whether.negative,
        drop,
        event=event,
        intervals=_intervals(there, high),
    )
    _say(notes, f"event {event!r}", found)
    notes.append(f"label {name!r}: times to the event, or to when a row was last seen without it")
    return found


def _intervals(times: Sequence[float], high: float) -> int | tuple[float, ...]:
    """Edges between about as many events each; intervals of equal width where there are few events."""
    if len(times) < INTERVALS * 2:
        return INTERVALS
    cuts = np.quantile(times, np.arange(1, INTERVALS) / INTERVALS).tolist()
    edges = sorted({float(f"{cut:.2g}") for cut in cuts if 0 < float(f"{cut:.2g}") < high})
    return (0.0, *edges, high)


def _two(name: str, classes: dict[str, str], chosen: str, positive: str, drop: bool) -> Label:
    """The label of two classes, of which this one, in its plain form, counts as 1."""
    others = tuple(sorted(text for plain, text in classes.items() if plain != chosen))
    if not others and not positive:
        others = tuple(
            one for low, high in PAIRS.items() for one in (low, high) if chosen in (low, high) and one != chosen
        )[:1]
    return Label(name, "classification", positive=classes.get(chosen, chosen), negative=others, drop_unlabelled=drop)


def _say(notes: list[str], what: str, found: Label) -> None:
    """Note which class counts as 1, where it goes without saying not."""
    if (plain_word(found.positive), tuple(map(plain_word, found.negative))) != ("1", ("0",)):
        notes.append(
            f"{what}: {found.positive!r} counts as 1, and {', '.join(map(repr, found.negative)) or 'nothing'} as 0 "
            "(positive chooses another class)"
        )


def _several(
    problems: Problems, notes: list[str], name: str, classes: dict[str, str], positive: str, drop: bool
) -> Label | None:
    if positive:
        raise ConfigurationError(
            f"task is multiclass and positive is {positive!r}, which is for two classes: leave one of them out"
        )
    if not 2 < len(classes) <= MOST_CLASSES:
        problems.add(
            f"label {name!r} has {len(classes):,} classes: {quoted(sorted(classes.values()), most=MOST_SHOWN)}; "
            f"multiclass takes 3 to {MOST_CLASSES}: set task to classification, or name another column"
        )
        return None
    found = Label(name, "multiclass", drop_unlabelled=drop, classes=tuple(sorted(classes.values(), key=_in_order)))
    notes.append(f"label {name!r} has the classes {', '.join(map(repr, found.classes))}")
    return found


def _in_order(text: str) -> tuple[float, str]:
    """Numbers by their size, and then words."""
    number = as_number(text)
    return (math.inf if number is None or not math.isfinite(number) else number, text)


def _count(
    problems: Problems, name: str, numbers: Sequence[float], rows: int, positive: str, drop: bool
) -> Label | None:
    found = _number(problems, name, list(numbers), rows, positive, drop, "count")
    odd = [number for number in numbers if math.isfinite(number) and (number < 0 or not number.is_integer())]
    if found is not None and odd:
        problems.add(
            f"label {name!r}: {odd[0]:g} is no count ({len(odd):,} of {rows:,} values are not): correct the cells, or "
            "set task to regression; whole numbers from 0 on were expected"
        )
        return None
    return found


def _is_number(numbers: int, values: Sequence[Any], classes: dict[str, str]) -> bool:
    """Whether values are a number to predict: most of them are numbers, and more than a few different ones."""
    whole = all((number := as_number(one)) is None or number.is_integer() for one in classes if one)
    return 2 * numbers > len(values) and len(classes) > 2 and not (whole and len(classes) <= FEW_CLASSES)


def _number(
    problems: Problems,
    name: str,
    numbers: list[float],
    rows: int,
    positive: str,
    drop: bool,
    task: kinds.Task = "regression",
) -> Label | None:
    if positive:
        raise ConfigurationError(
            f"task is {task} and positive is {positive!r}, which is for two classes: leave one of them out"
        )
    finite = [number for number in numbers if math.isfinite(number)]
    if 2 * len(finite) <= rows:
        problems.add(
            f"label {name!r}: {rows - len(finite):,} of {rows:,} values are no numbers: set task to classification"
        )
        return None
    try:
        low, high = around(name, 0.0 if task == "count" else min(numbers), max(numbers))
    except ValueError as error:
        problems.add(str(error))
        return None
    return Label(name, task, 0.0 if task == "count" else low, high, drop_unlabelled=drop)


def _positive(problems: Problems, name: str, classes: dict[str, str], positive: str, all_numbers: bool) -> str | None:
    """The class that counts as 1, in its plain form."""
    if positive:
        if plain_word(positive) not in classes:
            problems.add(str(unknown(f"class of label {name!r}", positive, classes.values())))
            return None
        if len(classes) <= FEW_CLASSES:
            return plain_word(positive)
        problems.add(f"label {name!r} has {len(classes):,} classes: name a column of at most {FEW_CLASSES}")
        return None
    known = [high for low, high in PAIRS.items() if classes.keys() <= {low, high}]
    if known:
        return known[0]
    shown = quoted(sorted(classes.values()), most=MOST_SHOWN)
    if all_numbers and len(classes) > 2:
        problems.add(
            f"label {name!r} has {len(classes)} values ({shown}), which may be classes or numbers: set positive to the "
            "class that counts as 1, or task to multiclass, count or regression"
        )
    elif len(classes) <= 2:
        problems.add(f"label {name!r} has {len(classes)} classes: {shown}; set positive to the one that counts as 1")
    else:
        problems.add(
            f"label {name!r} has {len(classes)} classes: {shown}; set positive to the one that counts as 1 against all "
            "others, or task to multiclass, or name another column"
        )
    return None
