"""The label that a column can be: two classes, of which one counts as 1, or a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fedsec.data.cells import MOST_SHOWN, as_number, plain_word, quoted, word
from fedsec.data.problems import Problems
from fedsec.data.ranges import around
from fedsec.data.schema import Label
from fedsec.errors import ConfigurationError, unknown

TASKS = ("auto", "classification", "regression")
LATER = ("count", "survival", "multiclass")
"""Tasks that fedsec has no model for."""
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


def check_task(task: str) -> None:
    """Raise ConfigurationError for a task that is not trained, in words for one that others have."""
    if task in LATER:
        raise ConfigurationError(
            f"task is {task!r}, which fedsec does not train: make the label two classes or a number, and set task to "
            "classification or regression"
        )
    if task not in TASKS:
        raise unknown("task", task, TASKS)


def draw_up(
    problems: Problems, notes: list[str], name: str, values: Sequence[Any], positive: str, task: str, drop: bool
) -> Label | None:
    """The label of a column of values without gaps, by what was chosen; None where `problems` says why there is none.

    positive: the class that counts as 1, or "". task: one of TASKS. drop: whether rows without a label are left out.
    """
    spelled = Counter(map(word, values))
    if not spelled:
        problems.add(f"label {name!r} has no value in any row: name another column")
        return None
    classes: dict[str, str] = {}
    for text in sorted(spelled, key=lambda text: (-spelled[text], text)):
        classes.setdefault(plain_word(text), text)
    numbers = [number for value in values if (number := as_number(value)) is not None]
    if task == "regression" or (task == "auto" and not positive and _is_number(len(numbers), values, classes)):
        return _number(problems, name, numbers, len(values), positive, drop)
    chosen = _positive(problems, name, classes, positive, len(numbers) == len(values))
    if chosen is None:
        return None
    others = tuple(sorted(text for plain, text in classes.items() if plain != chosen))
    if not others and not positive:
        others = tuple(
            one for low, high in PAIRS.items() for one in (low, high) if chosen in (low, high) and one != chosen
        )[:1]
    found = Label(name, "classification", positive=classes.get(chosen, chosen), negative=others, drop_unlabelled=drop)
    if (chosen, tuple(map(plain_word, others))) != ("1", ("0",)):
        notes.append(
            f"label {name!r}: {found.positive!r} counts as 1, and {', '.join(map(repr, others)) or 'nothing'} as 0 "
            "(positive chooses another class)"
        )
    return found


def _is_number(numbers: int, values: Sequence[Any], classes: dict[str, str]) -> bool:
    """Whether values are a number to predict: most of them are numbers, and more than a few different ones."""
    whole = all((number := as_number(one)) is None or number.is_integer() for one in classes if one)
    return 2 * numbers > len(values) and len(classes) > 2 and not (whole and len(classes) <= FEW_CLASSES)


def _number(problems: Problems, name: str, numbers: list[float], rows: int, positive: str, drop: bool) -> Label | None:
    if positive:
        raise ConfigurationError(
            f"task is regression and positive is {positive!r}, which is for two classes: leave one of them out"
        )
    finite = [number for number in numbers if math.isfinite(number)]
    if 2 * len(finite) <= rows:
        problems.add(
            f"label {name!r}: {rows - len(finite):,} of {rows:,} values are no numbers: set task to classification"
        )
        return None
    try:
        low, high = around(name, min(numbers), max(numbers))
    except ValueError as error:
        problems.add(str(error))
        return None
    return Label(name, "regression", low, high, drop_unlabelled=drop)


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
            "class that counts as 1, or task to regression"
        )
    elif len(classes) <= 2:
        problems.add(f"label {name!r} has {len(classes)} classes: {shown}; set positive to the one that counts as 1")
    else:
        problems.add(
            f"label {name!r} has {len(classes)} classes: {shown}; fedsec trains two classes, or a number: set positive "
            "to the one that counts as 1 against all others, or name another column"
        )
    return None
