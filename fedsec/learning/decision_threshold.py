"""From which probability on a row counts as positive: a number, or a rule that looks at rows by score."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from fedsec.errors import ConfigurationError, shown
from fedsec.learning import clinical
from fedsec.learning.clinical import LEAST, THRESHOLD, Bins

YOUDEN, SENSITIVITY, SPECIFICITY = "youden", "sensitivity", "specificity"
EXPECTED = "youden, sensitivity=0.9, specificity=0.9 or a probability between 0 and 1"
"""What a rule may be, in words."""


class Rule(NamedTuple):
    """How a threshold is chosen; `value` is the share that is asked for, or the threshold itself."""

    kind: Literal["fixed", "youden", "sensitivity", "specificity"]
    value: float


class Chosen(NamedTuple):
    """A threshold and how it was found, as a sentence."""

    threshold: float
    how: str


def parse(text: str) -> Rule:
    """The rule of a text: youden, sensitivity=S, specificity=S, or a probability.

    Raises ConfigurationError naming value and what was expected.
    """
    name, given, share = text.strip().lower().partition("=")
    if name == YOUDEN and not given:
        return Rule("youden", math.nan)
    kind: Literal["fixed", "sensitivity", "specificity"] = "fixed"
    if given and name == SENSITIVITY:
        kind = "sensitivity"
    elif given and name == SPECIFICITY:
        kind = "specificity"
    try:
        value = float(share if given else name)
    except ValueError:
        value = math.nan
    if not 0.0 < value < 1.0 or (given and kind == "fixed"):
        raise ConfigurationError(f"decision-threshold is {shown(text)}; {EXPECTED} was expected")
    return Rule(kind, value)


def choose(rule: Rule, bins: Bins | None, where: str) -> Chosen:
    """The threshold that the rule finds on these rows, an edge between two bins; `where` says whose rows they are.

    youden: the largest sensitivity + specificity - 1 (Youden, Cancer 3, 1950), of several the one nearest to 0.5.
    sensitivity: the highest threshold with at least that sensitivity. specificity: the lowest with at least that one.
    Without rows, or with fewer than LEAST of a class, it is 0.5, and the sentence says so.
    """
    if rule.kind == "fixed":
        return Chosen(rule.value, "set, not chosen from rows")
    if bins is None:
        return Chosen(THRESHOLD, "0.5, for there is no evaluation to choose from")
    if bins.lacking:
        return Chosen(THRESHOLD, f"0.5, for {where} have fewer than {LEAST} rows of one class: too few to choose from")
    points = clinical.curve(bins)
    if rule.kind == "youden":
        best = max(points, key=lambda one: (round(_youden(one), 12), -abs(one.threshold - 0.5)))
        return Chosen(best.threshold, f"by Youden's index, {_youden(best):.2f} on {where}")
    if rule.kind == "sensitivity":
        enough = [one for one in points if one.sensitivity.value >= rule.value - 1e-12]
        best = enough[-1] if enough else points[0]
        reached = best.sensitivity.value
    else:
        enough = [one for one in points if one.specificity.value >= rule.value - 1e-12]
        best = enough[0] if enough else points[-1]
        reached = best.specificity.value
    return Chosen(best.threshold, f"for a {rule.kind} of {rule.value:g}, {reached:.3f} on {where}")


def _youden(point: clinical.Point) -> float:
    return point.sensitivity.value + point.specificity.value - 1.0
