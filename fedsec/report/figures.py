"""The figures: one colour and one marker per strategy throughout; dashed lines and squares are HE, solid ones SMPC.

Every panel is a figure of its own, small enough to be read on a phone.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fedsec.report import shapes, units
from fedsec.report.document import Cell, Network
from fedsec.strategy_spec import StrategySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WARM = (("#b9481b", "#f08a5d"), ("#a67c00", "#e3b93c"), ("#8f2d46", "#e0718d"))
COOL = (
    ("#2166ac", "#6db1f2"),
    ("#0b8073", "#3fc7b4"),
    ("#7a4fb5", "#b99af0"),
    ("#4b9ad0", "#a8d8f5"),
    ("#5d7a1a", "#a9cb55"),
    ("#bb5a9b", "#f09ad2"),
    ("#253a78", "#8a9be8"),
    ("#5b8f86", "#9fd6cb"),
)
GREY = (("#6d7278", "#a4a9ae"), ("#8d8478", "#c2b9ac"))
"""Of each colour, that on a light page and that on a dark one: HE warm, SMPC cool, no protection grey."""
MARKERS = {"he": "sDpd", "smpc": "o^vPh<>*", "clear": "xX"}
DASHES: Mapping[str, Any] = {"he": (0, (5, 1.8)), "smpc": "-", "clear": (0, (1.2, 1.6))}
INK, GRID, PAPER = "#000001", "#c9cdd1", "#fffffe"
"""Replaced in the page by what suits its theme; colours that nothing else has."""
SIZE = (4.25, 3.15)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedsec",
    "font.size": 9.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": 100,
}


@dataclass(frozen=True)
class Style:
    """How a strategy is drawn everywhere; `colour` is on paper, and `dark` on a dark page."""

    colour: str
    dark: str
    marker: str
    dash: Any


def styles(families: Mapping[str, str]) -> dict[str, Style]:
    """A style for each strategy, by its family; where colours come again, it is with other markers."""
    colours, seen = {"he": WARM, "smpc": COOL, "clear": GREY}, dict.fromkeys(("he", "smpc", "clear"), 0)
    out = {}
    for name, family in families.items():
        turn, number = divmod(seen[family], len(colours[family]))
        seen[family] += 1
        colour, dark = colours[family][number]
        out[name] = Style(colour, dark, MARKERS[family][(number + turn) % len(MARKERS[family])], DASHES[family])
    return out


LONGEST_NAME = 26


@contextmanager
def styled(width: float, height: float, **options: Any) -> Iterator[Figure]:
    """A figure of this size in inches, in our style. matplotlib is imported now: to import it takes a second."""
    from matplotlib.figure import Figure

    with _style():
        yield Figure(figsize=(width, height), **options)


@contextmanager
def panel(title: str, names: Iterable[str] = (), right: float = 0.745) -> Iterator[tuple[Figure, Axes]]:
    """A figure in our style, with room for names on its right."""
    right -= 0.0146 * max(max((len(short(name)) for name in names), default=0) - 15, 0)
    with styled(*SIZE) as figure:
        axes = figure.add_axes((0.165, 0.155, right - 0.165, 0.73))
        axes.set_title(title, pad=9)
        axes.tick_params(length=0)
        yield figure, axes


def plain_text(text: str) -> str:
    """Text in which nothing is markup."""
    return text.replace("$", r"\$")


def ticks(low: float, high: float, time: bool = False, most: int = 6) -> list[float]:
    """Round values within a range: powers of ten, or 1, 2 and 5 times them; of time, round minutes and hours."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    if time:
        hours = [3600 * 10.0**power for power in range(max(math.ceil(math.log10(high / 3600)), 0) + 1)]
        minutes = [60.0 * step for step in (1, 2, 5, 10, 30, 300)]
        fine = sorted([value for value in fine if value < 60] + minutes + hours)
    inside = [value for value in fine if low <= value <= high]
    times = (60, 600, *hours) if time else ()
    coarse = [value for value in inside if f"{value:e}".startswith("1.000000") or value in times]
    coarse = [value for value in coarse if value not in (10, 100) or not time or high < 60]
    chosen, most = (coarse, most) if len(coarse) >= 3 else (inside, 9)
    return chosen[:: math.ceil(len(chosen) / most)] if chosen else [float(f"{math.sqrt(low * high):.2g}")]


def _power(value: float) -> str:
    """A power of ten, and how many times that: `10⁻³`, `2×10⁻³`."""
    times, _, power = units.small(value).partition(f"{units.SPACE}×{units.SPACE}")
    return power if times == "1.0" else f"{times.removesuffix('.0')}×{power}"


