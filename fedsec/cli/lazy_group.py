"""A group of commands that imports a command's module when that command is called, and none for help."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from fedsec import extras
from fedsec.cli.option_types import read_as_written
from fedsec.errors import ConfigurationError

if TYPE_CHECKING:
    import click


CALLED = "fedsec.command"
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
"""The environment in which linear algebra uses one thread: read when numpy is imported, here and in what we start."""


class Listed(NamedTuple):
    """A command that is not imported yet.

    path             `module:function`, or `module:app` for a group
    help             the line that help shows of it
    extra            the extra of fedsec that brings all that the command may need
    single_threaded  whether it trains models, whose bits depend on the number of threads of linear algebra
    """

    path: str
    help: str
    extra: str = "simulation"
    single_threaded: bool = False


class LazyGroup(TyperGroup):
    """The commands of `listed`, in that order."""

    listed: ClassVar[Mapping[str, Listed]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({name: TyperCommand(name, help=one.help) for name, one in self.listed.items()})

    def load(self, name: str) -> Any:
        """The function or Typer app of a command."""
        listed = self.listed[name]
        if listed.single_threaded:
            os.environ.update(ONE_THREAD)
        module, _, attribute = listed.path.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, imported now."""
        name, found, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, found, rest
        ctx.meta[CALLED] = name
        return name, as_command(name, self.load(name)), rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises ConfigurationError, with the extra to install, where it needs a missing package."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            name, module = str(ctx.meta[CALLED]), error.name or ""
            cure = extras.install(module, self.listed[name].extra if name in self.listed else "")
            if not cure:
                raise
            raise ConfigurationError(
                f"`{ctx.command_path} {name}` needs {module}, which is not installed{cure}"
            ) from error


def new_app(**settings: Any) -> typer.Typer:
    """A Typer app whose help reads Markdown, and whose exceptions stay Python's."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown", **settings)


def as_command(name: str, loaded: Any) -> click.Command:
    """A function or a Typer app as click's command of this name; see option_types.py for how it reads options."""
    if isinstance(loaded, typer.Typer):
        made: click.Command = typer.main.get_group(loaded)
    else:
        app = new_app()
        app.command(name)(loaded)
        made = typer.main.get_command(app)
    made.name = name
    read_as_written(made)
    return made
