"""The four figures of a clinical evaluation: calibration, net benefit, ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fedsec.report.clinical_document import Evaluation
from fedsec.report.clinical_words import treat_all
from fedsec.report.figures import INK, PAPER, SIZE, Style, plain_text, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Found = Mapping[str, Evaluation]
"""By name, the rows that are drawn; the first of them are the headline's."""


@contextmanager
def _frame(title: str, x_name: str, y_name: str) -> Iterator[tuple[Figure, Axes]]:
    with styled(*SIZE) as figure:
        axes = figure.add_axes((0.135, 0.16, 0.83, 0.725))
        axes.set_title(title, pad=9)
        axes.tick_params(length=0)
        axes.set_xlabel(x_name)
        axes.set_ylabel(y_name, labelpad=4)
        yield figure, axes


def _legend(axes: Axes, place: Any) -> None:
    axes.legend(
        loc=place,
        facecolor=PAPER,
        edgecolor="none",
        framealpha=0.8,
        fontsize=8.5,
        handlelength=2.2,
        borderaxespad=0.3,
        labelspacing=0.35,
    )


def _aside(axes: Axes, xs: Sequence[float], ys: Sequence[float], label: str, dash: object = (0, (1.2, 1.6))) -> None:
    axes.plot(xs, ys, color=INK, lw=1.0, ls=dash, label=plain_text(label), zorder=2)


def calibration(found: Found, looks: Mapping[str, Style]) -> Figure:
    """The share observed against the mean predicted, by groups of rows, with intervals of the headline's rows."""
    with _frame("Calibration", "predicted probability", "share observed") as (figure, axes):
        _aside(axes, [0, 1], [0, 1], "perfectly calibrated")
        first = next(iter(found))
        most = 0.0
        for name, one in found.items():
            xs, ys = [group.predicted for group in one.groups], [group.observed for group in one.groups]
            axes.plot(xs, ys, color=looks[name].colour, marker=looks[name].marker, label=name, zorder=4)
            most = max(most, *xs, *ys)
            if name == first:
                ends = [(group.interval[0] or 0.0, group.interval[1] or 0.0) for group in one.groups]
                axes.vlines(xs, *zip(*ends, strict=True), color=looks[name].colour, lw=1.0, alpha=0.7, zorder=3)
        limit = min(1.2 * most, 1.03)
        axes.set(xlim=(-0.02 * limit, limit), ylim=(-0.02 * limit, limit))
        axes.locator_params(nbins=6)
        _legend(axes, "upper left")
    return figure


def decision(name: str, one: Evaluation, threshold: float, looks: Mapping[str, Style]) -> Figure:
    """Net benefit over thresholds, beside taking everybody and nobody as positive."""
    with _frame("Net benefit", "threshold probability", "net benefit per row") as (figure, axes):
        points = [(point.threshold, point.net_benefit) for point in one.curve if point.net_benefit is not None]
        useful = [place for place, value in points if value > 0.0]
        lowest = one.curve[0].threshold  # below it everybody is positive, and nobody beyond the highest
        steps = [lowest * step / 50 for step in range(50)]
        points = [*((step, treat_all(one.prevalence, step)) for step in steps), *points, (1.0, 0.0)]
        right = min(1.15 * max([*useful, 1.2 * threshold, 2.0 * one.prevalence]), 1.0)
        axes.plot(*zip(*points, strict=True), color=looks[name].colour, label="the model", zorder=4)
        share = one.prevalence
        steps = [right * step / 100 for step in range(100)]
        benefit = [treat_all(share, step) for step in steps]
        _aside(axes, steps, benefit, "everybody positive")
        _aside(axes, [0, right], [0, 0], "nobody positive", "-")
        axes.axvline(threshold, color=INK, lw=0.8, ls=(0, (5, 2)), label=f"threshold {threshold:.2g}", zorder=1)
        axes.set(xlim=(0, right), ylim=(-0.25 * share, 1.12 * share))
        axes.locator_params(nbins=6)
        _legend(axes, "best")
    return figure


def roc(found: Found, threshold: float, looks: Mapping[str, Style]) -> Figure:
    """Sensitivity against the share of class 0 that is falsely called positive."""
    with _frame("ROC curve", "1 - specificity", "sensitivity") as (figure, axes):
        _aside(axes, [0, 1], [0, 1], "chance")
        for name, one in found.items():
            points = [
                (1.0 - point.specificity, point.sensitivity)
                for point in one.curve
                if point.sensitivity is not None and point.specificity is not None
            ]
            points = [(1.0, 1.0), *points, (0.0, 0.0)]
            axes.plot(*zip(*points, strict=True), color=looks[name].colour, ls=looks[name].dash, label=name, zorder=4)
            sensitivity, specificity = one.measures.get("sensitivity"), one.measures.get("specificity")
            if sensitivity is not None and specificity is not None:
                _mark(axes, 1.0 - specificity, sensitivity, looks[name])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.03))
        _legend(axes, "lower right")
    return figure


def precision_recall(found: Found, looks: Mapping[str, Style]) -> Figure:
    """Precision against sensitivity; the share of class 1 is what chance gives."""
    with _frame("Precision and recall", "sensitivity (recall)", "precision") as (figure, axes):
        first = next(iter(found.values()))
        _aside(axes, [0, 1], [first.prevalence] * 2, "chance")
        for name, one in found.items():
            points = [
                (point.sensitivity, point.precision)
                for point in one.curve
                if point.sensitivity and point.precision is not None
            ]
            points = [(1.0, one.prevalence), *points]
            axes.plot(*zip(*points, strict=True), color=looks[name].colour, ls=looks[name].dash, label=name, zorder=4)
            sensitivity, precision = one.measures.get("sensitivity"), one.measures.get("ppv")
            if sensitivity is not None and precision is not None:
                _mark(axes, sensitivity, precision, looks[name])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.03))
        _legend(axes, "best")
    return figure


def _mark(axes: Axes, x: float, y: float, look: Style) -> None:
    """Where the threshold lies on a curve."""
    axes.plot([x], [y], marker="o", ms=6.5, color=look.colour, ls="", zorder=5, clip_on=False)
