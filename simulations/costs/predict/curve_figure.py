"""The curve of `fedsec plan`: what a round costs as hospitals are added; dashed where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fedsec.report import figures, units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[tuple[int, float, float, float]]
"""Hospitals, CPU seconds of a hospital and of the server, bytes up per hospital."""


def curve(
    lines: Mapping[str, Points], families: Mapping[str, str], parameters: int, measured: Mapping[str, int]
) -> Figure:
    """Three panels over the number of hospitals; `measured`: the most hospitals that each model was fitted with.

    Where a line ends before others the legend says so: with more hospitals the strategy refuses.
    """
    looks, most = figures.styles(families), max(measured.values())
    ends = {name: points[-1][0] for name, points in lines.items()}
    names = {name: name if end == max(ends.values()) else f"{name} (to {_count(end)})" for name, end in ends.items()}
    with figures.styled(11.5, 4.2, layout="constrained") as figure:
        panels = figure.subplots(1, 3)
        for index, (axes, title, text) in enumerate(
            zip(
                panels,
                ("CPU of a hospital", "CPU of the server", "Bytes up, per hospital"),
                (units.seconds, units.seconds, units.size),
                strict=True,
            ),
            start=1,
        ):
            for name, points in lines.items():
                _line(axes, [(point[0], point[index]) for point in points], looks[name], names[name], measured[name])
            _dress(axes, title, text, most)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
        figure.suptitle(
            f"Predicted cost of a round of {parameters:,} parameters; dashed: extrapolated beyond what was measured",
            fontsize=11,
            x=0.01,
            ha="left",
        )
    return figure


def _line(axes: Axes, points: Sequence[tuple[int, float]], look: figures.Style, name: str, measured: int) -> None:
    known = [point for point in points if point[0] <= measured]
    beyond = points[max(len(known) - 1, 0) :]
    if known:
        axes.plot(*zip(*known, strict=True), color=look.colour, marker=look.marker, ms=4, label=name)
    axes.plot(
        *zip(*beyond, strict=True),
        color=look.colour,
        marker=look.marker,
        ms=4,
        mfc="none",
        ls=(0, (3, 2)),
        lw=1.2,
        label=None if known else name,
    )


def _dress(axes: Axes, title: str, text: Callable[[float], str], measured: int) -> None:
    from matplotlib.ticker import FixedLocator

    axes.set_title(title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("hospitals")
    axes.axvspan(measured, axes.get_xlim()[1], color="#000000", alpha=0.03, lw=0)
    axes.xaxis.set_major_formatter(lambda value, _: _count(value))
    axes.yaxis.set_major_locator(FixedLocator(figures.ticks(*axes.get_ylim(), text is units.seconds)))
    axes.yaxis.set_major_formatter(lambda value, _: units.trim(text(value)))
    axes.minorticks_off()


def _count(value: float) -> str:
    """A power of ten to read: 10k, 1M."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"
