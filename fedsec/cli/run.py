"""`fedsec run`: one federated run on real data, live, and its result in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedsec.app.config import RunConfig
from fedsec.cli.options import Json, print_json
from fedsec.cli.run_options import RUN, with_config
from fedsec.data.file_formats import FOREIGN
from fedsec.data.row_files import SUFFIXES, format_of
from fedsec.errors import ConfigurationError, RunFailed
from fedsec.simulations.run import driver, live_view, study_file
from fedsec.simulations.run.engines import Engine
from fedsec.simulations.run.mlflow_log import WRITTEN, mlflow_writer
from fedsec.simulations.run.reading import print_reading
from fedsec.simulations.run.study_file import Asked
from fedsec.simulations.run.tensorboard import tensorboard_writer

VOID = 3
"""The exit status where more rounds were void than allowed."""
STARTING = {Engine.FLOWER: "starting Flower and Ray", Engine.LOCAL: "starting"}


def _holds_rows(path: Path) -> bool:
    """Whether a path is that of a hospital's rows, as `fedsec stats` takes it, and no study."""
    return format_of(path) in (*SUFFIXES, *FOREIGN, ".txt") and not path.is_dir()


def _study(values: dict[str, Any]) -> Mapping[str, Any]:
    """The options of the study that is named, or of the run whose study is to be repeated; or the rows that are."""
    if values["study"] and values["like"]:
        raise ConfigurationError(f"study is {values['study']} and --like is {values['like']}: name one of them")
    if values["study"] and _holds_rows(values["study"]):
        rows, values["study"] = values["study"], None
        if values["data"]:
            raise ConfigurationError(f"rows are given twice: {rows} and --data {values['data']}; name one of them")
        return {"data": str(rows)}
    named = values["study"] or values["like"]
    values["study"] = study_file.read(named) if named else None
    return values["study"].options if named else {}


@with_config(*RUN, base=_study)
def run(
    config: RunConfig,
    *,
    given: frozenset[str],
    study: Annotated[
        Any, typer.Argument(metavar="[FILE]", help="A file of rows; or of options, study.toml.", parser=Path)
    ] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Repeat a run: the options in its folder's study.toml.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="flower: Flower's simulation, on Ray. local: the same app in this process, sooner.")
    ] = Engine.FLOWER,
    timeout: Annotated[float, typer.Option(help="Seconds that the whole run may take. Above 0.")] = 3600.0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results [default: a new one in results/].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output folder if it exists.")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write TensorBoard event files there while the run goes on.")
    ] = None,
    mlflow: Annotated[
        str, typer.Option(metavar="DIR|URL", help="Log the run in MLflow: its options, figures and files.")
    ] = "",
    allow_void: Annotated[
        int, typer.Option("--allow-void", metavar="N", help="Void rounds with which the exit status is still 0.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Train a model across hospitals under Flower; the server learns sums only.

    The result folder holds report.html with its figures, result.json, ledger.csv (what each phase cost), the model as
    safetensors, study.toml and the log. They are written first; then the exit status is 1 if the run failed, and 3 if
    more than N of its rounds were void (--allow-void N).

    FILE has the rows, as --data, or is a study: the same options, without the dashes; those on the command line come
    first. Each run leaves one, study.toml, which --like runs again: on the same rows and versions it makes the same
    model, bit for bit.

    Examples:

    `fedsec run`

    `fedsec run --engine local`

    `fedsec run --strategy paillier --dataset diabetes --rounds 3`

    `fedsec run --dataset randhie --strategy secagg`

    `fedsec run rows.csv --site hospital --label died --person patient`

    `fedsec run --dataset lung --decision-threshold sensitivity=0.9 --leave-one-site-out`

    `fedsec run --clients 10 --partition label-skew --model mlp -p threshold=7`

    `fedsec run --dataset lung --cohort fixed --tensorboard runs --mlflow mlruns`

    `fedsec run --strategy ./my_strategy.py --output results/mine --json`

    `fedsec run study.toml --rounds 20`

    `fedsec run --like results/shamir-rows`
    """
    asked = Asked(config, engine, timeout, allow_void)
    driver.require(engine, "`fedsec run`")
    if study is not None and "data" not in given:
        study.check_rows()
    checked, rows = driver.check(config)
    if not as_json:
        print_reading(Console(), rows)
    target = driver.target_folder(output, config.strategy, config.data_name, force)
    board = None if tensorboard is None else tensorboard.expanduser() / target.name
    with tensorboard_writer(board) as draw, mlflow_writer(mlflow, target.name, checked) as log:

        def listen(event: Mapping[str, Any]) -> None:
            draw(event)
            log(event)

        try:
            finished = driver.drive(
                asked, checked, target, lambda path: live_view.live(path, checked, as_json, listen, STARTING[engine])
            )
        except KeyboardInterrupt as interrupted:
            Console(stderr=True).print(str(interrupted), highlight=False, markup=False, soft_wrap=True)
            raise
        listen({"event": WRITTEN, "folder": str(target)})
    document = finished.document
    if as_json:
        print_json({**document.model_dump(mode="json"), "output": str(target)})
    else:
        live_view.summary(Console(), document, target)
        if study is not None and not given & set(study_file.FIELDS.values()) and (text := study.compared(document)):
            Console().print(text, highlight=False, markup=False, soft_wrap=True)
    if finished.failed is not None:
        raise RunFailed(f"{finished.failed}. Its log is {target / driver.LOG}") from finished.failed
    if document.void_rounds > allow_void:
        raise typer.Exit(VOID)
