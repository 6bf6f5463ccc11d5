"""A run from Python, such as in a notebook: `run(frame, site="hospital", label="died", strategy="secagg")`."""

from __future__ import annotations

import functools
import html
import io
import warnings
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fedsec import catalog
from fedsec.app.config import RunConfig
from fedsec.data import frames
from fedsec.errors import ConfigurationError, RunFailed, home_expanded, unknown
from fedsec.report.run_document import RunDocument, final_table, load
from fedsec.report.run_page import PAGE
from fedsec.simulations.run import driver, live_view
from fedsec.simulations.run.engines import Engine
from fedsec.simulations.run.reading import print_reading
from fedsec.simulations.run.study_file import FIELDS, LISTS, Asked
from fedsec.strategy_spec import StrategySpec

if TYPE_CHECKING:
    import pandas

WIDE, HEIGHT = 80, 640


@dataclass(frozen=True)
class Report:
    """The page of a run: shown as such in a notebook, and elsewhere the path of its file."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:{HEIGHT}px;border:0" title="report"></iframe>'


@dataclass(frozen=True, repr=False)
class Run:
    """What a run left in its folder: result.json as `document`, and as frames of pandas."""

    folder: Path
    document: RunDocument

    @functools.cached_property
    def quality(self) -> pandas.DataFrame:
        """A row for each model on the common test rows, the federated one first, then those it is compared with."""
        import pandas

        measure = self.document.intervals.metric if self.document.intervals else ""
        rows = {}
        for model in final_table(self.document):
            low, high = model.interval or (None, None)
            rows[model.who] = {**model.quality, **({f"{measure} low": low, f"{measure} high": high} if measure else {})}
        return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("trained")

    @functools.cached_property
    def rounds(self) -> pandas.DataFrame:
        """A row for each round from 0, before training: the federated model's quality on the common test rows."""
        import pandas

        return pandas.DataFrame([self.document.quality.initial, *self.document.quality.by_round]).rename_axis("round")

    @functools.cached_property
    def costs(self) -> pandas.DataFrame:
        """The ledger: a row for each phase and role, with bytes and seconds of CPU."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in load(self.folder)[1]])

    @functools.cached_property
    def model(self) -> Any:
        """The trained model as an estimator of scikit-learn, as `fedsec.load_model` reads it."""
        from fedsec.learning.estimator import load_model

        return load_model(self.folder)

    def report(self) -> Report:
        """The run's page."""
        return Report(self.folder / PAGE)

    def __repr__(self) -> str:
        text = io.StringIO()
        live_view.summary(Console(file=text, width=WIDE), self.document, self.folder)
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        kept = [*self.document.warnings, *(text for text, _ in self.document.cautions)]
        notes = "".join(f"<li>{html.escape(text)}.</li>" for text in kept)
        table = self.quality.to_html(float_format=lambda value: f"{value:.4f}", na_rep="")
        title = f"{self.document.data_name}, {self.document.strategy}, simulated on one machine"
        return f"<p><b>{html.escape(title)}</b></p>{table}" + (f"<p>Warnings:</p><ul>{notes}</ul>" if notes else "")


def run(
    data: pandas.DataFrame | str | Path | None = None,
    *,
    strategy: str = "shamir",
    engine: str = "local",
    timeout: float = 3600.0,
    allow_void: int = 0,
    output: str | Path | None = None,
    force: bool = False,
    progress: bool = True,
    **options: Any,
) -> Run:
    """One federated run in simulation, as `fedsec run` makes it, and what it left.

    data: a frame of pandas, or the path of a file or folder of rows; without it, `dataset` names a bundled data set.
    strategy: `NAME` or `NAME:PARAMETER=VALUE:…`. engine: `local`, in this process, or `flower`, on Ray, which cannot
    read a frame. timeout: seconds. allow_void: void rounds that are worth no warning. output: folder for the results,
    a new one in results/ by default; `force` replaces one that exists. progress: whether rounds are shown on stderr.
    options: those of `fedsec run`, with _ for -: site, label, person, rounds, clients, seed, …

    Raises ConfigurationError for options that cannot work, before anything starts; RunFailed where the run fails, with
    `result` where it left one.

    >>> from fedsec.simulations import run
    >>> run(frame, site="hospital", label="died", strategy="secagg").quality  # doctest: +SKIP
    """
    known = {field: name for name, field in FIELDS.items() if field not in ("data", "strategy")} | {"schema": "schema"}
    for name in options:
        if name not in known:
            raise unknown("option", name, [*known, "strategy", "engine", "timeout", "output"])
    with ExitStack() as stack:
        if data is None:
            place = ""
        elif isinstance(data, str | Path):
            place = str(home_expanded("data", Path(data)).absolute())
        else:
            place = str(stack.enter_context(frames.held(_frame(data, engine), "frame")))
        asked = Asked(_config(place, strategy, options), _engine(engine), timeout, allow_void)
        driver.require(asked.engine, "`run`")
        checked, rows = driver.check(asked.config)
        print_reading(Console(stderr=True, quiet=not progress), rows)
        folder = None if output is None else Path(output)
        target = driver.target_folder(folder, checked.strategy, checked.data_name, force)
        finished = driver.drive(asked, checked, target, lambda path: live_view.live(path, checked, not progress))
    done = Run(finished.folder, finished.document)
    if finished.failed is not None:
        raise RunFailed(f"{finished.failed}. Its log is {target / driver.LOG}", done) from finished.failed
    if done.document.void_rounds > allow_void:
        text = f"{done.document.void_rounds} rounds are void: {done.document.void[0].failure}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return done


def _frame(data: Any, engine: str) -> pandas.DataFrame:
    import pandas

    if not isinstance(data, pandas.DataFrame):
        raise ConfigurationError(f"data is a {type(data).__name__}; a frame of pandas or a path was expected")
    if engine != Engine.LOCAL:
        raise ConfigurationError(
            f"engine is {engine!r}, whose processes cannot read a frame in memory: use engine='local', or save the "
            "rows to a file and give its path"
        )
    return data


def _engine(name: str) -> Engine:
    if name not in list(Engine):
        raise unknown("engine", name, Engine)
    return Engine(name)


def _config(place: str, strategy: str, options: dict[str, Any]) -> RunConfig:
    spec = StrategySpec.parse(strategy)
    values = {FIELDS.get(name, name): value for name, value in options.items()}
    values |= {"data": place, "strategy": catalog.allow(spec.name), "parameters": spec.json}
    for name in LISTS:
        if isinstance(values.get(name), list | tuple):
            values[name] = ",".join(map(str, values[name]))
    if values.get("schema_file"):
        values["schema_file"] = str(home_expanded("schema", Path(values["schema_file"])).absolute())
    return RunConfig.read({name.replace("_", "-"): value for name, value in values.items()})
