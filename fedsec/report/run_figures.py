"""The figures of one run beside its learning curves: intervals of its measure, and what each phase cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fedsec.report import units
from fedsec.report.figures import INK, Style, plain_text, shortened, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Interval = tuple[float, float]
PATTERNS = ("", "///", "...", "\\\\\\")


def forest(found: Sequence[tuple[str, Style, float | None, Interval | None]], title: str, measure: str) -> Figure:
    """A measure of several models, each with its interval, from the top down."""
    known = [value for _, _, point, span in found for value in (point, *(span or ())) if value is not None]
    height = 1.0 + 0.235 * len(found)
    with styled(6.2, height) as figure:
        axes = figure.add_axes((0.27, 0.5 / height, 0.7, 1.0 - 0.95 / height))
        axes.set_title(title, pad=9)
        axes.tick_params(length=0)
        for place, (_, look, point, span) in enumerate(found):
            if span is not None:
                axes.plot(span, [place, place], color=look.colour, lw=2.2, solid_capstyle="round", zorder=3)
            if point is not None:
                axes.plot([point], [place], marker=look.marker, color=look.colour, ls="", zorder=4)
        low, high = min(known), max(known)
        pad = 0.06 * (high - low) or 0.05
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_yticks(range(len(found)), [plain_text(shortened(name)) for name, *_ in found])
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(measure)
    return figure


def phases(stages: Mapping[str, Mapping[str, float]], title: str, text: Callable[[float], str]) -> Figure:
    """What each phase costs: a bar for each stage, cut by phase, in the order of the protocol."""
    height = 1.15 + 0.62 * len(stages)
    with styled(6.2, height) as figure:
        axes = figure.add_axes((0.2, 0.45 / height, 0.77, 1.0 - 0.85 / height))
        axes.set_title(title, pad=9)
        axes.tick_params(length=0)
        widest = max(sum(parts.values()) for parts in stages.values()) or 1.0
        for row, parts in enumerate(stages.values()):
            left = 0.0
            for place, (phase, value) in enumerate(parts.items()):
                axes.barh(
                    row,
                    value,
                    left=left,
                    height=0.5,
                    color="#0b8073",
                    alpha=(0.85, 0.45)[place % 2],
                    hatch=PATTERNS[place % len(PATTERNS)],
                    edgecolor="#ffffff",
                    linewidth=0.8,
                    zorder=3,
                )
                if value > 0.14 * widest:
                    axes.text(left, row - 0.34, f"{phase} {text(value)}", fontsize=8, va="bottom", color=INK)
                left += value
        axes.set_ylim(len(stages) - 0.5, -0.75)
        axes.set_yticks(range(len(stages)), list(stages))
        axes.set_xlim(0.0, 1.02 * widest)
        axes.xaxis.set_major_formatter(lambda value, _: units.trim(text(value)) if value else "0")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(visible=False, axis="y")
    return figure
