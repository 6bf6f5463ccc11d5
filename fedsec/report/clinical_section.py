"""The page's section on a clinical evaluation: its figures with what they say, and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedsec.report import clinical_figures, units
from fedsec.report.clinical_document import Clinical, Evaluation, Site
from fedsec.report.clinical_words import MEASURES, off_text, threshold_text, treat_all
from fedsec.report.drawings import Drawn
from fedsec.report.figures import Style
from fedsec.report.parts import Interval

TEST, POOLED = "test rows", "hospitals' rows"
KINDS: Mapping[str, str] = {TEST: "smpc", POOLED: "he"}
"""How the two kinds of rows are drawn, as families of figures.styles."""
PREFIX = "clinical-"
OF_A_SITE = {
    "auc": "AUC",
    "calibration_in_the_large": "Calibration in the large",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}


def evaluations(found: Clinical) -> dict[str, Evaluation]:
    """The rows that there are, those of the headline first."""
    return {name: one for name, one in ((TEST, found.test), (POOLED, found.pooled)) if one is not None}


def draw(found: Clinical, looks: Mapping[str, Style]) -> Iterator[Drawn]:
    """The figures, where a kind of rows has enough of both classes."""
    shown = {name: one for name, one in evaluations(found).items() if one.curve}
    if not shown:
        return
    name, first = next(iter(shown.items()))
    threshold = found.threshold
    yield Drawn(
        f"{PREFIX}calibration", clinical_figures.calibration(shown, looks), "Calibration", _calibration(found, shown)
    )
    figure = clinical_figures.decision(name, first, threshold, looks)
    yield Drawn(f"{PREFIX}decision", figure, "Net benefit", _decision(found, name, first))
    figure = clinical_figures.roc(shown, threshold, looks)
    yield Drawn(f"{PREFIX}roc", figure, "ROC curve", _roc(found, shown))
    figure = clinical_figures.precision_recall(shown, looks)
    yield Drawn(f"{PREFIX}precision", figure, "Precision and recall", _precision(found, shown))


def _each(shown: Mapping[str, Evaluation], measure: str) -> str:
    """A measure of each kind of rows, as words; with its interval, where there is one."""
    parts = []
    for name, one in shown.items():
        if (value := one.measures.get(measure)) is not None:
            span = _span(one.intervals.get(measure))
            parts.append(f"{_figure(value)}{f' ({span})' if span else ''} on {'the ' if name == POOLED else ''}{name}")
    return ", ".join(parts) or "not defined"


def _calibration(found: Clinical, shown: Mapping[str, Evaluation]) -> str:
    return (
        f"Each point is a group of rows with similar predictions: how many of them had {found.label} = "
        f"{found.positive}, against how many the model expected. Above the dotted line the model predicts too low, "
        f"below it too high. Bars are 95% intervals of the {next(iter(shown))}. Slope, ideally 1, and below it where "
        f"predictions are too extreme: {_each(shown, 'calibration_slope')}."
    )


def _decision(found: Clinical, name: str, one: Evaluation) -> str:
    odds = (1.0 - found.threshold) / found.threshold
    price = (
        f"{odds:.2g} false alarms"
        if odds >= 1.05
        else "one false alarm"
        if odds > 0.95
        else "less than one false alarm"
    )
    return (
        f"What acting on the model gains on the {name}: patients found, less false alarms at the price that the "
        f"threshold puts on them. A threshold of {found.threshold:.2g} says that a missed patient is as bad as {price}."
        f" The model helps where its line is above both others: {_useful(one)}."
    )


def _useful(one: Evaluation) -> str:
    """At which thresholds acting on the model is better than taking everybody or nobody as positive."""
    better = [
        place
        for place, point in enumerate(one.curve)
        if point.net_benefit is not None
        and point.net_benefit > max(0.0, treat_all(one.prevalence, point.threshold)) + 1e-9
    ]
    if not better:
        return "here at no threshold"
    whole = better[-1] - better[0] + 1 == len(better)
    low, high = (_percent(one.curve[place].threshold) for place in (better[0], better[-1]))
    return f"here for thresholds {'from' if whole else 'in parts of the range from'} {low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def _roc(found: Clinical, shown: Mapping[str, Evaluation]) -> str:
    return (
        f"How many of the positives are found, against how many of the negatives are falsely called positive, over "
        f"all thresholds; the dot is the threshold of {found.threshold:.3g}. AUC: {_each(shown, 'auc')}."
    )


def _precision(found: Clinical, shown: Mapping[str, Evaluation]) -> str:
    first = next(iter(shown.values()))
    return (
        f"How many of those called positive are so, against how many of the positives are found. By chance it would "
        f"be {_percent(first.prevalence)}, the share of positives. PR-AUC: {_each(shown, 'average_precision')}."
    )


def section(found: Clinical | None) -> dict[str, Any] | None:
    """What the template shows, apart from the figures."""
    if found is None:
        return None
    shown = evaluations(found)
    return {
        "threshold": threshold_text(found),
        "names": list(shown),
        "counts": [f"{units.plural(one.rows, 'row')}, {one.positive:,} positive" for one in shown.values()],
        "rows": [(title, [_cell(one, name) for one in shown.values()]) for name, title in MEASURES.items()],
        "lacking": [name for name, one in shown.items() if not one.curve],
        "site_names": list(OF_A_SITE.values()),
        "sites": _sites(found.sites),
        "left_out": _sites(found.left_out),
    }


def _cell(one: Evaluation, name: str) -> tuple[str, str]:
    span, off = _span(one.intervals.get(name)), off_text(one, name)
    return _figure(one.measures.get(name)), span or (f"± {off}" if off[:1].isdigit() and off != "0" else off.strip("0"))


def _figure(value: float | None) -> str:
    return units.NONE if value is None else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _span(span: Interval | None) -> str:
    if span is None or span[0] is None or span[1] is None:
        return ""
    return f"{_figure(span[0])} to {_figure(span[1])}"


def _sites(sites: Sequence[Site]) -> list[tuple[str, int, int, list[tuple[Any, str]]]]:
    return [
        (
            one.hospital,
            one.rows,
            one.positive,
            [("" if (value := one.measures.get(name)) is None else value, _figure(value)) for name in OF_A_SITE],
        )
        for one in sites
    ]