def _log(axis: Any, values: Sequence[float], text: Callable[[float], str], exact: bool = False) -> None:
    """A log axis that holds all values; `exact` has its ticks at these."""
    from matplotlib import ticker

    low, high = min(values), max(values)
    pad = max((high / low) ** 0.06, 1.15)
    axis._set_axes_scale("log")
    axis.axes.set(**{f"{axis.axis_name}lim": (low / pad, high * pad)})
    places = sorted(set(values)) if exact else ticks(low / pad, high * pad, text is units.seconds)
    if exact and len(places) > 6:
        places = places[:: math.ceil(len(places) / 6)]
    if len(places) < 2:  # no two round values lie within
        places = sorted({low, high})
    axis.set_major_locator(ticker.FixedLocator(places))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(lambda value, _: units.trim(text(value)))


def _name_lines(axes: Axes, ends: Mapping[str, tuple[float, float]], looks: Mapping[str, Style]) -> None:
    """Names on the right, beside the lines' ends, moved apart where they would overlap."""
    places = {name: axes.transAxes.inverted().transform(axes.transData.transform(end)) for name, end in ends.items()}
    heights = apart({name: float(place[1]) for name, place in places.items()}, 0.062)
    for name, height in heights.items():
        axes.annotate(
            plain_text(short(name)),
            xy=(float(places[name][0]), float(places[name][1])),
            xytext=(1.035, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=looks[name].colour,
            fontsize=9 if all(len(short(name)) <= 15 for name in ends) else 8,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.6,
                "color": looks[name].colour,
                "shrinkB": 4,
                "relpos": (0, 0.5),
                "patchA": None,
            },
        )


def short(name: str) -> str:
    """A strategy's name with the parameters that tell it from others: `shamir malicious`, `shamir threshold=4`."""
    shown = StrategySpec.parse(name).short
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def apart(heights: Mapping[str, float], gap: float) -> dict[str, float]:
    """The same heights, at least `gap` apart, moved as little as keeps their order."""
    names = sorted(heights, key=lambda name: heights[name])
    out = [heights[name] for name in names]
    for _ in range(200):
        moved = False
        for place in range(1, len(out)):
            if (lack := gap - (out[place] - out[place - 1])) > 1e-6:
                out[place - 1], out[place], moved = out[place - 1] - lack / 2, out[place] + lack / 2, True
        if not moved:
            break
    over, under = max(out[-1] - 1, 0) if out else 0, max(-out[0], 0) if out else 0
    return {name: height - over + (under if not over else 0) for name, height in zip(names, out, strict=True)}


def cost(
    points: Mapping[str, Sequence[tuple[float, float, Cell]]],
    looks: Mapping[str, Style],
    title: str,
    axis: str,
    text: Callable[[float], str],
) -> Figure:
    """A cost over hospitals or parameters, both on log axes; hollow where it was not measured in full."""
    with panel(title, points) as (figure, axes):
        for name, line in points.items():
            look = looks[name]
            axes.plot([x for x, _, _ in line], [y for _, y, _ in line], color=look.colour, ls=look.dash, zorder=3)
            for x, y, cell in line:
                full = cell.status == "measured" or look.marker == "x"
                face = look.colour if full else PAPER
                axes.plot([x], [y], marker=look.marker, color=look.colour, mfc=face, ls="", zorder=4)
        _log(axes.xaxis, [x for line in points.values() for x, _, _ in line], lambda x: f"{x:,.0f}", exact=True)
        _log(axes.yaxis, [y for line in points.values() for _, y, _ in line], text)
        axes.set_xlabel(axis)
        _name_lines(axes, {name: line[-1][:2] for name, line in points.items()}, looks)
    return figure


PROMISED = "the bound"


def accuracy(points: Mapping[str, Sequence[tuple[float, float, Cell]]], looks: Mapping[str, Style]) -> Figure:
    """The largest error of a coordinate over bits, and what is promised; lines that coincide are drawn as one."""
    with panel("Largest error of a coordinate of the mean", points) as (figure, axes):
        bounds = {x: cell.error_bound for line in points.values() for x, _, cell in line if cell.error_bound}
        alike: dict[tuple[tuple[float, str], ...], list[str]] = {}
        for name, line in points.items():
            alike.setdefault(tuple((x, f"{y:.2g}") for x, y, _ in line), []).append(name)
        named, ends, heights = {}, {}, [y for line in points.values() for _, y, _ in line]
        for names in alike.values():
            line, first = points[names[0]], looks[names[0]]
            name, look = (
                (names[0], first) if len(names) == 1 else (f"{len(names)} strategies", Style(INK, INK, "o", "-"))
            )
            while name in named:
                name += " "
            axes.plot(
                [x for x, _, _ in line], [y for _, y, _ in line], color=look.colour, ls=look.dash, marker=look.marker
            )
            named[name], ends[name] = look, line[-1][:2]
        if bounds:
            xs = sorted(bounds)
            axes.plot(xs, [bounds[x] for x in xs], color=INK, lw=1, marker="_", ls=(0, (1, 2)))
            heights += bounds.values()
            named[PROMISED], ends[PROMISED] = Style(INK, INK, "_", ":"), (xs[-1], bounds[xs[-1]])
        _log(axes.yaxis, heights, _power)
        places = sorted({x for line in points.values() for x, _, _ in line})
        axes.set_xticks(places)
        axes.set_xlim(places[0] - 1, places[-1] + 1)
        axes.set_xlabel("bits of a value")
        _name_lines(axes, ends, named)
    return figure


