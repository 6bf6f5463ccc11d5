"""The figures of a comparison, each with the sentence that says what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fedsec.report import analysis, figures, ranking, shapes, units
from fedsec.report.analysis import Setting
from fedsec.report.document import Cell, Comparison, Total
from fedsec.report.sections import families, looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawn:
    """A figure, its file's name and what it says."""

    name: str
    figure: Figure
    title: str
    caption: str

    @cached_property
    def svg(self) -> str:
        """The figure as SVG, drawn once for the page and the file."""
        return figures.svg(self.figure)

    def files(self, png: bool = True) -> dict[str, bytes]:
        """The figure as files, by their names: as SVG, and as PNG too unless `png` is False."""
        pictures = {f"{self.name}.png": figures.png(self.figure)} if png else {}
        return {f"{self.name}.svg": figures.svg_file(self.svg)} | pictures

    def shown(self, looks: Mapping[str, figures.Style]) -> dict[str, Any]:
        """As the template has it."""
        text = figures.inline(self.svg, self.name, f"{self.title}. {self.caption}", looks)
        from markupsafe import Markup  # only where a page is written: help must not need it

        return {"name": self.name, "svg": Markup(text), "caption": self.caption}  # noqa: S704 - matplotlib escapes text


Measure = tuple[str, str, Callable[[float], str], Callable[[Cell], float | None]]


def _of_round(figure: Callable[[Total], float]) -> Callable[[Cell], float | None]:
    return lambda cell: figure(cell.round) if cell.round else None


MEASURES: tuple[Measure, ...] = (
    ("cpu", "CPU per hospital, mean", units.seconds, _of_round(lambda total: total.hospital_cpu.median)),
    ("up", "Bytes up per hospital", units.size, _of_round(lambda total: total.up)),
    (
        "server",
        "CPU of the server",
        units.seconds,
        lambda cell: cell.round.server_cpu.median if cell.round and cell.status in analysis.WHOLE else None,
    ),
)


def draw(comparison: Comparison) -> list[Drawn]:
    """Every figure that the data allow."""
    setting = analysis.opening(comparison)
    if setting is None:
        return []
    return [
        *_costs(comparison, setting),
        *_plane(comparison, setting),
        *_errors(comparison, setting),
        *_work(comparison, setting),
    ]


def _costs(comparison: Comparison, setting: Setting) -> Iterator[Drawn]:
    choices = analysis.choices(comparison)
    for axis in ("hospitals", "parameters"):
        for key, what, text, figure in MEASURES:
            points = shapes.series(comparison, setting, axis, figure)
            if len(choices[axis]) < 2 or not points:
                continue
            protected = {
                name: [(x, y) for x, y, _ in line]
                for name, line in points.items()
                if analysis.family(comparison, name) != "clear"
            }
            in_full = {
                name: [(x, y) for x, y, cell in points[name] if cell.status == "measured"] for name in protected
            }  # what is scaled carries the noise of a small model
            sentences = [shapes.lowest(protected, axis), shapes.growth(in_full, axis)]
            caption = ". ".join(part for part in sentences if part) + "."
            drawn = figures.cost(points, looks(comparison), what, axis, text)
            yield Drawn(f"cost-{axis}-{key}", drawn, f"{what} over {axis}", f"{what}: {caption}")


def missing(comparison: Comparison) -> list[str]:
    """Which of the two directions has nothing to show, and why."""
    choices = analysis.choices(comparison)
    return [
        f"Only {choices[axis][0]:,} {axis} {'was' if choices[axis][0] == 1 else 'were'} measured, so there is no curve "
        f"over {axis}."
        for axis in ("hospitals", "parameters")
        if len(choices[axis]) == 1
    ]


def hollow(comparison: Comparison) -> str:
    """The key to hollow marks, where there are any."""
    if any(cell.status in ("extrapolated", "one-client") for cell in comparison.cells):
        return "Hollow marks are extrapolated, or one hospital's part alone."
    return ""


def _contenders(comparison: Comparison, cells: Sequence[Cell]) -> dict[str, Cell]:
    return {
        cell.strategy: cell
        for cell in cells
        if cell.status in analysis.WHOLE and cell.round and analysis.family(comparison, cell.strategy) != "clear"
    }


def _plane(comparison: Comparison, setting: Setting) -> Iterator[Drawn]:
    cells = _contenders(comparison, analysis.cells_of(comparison, setting))
    if cells:
        won = shapes.plane(cells)
        drawn = figures.plane(won, looks(comparison), families(comparison), comparison.networks)
        yield Drawn("networks", drawn, "Cheapest strategy by network", plane_caption(won, families(comparison)))


