"""The command line: which commands there are, and the exit status.

Exit status: 0 for a result, 1 for a failed run, 2 for a usage that cannot work, 3 for a run with void rounds, 130 after
Ctrl-C.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedsec import __version__
from fedsec.cli.lazy_group import LazyGroup, Listed, new_app
from fedsec.errors import ConfigurationError, FedsecError

if TYPE_CHECKING:
    import click

TRACEBACK = "FEDSEC_TRACEBACK"
"""Set in the environment, it lets an error that nobody foresaw through, with its traceback."""
GROUP = "fedsec.commands"
"""The group of entry points by which an installed package adds commands."""

COMMANDS = {
    "run": Listed(
        "fedsec.cli.run:run",
        "Train a model across hospitals under Flower; the server learns sums only.",
        single_threaded=True,
    ),
    "predict": Listed(
        "fedsec.cli.predict:predict",
        "Apply a run's model to new patients' rows: probabilities with intervals, and rows refused in words.",
        extra="",
    ),
    "export": Listed(
        "fedsec.cli.export:export",
        "Write a run's model as ONNX, its preparation included, for runtimes of other languages.",
        extra="onnx",
    ),
    "sheet": Listed(
        "fedsec.cli.sheet:sheet",
        "Write two pages for data protection officers: data flows, who sees what, what is not protected.",
        extra="report",
    ),
    "stats": Listed(
        "fedsec.cli.stats:stats",
        "Show Table 1 of all hospitals' rows, and what looks wrong with them, by one secure aggregation.",
    ),
    "partition": Listed(
        "fedsec.cli.partition:partition",
        "Show how the training rows are spread across hospitals: sizes, label shares, gaps and feature shift.",
    ),
    "compare": Listed(
        "fedsec.cli.compare:compare",
        "Measure what each strategy costs: CPU, bytes, memory, exactness, and round time on a network.",
    ),
    "plan": Listed(
        "fedsec.cli.plan:plan",
        "Estimate what each strategy would cost in a setting, and whether it fits and protects as required.",
    ),
    "report": Listed(
        "fedsec.cli.report:report",
        "Rebuild the page of a finished comparison or run: report.html, and its figures as SVG and PNG.",
        extra="report",
    ),
    "strategies": Listed(
        "fedsec.cli.strategies:strategies",
        "List the aggregation strategies: phases, what the server learns, whom each trusts, what it tolerates.",
    ),
    "agree": Listed(
        "fedsec.cli.agree:app",
        "Agree on what may leave a hospital: write, explain, compare and approve the agreement of a study.",
        extra="",
    ),
    "log": Listed(
        "fedsec.cli.log:app",
        "Show and verify a trail: what a hospital or a server did, when, and whether its file was changed since.",
        extra="",
    ),
    "new-strategy": Listed(
        "fedsec.cli.new_strategy:new_strategy",
        "Create a starter strategy, NAME.py, and its test: one-phase pairwise masks that pass the conformance suite.",
    ),
    "init": Listed("fedsec.cli.init:init", "Write a Flower app to start from, whose server sees sums only."),
    "poster": Listed(
        "fedsec.cli.poster:app", "Rerun the poster's experiments, and compare each result with what the poster prints."
    ),
}


class Commands(LazyGroup):
    """fedsec's own commands, and after them those of other packages, which cannot take a name of ours."""

    listed = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in their order, then the others by name: their help would need their modules."""
        return [*super().list_commands(ctx), *sorted(set(_plugged_in()) - set(self.listed))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command as help lists it."""
        known = super().get_command(ctx, cmd_name)
        return known if known or cmd_name not in _plugged_in() else typer.core.TyperCommand(cmd_name)

    def load(self, name: str) -> Any:
        """The function or Typer app of a command."""
        if name in self.listed:
            return super().load(name)
        try:
            return _plugged_in()[name].load()
        except ModuleNotFoundError:
            raise
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"command {name!r} cannot be loaded: {error}") from error


def _plugged_in() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


app = new_app(
    name="fedsec",
    cls=Commands,
    help="Sound, fast, pluggable secure aggregation for Flower.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"fedsec {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; errors that a user can cause end in one line, never in a traceback."""
    _replace_what_the_terminal_lacks()
    try:
        app()
    except ConfigurationError as error:
        sys.exit(_fail(error, 2))
    except FedsecError as error:
        sys.exit(_fail(error, 1))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(_fail(_unexpected(error), 1))


def _unexpected(error: Exception) -> FedsecError:
    """The error for one that nobody foresaw: what it is, and where in the code it came from.

    It is a fault of fedsec, or of a strategy file, whose author wants to see where.
    """
    import traceback

    *_, last = traceback.extract_tb(error.__traceback__)
    said = f": {error}" if str(error) else ""
    return FedsecError(
        f"{type(error).__name__}{said} (in {last.name}, {last.filename}, line {last.lineno}). This is a fault of the "
        f"code, not of the options; {TRACEBACK}=1 shows the traceback"
    )


def _replace_what_the_terminal_lacks() -> None:
    """Print ? for a letter that the terminal's encoding has none for, as a hospital's name may hold one.

    JSON needs it for no letter: it escapes what is not ASCII. Standard error shows such letters escaped already.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _fail(error: FedsecError, status: int) -> int:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True).print(f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True)
    return status
