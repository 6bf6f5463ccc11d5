"""The model card: what a trained model is for, what it reads, how well it does, and what was protected.

After M. Mitchell et al., Model cards for model reporting, FAT* 2019. Markdown, so that it can stand beside the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fedsec.app.simulated import Compared
from fedsec.data.bundled import Floats
from fedsec.data.schema import Number
from fedsec.disclosure.facts import Statement
from fedsec.learning.auc import BINS, NEGATIVE, POSITIVE, WIDEST, auc_of_histogram
from fedsec.learning.models import quality
from fedsec.learning.trained_model import TrainedModel

CARD = "model-card.md"
FEWEST = 10
"""Rows of a group of the calibration table that is shown."""
GROUPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def card(
    trained: TrainedModel, statement: Statement, evaluated: Mapping[str, Any] | None, tested: Compared | None = None
) -> str:
    """The card as Markdown.

    evaluated: the means of the last evaluation at the hospitals, on the rows that they trained on; tested: on others.
    """
    label, about = trained.schema.label, trained.about
    predicted = f"the probability of {label.name} = {label.positive}" if _classifies(trained) else label.name
    hospitals, preparation = about.get("hospitals", "several"), trained.preparation
    if _classifies(trained):
        spread = f"{_share(preparation.target_mean)} of them {label.name} = {label.positive}"
    else:
        spread = f"{label.name} {preparation.target_mean:.4g} ± {preparation.target_deviation:.3g}"
    lines = [
        f"# Model card: {label.name}",
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
        *_quality(trained, evaluated, tested),
        "",
        *_protected(statement),
        "",
        "## How it was made",
        "",
        *(f"- {key}: {value}" for key, value in about.items() if value),
        *([f"- threshold: {trained.threshold:g}"] if _classifies(trained) else []),
    ]
    return "\n".join(lines).rstrip() + "\n"


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
            gaps = f", {_share(1 - one.present)} missing" if one.present < 1 else ""
            yield f"| {_cell(column.name)} | {column.low:g} to {column.high:g} | {found}{gaps} |"
        else:
            shares = trained.preparation.levels[column.name]
            told = ", ".join(f"{_cell(level)} {_share(share)}" for level, share in shares.items())
            yield f"| {_cell(column.name)} | {', '.join(map(_cell, column.levels))} | {told} |"
    if trained.parameters.keys() == {"weights", "bias"}:
        what = "log-odds" if _classifies(trained) else "standard deviations of the label"
        yield ""
        yield f"| Feature | Adds, in {what}, for one standard deviation or a level |"
        yield "|---|---|"
        for name, weight in zip(trained.features, trained.parameters["weights"], strict=True):
            yield f"| {_cell(name)} | {float(weight):+.3f} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _quality(trained: TrainedModel, evaluated: Mapping[str, Any] | None, tested: Compared | None) -> Iterator[str]:
    yield "## Quality"
    yield ""
    if tested is not None:
        yield "On common test rows, which only a simulation has and no hospital trained on:"
        yield ""
        yield from _measures(tested.figures)
        if tested.interval is not None and None not in tested.interval:
            low, high = tested.interval
            yield f"- 95% interval of {tested.measure}: {low:.3f} to {high:.3f}"
        yield ""
    if evaluated is None:
        yield "No evaluation at the hospitals succeeded."
        return
    yield "At the hospitals, by secure sums, on the rows that the model was trained on, so better than on new patients:"
    yield ""
    scale = trained.preparation.target_deviation
    found: dict[str, float | None] = dict(quality(trained.task, evaluated, scale))
    if POSITIVE in evaluated:
        found["auc"], bound = auc_of_histogram(evaluated)
        found["auc, off by at most"] = bound
    yield from _measures(found)
    if found.get("sensitivity") == 0.0:
        label = trained.schema.label
        yield f"- **No row of {label.name} = {label.positive} was found** at this threshold"
    if POSITIVE in evaluated:
        yield ""
        yield from _calibration(evaluated, trained.preparation.rows)


def _measures(measures: Mapping[str, float | None]) -> Iterator[str]:
    for name, value in measures.items():
        yield f"- {name}: {'not defined' if value is None or math.isnan(value) else f'{value:.4f}'}"


def _calibration(evaluated: Mapping[str, Any], rows: int) -> Iterator[str]:
    """Predicted against observed, by groups of predicted probability, as the summed histograms have them."""
    positive, negative = (np.clip(np.asarray(evaluated[key], np.float64), 0, None) for key in (POSITIVE, NEGATIVE))
    scale = rows / max(float((positive + negative).sum()), 1e-300)
    middle = _middles()
    yield "Calibration, from the same sums (predicted probabilities to the width of a bin):"
    yield ""
    yield "| Predicted | Rows | Mean predicted | Observed |"
    yield "|---|---|---|---|"
    for low, high in itertools.pairwise(GROUPS):
        here = (middle >= low) & (middle < high)
        total = float((positive + negative)[here].sum())
        count = round(total * scale)
        if count < FEWEST:
            yield f"| {low:.1f} to {high:.1f} | {f'fewer than {FEWEST}' if count else '0'} | | |"
            continue
        mean = float(((positive + negative) * middle)[here].sum() / total)
        yield f"| {low:.1f} to {high:.1f} | {count:,} | {mean:.2f} | {float(positive[here].sum() / total):.2f} |"


def _middles() -> Floats:
    """The probability in the middle of each bin of log-odds."""
    step = 2 * WIDEST / BINS
    odds = -WIDEST + step * (np.arange(BINS) + 0.5)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