def plane_caption(won: shapes.Plane, kinds: Mapping[str, str]) -> str:
    """Who wins where, and whether HE and SMPC meet."""
    names = list(won.share)
    if len(names) == 1:
        return f"{names[0]} is cheapest on every network from 1 Mbit/s to 10 Gbit/s and from 0.1 ms to 500 ms."
    shares = units.words([f"{name} on {_share(won.share[name])}" for name in names])
    met = {kinds[name] for name in names}
    line = (
        "The heavy line is where HE and SMPC cost the same"
        if met == {"he", "smpc"}
        else f"All of these are {analysis.FAMILIES[met.pop()]}: there is no boundary between HE and SMPC"
    )
    return f"Cheapest, of the plane's area: {shares}. {line}."


def _share(part: float) -> str:
    return units.percent(part) if part >= 0.005 else f"less than 1{units.SPACE}%"


def plane(comparison: Comparison, cells: Sequence[Cell], figure: Any) -> dict[str, Any] | None:
    """The section's text and the cheapest on each named network."""
    if figure is None:
        return None
    setting, rows = analysis.opening(comparison), []
    for name, one in comparison.networks.items():
        first = next(place for place in ranking.ranking(comparison, cells, one) if place.family != "clear")
        rows.append(
            {
                "name": name,
                "down": units.speed(one.down),
                "up": units.speed(one.up),
                "latency": units.seconds(one.latency),
                "best": first.cell.strategy,
            }
        )
    text = (
        f"For {setting.words() if setting else ''}. Bandwidth is the same both ways here; a network that has two is "
        "marked at its upload. Strategies without protection are left out. Trust is not asked here: the cheapest of "
        "all may withstand less than you need."
    )
    return {"figure": figure, "rows": rows, "text": text}


def _error(cell: Cell) -> float | None:
    """Its error, of as many coordinates as those of others: the largest of fewer is smaller."""
    return cell.error if cell.measured_parameters == cell.parameters else None


def _errors(comparison: Comparison, setting: Setting) -> Iterator[Drawn]:
    points = shapes.series(comparison, setting, "bits", _error)
    if points:
        lines = {name: [(x, y) for x, y, _ in line] for name, line in points.items()}
        places = {x for line in lines.values() for x, _ in line}
        same = all(
            max(here) <= 1.01 * min(here)
            for x in places
            if (here := [dict(line)[x] for line in lines.values() if x in dict(line)])
        )
        within = [
            cell.error <= cell.error_bound
            for line in points.values()
            for _, _, cell in line
            if cell.error is not None and cell.error_bound is not None
        ]
        caption = "All strategies give the same error. " if same and len(lines) > 1 else ""
        caption += (
            "Every error is within its bound."
            if all(within)
            else f"{units.plural(within.count(False), 'error')} above the bound."
        )
        drawn = figures.accuracy(points, looks(comparison))
        yield Drawn("accuracy", drawn, "Largest error of a coordinate of the mean", caption)


def exactness(comparison: Comparison) -> dict[str, str]:
    """Whether integer sums were exact, and what there is of errors."""
    known = [cell for cell in comparison.cells if cell.exact is not None]
    wrong = [cell for cell in known if not cell.exact]
    if not known:
        exact = "Exactness was not examined."
    elif wrong:
        names = units.words(sorted({cell.strategy for cell in wrong}))
        exact = (
            f"In {len(wrong):,} of {units.plural(len(known), 'cell')} the integer sum was not the plain sum: {names}."
        )
    else:
        exact = (
            f"In all {units.plural(len(known), 'cell')} examined the integer sum was exactly the plain sum: what is "
            "left is the rounding of values to the given number of bits."
        )
    bits, errors = analysis.choices(comparison)["bits"], [cell for cell in known if cell.error is not None]
    text = ""
    if not errors:
        text = "No errors were measured."
    elif len(bits) == 1:
        text = f"Only values of {bits[0]} bits were measured, so there is no curve over bits."
    return {"exact": exact, "text": text}


def _work(comparison: Comparison, setting: Setting) -> Iterator[Drawn]:
    cells = [cell for cell in analysis.cells_of(comparison, setting) if cell.status in analysis.WHOLE and cell.round]
    lines = {cell.strategy: shapes.line(cell) for cell in cells}
    lines = {name: line for name, line in lines.items() if line[0] > 0 and line[1] > 0}
    if not lines:
        return
    for key, title, x_name, part, scale in (
        ("phases", "CPU against phases", "phases in a round", 2, 0.5),
        ("bytes", "CPU against bytes", "bytes down and up, busiest hospital", 1, 1.0),
    ):
        points = {name: (scale * line[part], line[0]) for name, line in lines.items()}
        drawn = figures.scatter(points, looks(comparison), title, x_name, log=key == "bytes")
        least, most = (pick(points, key=lambda name: points[name][1]) for pick in (min, max))
        caption = f"For {setting.words()}. Least CPU: {least}, {units.seconds(points[least][1])}"
        caption += f"; most: {most}, {units.seconds(points[most][1])}." if most != least else "."
        yield Drawn(f"work-{key}", drawn, title, caption)
