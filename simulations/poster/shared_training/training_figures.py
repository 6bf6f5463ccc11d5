"""The figures of training on shares: approximations and degrees, each above the trainings under them; the one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fedsec.mpc.activation import Activation
from fedsec.report import figures, units
from fedsec.simulations.poster.shared_training import sigmoid_approximations
from fedsec.simulations.poster.shared_training.twin_training import COLLAPSE

Curve = Sequence[Sequence[float | None]]
"""Points (iteration, loss, largest weight); None where not finite."""
COLOURS = tuple(light for light, _ in (*figures.WARM[:1], *figures.COOL))
EXACT = "#3d4248"
LOSS_TOP, WEIGHT_TOP = 0.6, 1e3


def approximation(lines: Mapping[str, Activation], curves: Mapping[str, Curve], names: Mapping[str, str]) -> Figure:
    """Sigmoid and approximations for x in [-20, 20], y in [-1, 2]; under them loss and largest weight."""
    return _figure(
        "Approximation variation: the sigmoid and what shares compute instead", lines, curves, names, (-20, 20), (-1, 2)
    )


def degrees(lines: Mapping[str, Activation], curves: Mapping[str, Curve], names: Mapping[str, str]) -> Figure:
    """Fits of several degrees on [-10, 10], the error above all; under it loss and largest weight."""
    title = f"Degree variation: least-squares fits at {sigmoid_approximations.POINTS:,} equal steps of [−10, 10]"
    return _figure(title, lines, curves, names, (-14, 14), (-0.4, 1.4), span=10.0)


def _figure(
    title: str,
    lines: Mapping[str, Activation],
    curves: Mapping[str, Curve],
    names: Mapping[str, str],
    x: tuple[float, float],
    y: tuple[float, float],
    span: float | None = None,
) -> Figure:
    with mpl.rc_context(figures.STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(9.2, 7.4), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1))
        top, left, right = (
            figure.add_subplot(grid[0, :]),
            figure.add_subplot(grid[1, 0]),
            figure.add_subplot(grid[1, 1]),
        )
        looks = dict(zip([*lines, *(name for name in curves if name not in lines)], _looks(), strict=False))
        z = np.linspace(*x, 1601)
        if span is not None:
            top.axvspan(-span, span, color="#000000", alpha=0.035, lw=0)
        for name, activation in lines.items():
            colour, dash = looks[name]
            top.plot(z, activation.value(z), color=colour, ls=dash, lw=1.5, label=names[name])
        top.plot(z, sigmoid_approximations.sigmoid(z), color=EXACT, lw=2.4, alpha=0.85, label="sigmoid", zorder=1)
        top.set(xlim=x, ylim=y, xlabel="x")
        top.set_title(title)
        last = max(point[0] or 0 for curve in curves.values() for point in curve)
        for name, curve in curves.items():
            look = (EXACT, "-") if name == "exact" else looks[name]
            _trained(left, curve, 1, look, LOSS_TOP, names[name], last)
            _trained(right, curve, 2, look, WEIGHT_TOP, names[name], last)
        left.set_title("Loss: mean squared error over the training rows")
        left.set_ylim(0.1, LOSS_TOP)
        right.set_title("Largest weight (×: the training collapsed there)")
        right.set_yscale("log")
        right.set_ylim(1, WEIGHT_TOP)
        for axes in (left, right):
            axes.set_xlabel("iterations")
            axes.set_xlim(0)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value else "0"))
        _legend(figure, top, left)
    return figure


def _looks() -> list[tuple[str, Any]]:
    dashes: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)))
    return [(colour, dashes[number % 3]) for number, colour in enumerate(COLOURS)]


def _trained(axes: Axes, curve: Curve, index: int, look: tuple[str, Any], top: float, name: str, last: float) -> None:
    """One training, as far as it stays below `top`; a cross where it ended before `last`, the others' end."""
    inside = [(point[0], value) for point in curve if (value := point[index]) is not None and value <= top]
    axes.plot(*zip(*inside, strict=True), color=look[0], ls=look[1], lw=1.3, label=name)
    ended, value = curve[-1][0], curve[-1][index]
    if ended is not None and ended < last:
        height = top if value is None else min(value, top)
        axes.plot(ended, height, marker="x", color=look[0], ms=8, mew=2, clip_on=False, zorder=5)


def _power(value: float) -> str:
    return units.small(value).rpartition(units.SPACE)[2]


def _legend(figure: Figure, *panels: Axes) -> None:
    found: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in found}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def collapses(table: Sequence[Mapping[str, Any]]) -> Figure:
    """Where each seed of each activation collapsed, over iterations; open circles: it never did."""
    with mpl.rc_context(figures.STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(7.4, 0.42 * len(table) + 1.5), layout="constrained")
        axes = figure.subplots()
        for index, row in enumerate(reversed(table)):
            for cell in row["cells"]:
                colour = figures.WARM[0][0] if cell["collapsed"] else figures.COOL[0][0]
                face = colour if cell["collapsed"] else "none"
                axes.plot(cell["iterations"], index, "o", color=colour, mfc=face, ms=7, alpha=0.75, clip_on=False)
        axes.set_yticks(range(len(table)), [row["name"] for row in reversed(table)])
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlim(0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value else "0"))
        axes.set_xlabel("iterations (filled: collapsed, open: trained to the end)")
        axes.set_title(f"Collapse: a weight above {_power(COLLAPSE)} or beyond the fixed point", x=-0.32)
    return figure


def one_table(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy, CPU, bytes and rounds of each way to train, side by side."""
    panels: tuple[tuple[str, str, Any], ...] = (
        ("accuracy", "Accuracy, from 0.5 on", str),
        ("cpu_seconds", "CPU, all parties", units.seconds),
        ("bytes", "Bytes, all links", units.size),
        ("rounds", "Rounds", units.count),
    )
    colours = {
        "he": figures.WARM[0][0],
        "smpc": figures.COOL[0][0],
        "shares": figures.COOL[2][0],
        "clear": figures.GREY[0][0],
    }
    with mpl.rc_context(figures.STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(11.5, 0.42 * len(rows) + 1.3), layout="constrained")
        for index, (axes, (key, title, text)) in enumerate(
            zip(figure.subplots(1, 4, sharey=True), panels, strict=True)
        ):
            shown = [row[key] for row in rows][::-1]
            values = [0 if value is None else value for value in shown]
            axes.barh(range(len(rows)), values, color=[colours[row["family"]] for row in rows][::-1], height=0.62)
            axes.set_title(title)
            axes.grid(axis="y", visible=False)
            axes.tick_params(length=0)
            if key == "accuracy":
                axes.set_xlim(0.5, 1.0)
            elif any(values):
                axes.set_xscale("log")
                low = min(value for value in values if value) / 3
                axes.set_xlim(low, max(values) * 40)
            axes.xaxis.set_ticklabels([])
            for height, value in enumerate(shown):
                label = "none" if not value else f"{value:.3f}" if key == "accuracy" else text(value)
                at = max(values[height], axes.get_xlim()[0])
                axes.annotate(label, (at, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
            if index == 0:
                axes.set_yticks(range(len(rows)), [row["name"] for row in rows][::-1])
    return figure
