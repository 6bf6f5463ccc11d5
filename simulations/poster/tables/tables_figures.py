"""The figures of tables 1.0 and 2.0."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fedsec.report.figures import COOL, GREY, INK, STYLE, WARM
from fedsec.simulations.poster.tables.linear_regression import CORRECTED, PUBLISHED
from fedsec.simulations.poster.tables.table_1_and_2 import BUDGETS, POSTER, RATES, Spread, Value, spread

COLOURS = (COOL[0][0], WARM[0][0], COOL[1][0], COOL[2][0], WARM[1][0], GREY[0][0])
MARKERS = "os^Dv*"


def beside(values: Sequence[Value]) -> Figure:
    """Each value that the poster prints, and ours; the sign that it lost and the cell that it repeated are marked."""
    known = [value for value in values if value.poster is not None]
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        indices = [index + index // 3 * 0.8 for index in range(len(known))]
        axes.bar(indices, [v.poster or 0 for v in known], width=0.8, color=GREY[1][0], alpha=0.55, label="the poster")
        axes.plot(indices, [v.ours for v in known], "o", color=COOL[0][0], ms=7, label="ours")
        for index, value in zip(indices, known, strict=True):
            below = value.ours < 0
            axes.annotate(
                f"{value.ours:.2f}",
                (index, value.ours),
                xytext=(0, -12 if below else 7),
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
            )
            if value.note:
                axes.annotate(
                    "misprinted",
                    (index, min(value.ours, 0) + (0 if below else 20)),
                    xytext=(0, -17 if below else 0),
                    textcoords="offset points",
                    ha="center",
                    va="top" if below else "bottom",
                    fontsize=8,
                    color=WARM[0][0],
                    rotation=0 if below else 90,
                )
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_xticks(indices, [f"H{value.hospital}" for value in known])
        for start in range(0, len(known), 3):
            value = known[start]
            axes.annotate(
                f"eta {value.eta:g}\n{value.iterations} iterations",
                (indices[start] + 1, 0),
                xytext=(0, -34),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8.5,
                annotation_clip=False,
            )
        axes.set(ylabel="error alone minus error together", title="Tables 1.0 and 2.0")
        axes.margins(y=0.14)
        axes.grid(False, axis="x")
        axes.legend(frameon=False, loc="upper left")
        axes.set_xlabel(" \n ")
    return figure


def trends(hospitals: int, seed: int) -> Figure:
    """The published cells where the poster looked, and beyond: over iterations, and over eta."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(8.6, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        grown = spread(hospitals, [seed], PUBLISHED, 0.001)
        rates = [spread(hospitals, [seed], PUBLISHED, rate, (100,)) for rate in RATES]
        for hospital in range(hospitals):
            colour, marker, name = COLOURS[hospital % 6], MARKERS[hospital % 6], f"hospital {hospital + 1}"
            left.plot(BUDGETS, grown.gains[0, :, hospital], color=colour, marker=marker, label=name)
            right.plot(RATES, [one.gains[0, 0, hospital] for one in rates], color=colour, marker=marker, label=name)
        left.axvspan(50, 200, color=GREY[1][0], alpha=0.25, lw=0)
        for rate in (0.001, 0.01):
            right.axvline(rate, color=GREY[1][0], alpha=0.25, lw=9)
        if (hospitals, seed) == (3, 42):
            for (rate, count), printed in POSTER.items():
                axes, x = (left, count) if rate == 0.001 else (right, rate)
                axes.plot([x] * 3, printed, "+", color=INK, ms=9, zorder=5)
            right.plot([0.001] * 3, POSTER[0.001, 100], "+", color=INK, ms=9, zorder=5, label="printed")
        _log(left, BUDGETS, "iterations, eta 0.001")
        _log(right, RATES, "eta, 100 iterations")
        left.set_ylabel("error alone minus error together")
        left.set_title("Does it grow with iterations?")
        right.set_title("Does it fall with eta?")
        for axes in (left, right):
            axes.axhline(0, color=INK, lw=0.8)
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def scattered(spreads: Sequence[Spread]) -> Figure:
    """Over eta times iterations: the median of all seeds and hospitals at each eta, and where 90% of them lie.

    Runs of a few large steps, eta times iterations below 0.04, are left out: there the models are hardly trained.
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        for axes, definition in zip(figure.subplots(1, 2, sharey=True), (PUBLISHED, CORRECTED), strict=True):
            lines = [one for one in spreads if one.definition == definition]
            for index, one in enumerate(lines):
                low, middle, high = np.percentile(one.gains, (5, 50, 95), axis=(0, 2))
                steps = [one.eta * count for count in one.budgets]
                axes.fill_between(steps, low, high, color=COLOURS[index], alpha=0.13, lw=0)
                axes.plot(steps, middle, color=COLOURS[index], marker=MARKERS[index], label=f"eta {one.eta:g}")
            axes.axhline(0, color=INK, lw=0.8)
            axes.set_title(f"{definition.name.capitalize()}: {definition.words.split(',')[0]}")
            axes.set_xlabel("eta × iterations")
            axes.set(xscale="log", xlim=(0.04, 25), ylim=(-400, 1150))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        figure.axes[0].set_ylabel(f"gain, {len(spreads[0].gains)} seeds: median and 90%")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _log(axes: Axes, indices: Sequence[float], label: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(indices)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(label)