def plane(
    won: shapes.Plane, looks: Mapping[str, Style], families: Mapping[str, str], networks: Mapping[str, Network]
) -> Figure:
    """The cheapest strategy over bandwidth and latency, the boundary between families, and the named networks."""
    from matplotlib.ticker import FixedLocator

    with panel("Cheapest strategy by network", right=0.93) as (figure, axes):
        back = {"boxstyle": "round,pad=0.15", "fc": PAPER, "ec": "none", "alpha": 0.75}
        for name, parts in won.regions.items():
            for xs, low, high in bands(won.bandwidths, parts):
                axes.fill_between(xs, low, high, color=looks[name].colour, alpha=0.42, lw=0)
            place = _middle(won.bandwidths, parts)
            if won.share[name] > 0.02:
                said = plain_text(short(name)).replace(" ", "\n")
                axes.text(*place, said, ha="center", va="center", color=INK, weight="bold", bbox=back, zorder=6)
        for xs, ys in boundary(won, families):
            axes.plot(xs, ys, color=INK, lw=2.2, zorder=5)
        for name, network in networks.items():
            x = min(max(network.up, shapes.BANDWIDTH[0]), shapes.BANDWIDTH[1])
            y = min(max(network.latency, shapes.LATENCY[0]), shapes.LATENCY[1])
            axes.plot([x], [y], marker="o", mfc=PAPER, mec=INK, ms=6, zorder=7, clip_on=False)
            left = x > 0.3e9
            axes.annotate(
                plain_text(short(name)),
                (x, y),
                xytext=(-7 if left else 7, 0),
                textcoords="offset points",
                va="center",
                ha="right" if left else "left",
                bbox=back,
                zorder=7,
                fontsize=9,
            )
        _log(axes.xaxis, shapes.BANDWIDTH, units.speed)
        _log(axes.yaxis, shapes.LATENCY, units.seconds)
        axes.xaxis.set_major_locator(FixedLocator([1e6 / 8 * 10**power for power in range(5)]))
        axes.xaxis.set_major_formatter(lambda x, _: f"{8 * x / 1e6:,.0f}" if x < 1e9 else "10,000")
        axes.yaxis.set_major_locator(FixedLocator([1e-4, 1e-3, 1e-2, 1e-1]))
        axes.yaxis.set_major_formatter(lambda y, _: f"{1e3 * y:g}")
        axes.set(xlim=shapes.BANDWIDTH, ylim=shapes.LATENCY)
        axes.set_xlabel("bandwidth, Mbit/s")
        axes.set_ylabel("one-way latency, ms", labelpad=2)
        axes.grid(False)
    return figure


def edge(bandwidths: Sequence[float], place: int) -> float:
    """Half way between a bandwidth that was looked at and the one before it."""
    return math.sqrt(bandwidths[max(place - 1, 0)] * bandwidths[min(place, len(bandwidths) - 1)])


def bands(
    bandwidths: Sequence[float], parts: Sequence[tuple[float, float] | None]
) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """The pieces of a region, each reaching half way to the next bandwidth: x, low and high."""
    start = None
    for place in range(len(parts) + 1):
        part = parts[place] if place < len(parts) else None
        if part and start is None:
            start = place
        if not part and start is not None:
            inside = [one for one in parts[start:place] if one]
            all_of = [inside[0], *inside, inside[-1]]
            xs = [edge(bandwidths, start), *bandwidths[start:place], edge(bandwidths, place)]
            yield xs, [low for low, _ in all_of], [high for _, high in all_of]
            start = None


