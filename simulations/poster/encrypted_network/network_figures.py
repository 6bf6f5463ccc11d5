"""The figures of the encrypted network."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fedsec.report.figures import COOL, GREY, INK, STYLE, WARM
from fedsec.simulations.poster.encrypted_network import sigmoids

TURN = ("o", "s", "^", "D", "v", "P", "X", "*")


def drawings(facts: dict[str, Any]) -> dict[str, Figure]:
    """A figure for each experiment that has one, by the name of its file."""
    out = {}
    if "sigmoids" in facts:
        out["network-sigmoids"] = approximations(facts["sigmoids"])
        out["network-products"] = products(facts["sigmoids"])
    if "precision" in facts:
        out["network-precision"] = precision(facts["precision"])
    if "xor" in facts or "affine" in facts:
        out["network-outputs"] = outputs(facts)
    return out


def approximations(rows: list[dict[str, Any]]) -> Figure:
    """The errors of the polynomials over their argument."""
    x = np.linspace(0.05, 12, 600)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        colours = [pair[0] for pair in (*WARM, *COOL)]
        names = [row["sigmoid"] for row in rows]
        for axes, title, kinds in ((left, "Series at 0", ("taylor",)), (right, "Fits", ("interpolated", "minimax"))):
            drawn = [name for name in names if name.startswith(kinds)]
            for index, name in enumerate(drawn):
                off = np.abs(sigmoids.named(name)(x) - sigmoids.exact(x))
                dash = "--" if name.startswith("minimax") else "-"
                axes.plot(x, off, dash, color=colours[index % len(colours)], label=name)
            axes.axhline(0.05, color=INK, lw=0.8, ls=":")
            axes.set(yscale="log", ylim=(1e-5, 1e3), xlabel="argument", title=title)
            axes.legend(frameon=False, fontsize=8, loc="upper left" if axes is left else "lower right")
        left.set_ylabel("error of the sigmoid")
    return figure


def products(rows: list[dict[str, Any]]) -> Figure:
    """Products of two secrets over the degree, in three ways."""
    by_degree = {row["degree"]: row["products"] for row in rows}
    degrees = sorted(by_degree)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(4.8, 3.5), layout="constrained")
        axes = figure.subplots()
        for index, way in enumerate(sigmoids.WAYS):
            counts = [by_degree[degree][way] for degree in degrees]
            axes.plot(degrees, counts, color=COOL[index][0], marker=TURN[index], label=way)
            axes.annotate(str(counts[-1]), (degrees[-1], counts[-1]), xytext=(6, -3), textcoords="offset points")
        axes.set(xlabel="degree", ylabel="products of two secrets", title="One sigmoid", yticks=range(0, 21, 5))
        axes.set_xticks(degrees)
        axes.legend(frameon=False)
    return figure


def precision(rows: list[dict[str, Any]]) -> Figure:
    """How far fixed point is from floating point, over its bits; hollow where XOR is not solved."""
    known = [row for row in rows if row["difference"]]
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot([row["precision"] for row in known], [row["difference"] for row in known], color=COOL[0][0], zorder=2)
        for row in known:
            face = COOL[0][0] if row["solved"] else "#fffffe"
            axes.plot(row["precision"], row["difference"], "o", color=COOL[0][0], mfc=face, zorder=3)
        axes.plot([], [], "o", color=COOL[0][0], label="XOR solved")
        axes.plot([], [], "o", color=COOL[0][0], mfc="#fffffe", label="not solved")
        bits = np.array([row["precision"] for row in known])
        axes.plot(bits, 2.0 ** -bits.astype(float), color=GREY[0][0], ls=":", label="one unit in the last bit")
        axes.set(yscale="log", xlabel="bits after the point", ylabel="largest difference of a weight")
        axes.set_title("Precision, no noise: fixed point against floating")
        axes.legend(frameon=False)
    return figure


def outputs(facts: dict[str, Any]) -> Figure:
    """What the two encrypted models say on the four rows of XOR."""
    names = {"affine": "affine", "xor": "3-4-1 network"}
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(5.2, 3.5), layout="constrained")
        axes = figure.subplots()
        here = [part for part in names if part in facts]
        for index, part in enumerate(here):
            at = np.arange(4) + (index - (len(here) - 1) / 2) * 0.3
            axes.bar(at, facts[part]["outputs"], width=0.28, color=WARM[index][0], label=names[part])
            axes.plot(at, facts[part]["twin"], "_", color=INK, ms=14, mew=1.5)
        axes.plot([], [], "_", color=INK, ms=14, mew=1.5, label="trained in the clear")
        axes.axhline(0.5, color=INK, lw=0.8, ls=":")
        axes.set_xticks(range(4), ["0, 0", "0, 1", "1, 0", "1, 1"])
        axes.set(xlabel="input", ylabel="output", ylim=(0, 1.28), title="XOR by encrypted weights")
        axes.legend(frameon=False, loc="upper left", ncols=2, fontsize=8)
        axes.grid(False, axis="x")
    return figure
