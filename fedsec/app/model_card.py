"""The model card: what a trained model is for, what it reads, how well it does, and what was protected.

After M. Mitchell et al., Model cards for model reporting, FAT* 2019. Markdown, so that it can stand beside the model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fedsec.app.simulated import Compared
from fedsec.data.label import Label, Task
from fedsec.data.schema import Number
from fedsec.disclosure.facts import Statement
from fedsec.learning.clinical import LEAST
from fedsec.learning.intervals import HIGH, LOW, no_intervals
from fedsec.learning.trained_model import TrainedModel
from fedsec.report import units
from fedsec.report.card_section import CARD
from fedsec.report.clinical_document import Evaluation
from fedsec.report.clinical_words import MEASURES, off_text, one_sided

__all__ = ["CARD", "card"]
ADDED: Mapping[Task, str] = {
    "classification": "log-odds",
    "regression": "standard deviations of the label",
    "count": "logarithms of the expected count",
    "survival": "logarithms of the hazard",
}
"""What the coefficients of a linear model with one score add to."""
_SIGNS = re.compile(r"[\\`*\[\]<&~|]|(?<!\w)_|_(?!\w)")
"""What Markdown would take as a sign of its own in a name."""
_ROUNDING = 1e-9
"""What a secure sum's rounding may take off a share of 1."""