def _middle(bandwidths: Sequence[float], parts: Sequence[tuple[float, float] | None]) -> tuple[float, float]:
    """A place well within a region."""
    spans = [(math.log(part[1] / part[0]), place) for place, part in enumerate(parts) if part]
    tall = [place for span, place in spans if span > 0.6 * max(spans)[0]]
    place = tall[len(tall) // 2]
    low, high = parts[place] or shapes.LATENCY
    edge = min(max(place, len(parts) // 8), len(parts) - 1 - len(parts) // 8)
    return bandwidths[edge if parts[edge] else place], math.sqrt(low * high)


def boundary(won: shapes.Plane, families: Mapping[str, str]) -> list[tuple[list[float], list[float]]]:
    """Where HE and SMPC meet: lines over the plane."""
    edges: dict[tuple[str, str], list[tuple[float, float]]] = {}
    walls: list[tuple[list[float], list[float]]] = []
    before: list[tuple[float, float, str]] = []
    for place, bandwidth in enumerate(won.bandwidths):
        here = sorted((*part, name) for name, parts in won.regions.items() if (part := parts[place]))
        for one, other in pairwise(here):
            if families[one[2]] != families[other[2]]:
                edges.setdefault((one[2], other[2]), []).append((bandwidth, one[1]))
        for low, high, name in before:
            for bottom, top, other_name in here:
                bottom, top = max(low, bottom), min(high, top)
                if families[name] != families[other_name] and top / bottom > 1.3:
                    walls.append(([edge(won.bandwidths, place)] * 2, [bottom, top]))
        before = here
    return [([x for x, _ in line], [y for _, y in line]) for line in edges.values()] + walls


def scatter(
    points: Mapping[str, tuple[float, float]], looks: Mapping[str, Style], title: str, x_name: str, log: bool
) -> Figure:
    """CPU seconds of a round against its phases or its bytes."""
    with panel(title, points) as (figure, axes):
        for name, (x, y) in points.items():
            look = looks[name]
            axes.plot([x], [y], marker=look.marker, color=look.colour, ms=9, ls="")
        _log(axes.yaxis, [y for _, y in points.values()], units.seconds)
        xs = [x for x, _ in points.values()]
        if log:
            _log(axes.xaxis, xs, units.size)
        else:
            axes.set_xlim(min(xs) - 0.5, max(xs) + 0.5)
            axes.set_xticks(range(int(min(xs)), int(max(xs)) + 1))
        axes.set_xlabel(x_name)
        _name_lines(axes, points, looks)
    return figure


def curves(
    lines: Mapping[str, Sequence[float]], levels: Mapping[str, float], looks: Mapping[str, Style], title: str
) -> Figure:
    """A quality by round, and levels that it is compared with."""
    with panel(title, right=0.71) as (figure, axes):
        rounds = max(len(values) for values in lines.values())
        axes.set_xlim(0.6, rounds + 0.4)
        ends = {}
        for name, values in lines.items():
            axes.plot(range(1, len(values) + 1), values, color=looks[name].colour, marker=looks[name].marker, zorder=4)
            ends[name] = (float(len(values)), values[-1])
        for name, value in levels.items():
            axes.axhline(value, color=looks[name].colour, ls=looks[name].dash, lw=1.3, zorder=3)
            ends[name] = (rounds + 0.4, value)
        axes.set_xticks(sorted({1, *range(max(rounds // 5, 1), rounds + 1, max(rounds // 5, 1))}))
        axes.set_xlabel("round")
        axes.margins(y=0.15)
        axes.autoscale_view()
        _name_lines(axes, ends, looks)
    return figure


@contextmanager
def _style() -> Iterator[None]:
    """Our style, for as long as a figure is drawn or written."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of letters that the font lacks: a page has others, and a picture shows a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def shortened(name: str, most: int = 24) -> str:
    """A name of at most so many letters, its middle left out where it has more."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - most // 2 + 1 :]}"


def svg(figure: Figure) -> str:
    """A figure as SVG in our inks, which `svg_file` and `inline` make their own of: drawn once, it serves both."""
    file = io.StringIO()
    with _style(), _quiet():
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def svg_file(drawn: str) -> bytes:
    """What `svg` drew as the bytes of a file, black on white."""
    return drawn.replace(INK, "#000000").replace(PAPER, "#ffffff").encode()


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a png file, the same each time."""
    file = io.BytesIO()
    with _style(), _quiet():
        figure.savefig(file, format="png", dpi=200, metadata={"Software": None})
    return file.getvalue()


def save(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of an `svg` or a `png` file, the same each time."""
    return svg_file(svg(figure)) if kind == "svg" else png(figure)


def inline(text: str, name: str, label: str, looks: Mapping[str, Style]) -> str:
    """What `svg` drew, within a page, in its width, font and theme; `label` is for those who cannot see it."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    said = label.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box.group() if box else ""} role="img" aria-label="{said}">'
    )
    text = head + text[text.index(">") + 1 :]
    text = re.sub(r'id="([^"]+)"', rf'id="in-{name}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>in-{name}-", text)
    for place, look in enumerate(looks.values()):
        text = text.replace(look.colour, f"var(--s{place})")
    return text.replace(INK, "currentColor").replace(GRID, "var(--line)").replace(PAPER, "var(--paper)")
