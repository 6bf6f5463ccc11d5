"""The picture of how rows lie across hospitals: sizes and labels, and how far each feature is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedsec.data.bundled import Floats
from fedsec.report.figures import INK, plain_text, shortened, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DARK, LIGHT = "#2166ac", "#a8d8f5"
MOST_FEATURES = 24


def picture(
    names: Sequence[str],
    rows: Sequence[int],
    shares: Sequence[float],
    texts: Sequence[str],
    label: str,
    features: Sequence[str],
    shift: Floats,
    title: str,
) -> Figure:
    """Bars of rows, cut by the share of class 1 where there are classes, beside a map of shifts.

    shares: of class 1 by hospital, or empty for a number as label. texts: of the label, beside each bar. shift:
    float64[hospitals, features], in standard deviations of all rows; the features that vary most are shown.
    """
    chosen = np.sort(np.argsort(-np.abs(shift).max(axis=0), kind="stable")[:MOST_FEATURES])
    height = 1.7 + 0.27 * len(names) + 0.055 * max(len(shortened(features[place], 30)) for place in chosen)
    with styled(11.0, height, layout="constrained") as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.7))
        _bars(left, names, rows, shares, texts, label)
        _map(figure, right, [shortened(features[place], 30) for place in chosen], shift[:, chosen], len(features))
        figure.suptitle(plain_text(title), x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    return figure


def _bars(
    axes: Axes, names: Sequence[str], rows: Sequence[int], shares: Sequence[float], texts: Sequence[str], label: str
) -> None:
    places = range(len(names))
    axes.set_title("training rows")
    if shares:
        ones = [count * share for count, share in zip(rows, shares, strict=True)]
        axes.barh(places, ones, color=DARK, label=plain_text(f"{label}, class 1"))
        axes.barh(
            places,
            np.subtract(rows, ones),
            left=ones,
            color=LIGHT,
            hatch="//",
            edgecolor="#ffffff",
            lw=0,
            label="the other class",
        )
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2)
    else:
        axes.barh(places, rows, color=DARK)
    for place, count in enumerate(rows):
        axes.text(count, place, f" {count:,}, {texts[place]}", va="center", fontsize=8, color=INK)
    axes.set_yticks(places, [plain_text(shortened(name)) for name in names])
    axes.set_xlim(0, 1.4 * max(rows))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(length=0)


def _map(figure: Figure, axes: Axes, features: Sequence[str], shift: Floats, all_features: int) -> None:
    limit = max(0.5, float(np.abs(shift).max()))
    drawn = axes.imshow(shift, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    of = f"the {len(features)} of {all_features} that vary most" if len(features) < all_features else "all features"
    axes.set_title(f"feature means off the common mean ({of})")
    if shift.size <= 240:
        for (row, column), value in np.ndenumerate(shift):
            dark = abs(value) > 0.6 * limit
            axes.text(
                column,
                row,
                f"{value:.1f}".replace("-0.0", "0.0"),
                ha="center",
                va="center",
                fontsize=7,
                color="#ffffff" if dark else INK,
            )
    axes.set_xticks(range(len(features)), [plain_text(name) for name in features], rotation=90, fontsize=8)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    bar = figure.colorbar(drawn, ax=axes, pad=0.01, fraction=0.05)
    bar.set_label("standard deviations", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