def card(
    trained: TrainedModel,
    statement: Statement,
    evaluated: Mapping[str, Any] | None,
    tested: Compared | None = None,
    found: Evaluation | None = None,
) -> str:
    """The card as Markdown.

    evaluated: the means of the last evaluation at the hospitals, on the rows that they trained on; tested: on others.
    found: the clinical evaluation on the hospitals' rows, of a classification.
    """
    name, about = _name(trained.schema.label.name), trained.about
    label, predicted = trained.schema.label, _predicted(trained.schema.label)
    hospitals, preparation = about.get("hospitals", "several"), trained.preparation
    if label.groups:
        shares = preparation.target_shares or (1.0 - preparation.target_mean, preparation.target_mean)
        told = list(zip(label.groups, shares, strict=True))
        spread = ", ".join(f"{_share(share)} of them {_name(group)}" for group, share in told[len(told) == 2 :])
    else:
        spread = f"{name} {preparation.target_mean:.4g} ± {preparation.target_deviation:.3g}"
    lines = [
        f"# Model card: {name}",
        "",
        f"A {trained.model} model that predicts {predicted} from {len(trained.schema.columns)} columns, trained across "
        f"{hospitals} hospitals in {about.get('rounds', 'some')} rounds by `fedsec`.",
        "",
        "## Intended use",
        "",
        "Research. This model is no medical device, and nobody has validated it for care. Whoever wants to use it "
        "states here for whom, by whom and for which decision, and validates it on patients of the place where it is "
        "used.",
        "",
        "## Training data",
        "",
        f"{preparation.rows:,} rows at {hospitals} hospitals; {spread}.",
        "",
        *_predictors(trained),
        "",
        *_quality(trained, evaluated, tested, found),
        "",
        *_intervals(trained),
        "",
        *_protected(statement),
        "",
        "## How it was made",
        "",
        *(f"- {key}: {_name(value)}" for key, value in about.items() if value),
        *([f"- threshold: {trained.threshold:g}"] if _classifies(trained) else []),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _predicted(label: Label) -> str:
    name, positive = _name(label.name), _name(label.positive)
    if label.event:
        return f"the time ({name}) until {_name(label.event)} is {positive}"
    if label.classes:
        return f"the probability of each class of {name}"
    return f"the probability of {name} = {positive}" if label.groups else name


def _classifies(trained: TrainedModel) -> bool:
    return trained.task == "classification"


def _share(value: float) -> str:
    return f"{100 * value:.1f}%"


def _protected(statement: Statement) -> Iterator[str]:
    yield "## What was protected, and what was not"
    for section in statement.sections:
        yield ""
        yield f"{section.title}:"
        yield ""
        yield from (f"- {text}" for text in section.sentences)


def _predictors(trained: TrainedModel) -> Iterator[str]:
    """The columns, what is allowed in them, and in a linear model what each feature adds."""
    known = {one.name: one for one in trained.preparation.numbers}
    yield "## Predictors"
    yield ""
    yield "| Column | Allowed | In training |"
    yield "|---|---|---|"
    for column in trained.schema.columns:
        if isinstance(column, Number):
            one = known[column.name]
            found = f"mean {one.mean:.4g}, standard deviation {one.deviation:.3g}" if one.present else "no value"
            gaps = f", {_share(1 - one.present)} missing" if one.present < 1 - _ROUNDING else ""
            yield f"| {_name(column.name)} | {column.low:g} to {column.high:g} | {found}{gaps} |"
        else:
            shares = trained.preparation.levels[column.name]
            told = ", ".join(f"{_name(level)} {_share(share)}" for level, share in shares.items())
            yield f"| {_name(column.name)} | {', '.join(map(_name, column.levels))} | {told} |"
    weights = trained.parameters.get("weights")
    if weights is not None and weights.ndim == 1:
        what = ADDED[trained.task]
        yield ""
        yield f"| Feature | Adds, in {what}, for one standard deviation or a level |"
        yield "|---|---|"
        for name, weight in zip(trained.features, weights, strict=True):
            yield f"| {_name(name)} | {float(weight):+.3f} |"


def _name(text: object) -> str:
    """A name as Markdown shows it, letter by letter."""
    return _SIGNS.sub(r"\\\g<0>", " ".join(str(text).split()))


def _quality(
    trained: TrainedModel, evaluated: Mapping[str, Any] | None, tested: Compared | None, found: Evaluation | None
) -> Iterator[str]:
    yield "## Quality"
    yield ""
    if tested is not None:
        yield "On common test rows, which only a simulation has and no hospital trained on:"
        yield ""
        yield from _measures(tested.figures)
        if tested.interval is not None and None not in tested.interval:
            low, high = tested.interval
            yield f"- 95% interval of {units.measure(tested.measure)}: {low:.3f} to {high:.3f}"
        if text := _one_sided(trained, tested.figures, trained.preparation.target_mean):
            yield ""
            yield text
        yield ""
    if evaluated is None:
        yield "No evaluation at the hospitals succeeded."
        return
    yield "At the hospitals, by secure sums, on the rows that the model was trained on, so better than on new patients:"
    yield ""
    scale = trained.preparation.target_mean if trained.task == "count" else trained.preparation.target_deviation
    reached = trained.built.outcome.quality(evaluated, scale)
    if found is None:
        yield from _measures(reached)
    else:
        yield from _measures({"loss": reached["loss"]})
        yield from _clinical(trained, found)


def _intervals(trained: TrainedModel) -> Iterator[str]:
    """How sure a prediction is, as `fedsec predict` says it of each."""
    yield "## How sure a prediction is"
    yield ""
    if (found := trained.intervals) is None:
        yield no_intervals(trained.task)
        return
    label = trained.schema.label
    text = found.words(_name(label.name), _name(label.positive))
    yield f"`fedsec predict` gives each prediction an interval, from {LOW} to {HIGH}: {text}."


def _clinical(trained: TrainedModel, found: Evaluation) -> Iterator[str]:
    """Measures, calibration and decisions, as the summed histograms have them."""
    label = trained.schema.label
    counts = f"{_name(label.name)} = {_name(label.positive)}"
    yield ""
    yield "## Clinical evaluation"
    yield ""
    yield (
        f"From the hospitals' sums of rows by class and by predicted probability, on the rows that the model was "
        f"trained on. A row counts as {counts} from a probability of {trained.threshold:.3g} on."
    )
    yield ""
    if text := _one_sided(trained, found.measures, found.prevalence):
        yield text
        yield ""
    yield "| Measure | Value | Off by at most, for bins |"
    yield "|---|---|---|"
    for name, title in MEASURES.items():
        value = found.measures.get(name)
        yield f"| {title} | {'not defined' if value is None else f'{value:.3f}'} | {off_text(found, name)} |"
    yield ""
    if not found.groups:
        yield f"One class has fewer than {LEAST} rows: there is no calibration curve."
        return
    yield "| Predicted from | to | Rows | Mean predicted | Observed, with its 95% interval |"
    yield "|---|---|---|---|---|"
    for one in found.groups:
        low, high = one.interval
        yield (
            f"| {one.low:.3f} | {one.high:.3f} | {one.rows:,} | {one.predicted:.3f} | {one.observed:.3f} "
            f"({low:.3f} to {high:.3f}) |"
        )


def _one_sided(trained: TrainedModel, measures: Mapping[str, float | None], prevalence: float) -> str:
    """The warning of a sensitivity or a specificity of 0.00, in bold; empty where neither is."""
    text = one_sided(measures.get("sensitivity"), measures.get("specificity"), trained.threshold, prevalence)
    return f"**{text}**" if text else ""


def _measures(measures: Mapping[str, float | None]) -> Iterator[str]:
    for name, value in measures.items():
        yield f"- {units.measure(name)}: {'not defined' if value is None or math.isnan(value) else f'{value:.4f}'}"
