"""The options of `fedsec run`, `stats` and `partition`, made from the fields of RunConfig."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from fedsec import catalog
from fedsec.app.config import OF_ROWS, OWN_ROWS, RunConfig, choices, flag_of, limits
from fedsec.errors import ConfigurationError, home_expanded
from fedsec.strategy_spec import StrategySpec

ROWS = ("dataset", "data", *OF_ROWS, "minimum_rows", "partition", "clients", "seed")
"""The fields that say which rows the hospitals hold."""
RUN = tuple(name for name in RunConfig.model_fields if name not in ("identity", "hospitals", "output"))
"""The fields of a simulated run: those of a deployment and the folder are not among its options."""


Base = Callable[[dict[str, Any]], Mapping[str, Any]]
"""From a command's own options, by name, those that come from elsewhere; it may change its own."""


def with_config(
    *names: str, flags: Mapping[str, str] | None = None, base: Base | None = None, file: str = "", **fixed: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these fields of RunConfig.

    The command's first parameter is the checked configuration; its others are options of its own.

    names: of fields; their options come in the order of RunConfig. flags: of options that this command names otherwise,
    by field. base: what options are where the command line does not give them; the command's parameter `given` then
    holds the names of those that it gives. file: an argument of the command's own that may name the rows in place of
    --data. fixed: fields that this command sets itself.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command, eval_str=True).parameters.values() if one.name != "given"][1:]
        fields = {name: field for name, field in RunConfig.model_fields.items() if name in names}
        made = [_parameter(name, field, (flags or {}).get(name, "")) for name, field in fields.items()]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            if base is not None:
                values = _completed(base, values.pop("context"), values)
            if file and values[file] is not None:
                if values["data"]:
                    raise ConfigurationError(f"data is {values['data']}, and the file {values[file]}: give one of them")
                values["data"] = str(values[file])
            given = {name: _value(fields[name], values.pop(name)) for name in fields}
            if given.get("dataset") == OWN_ROWS:
                raise ConfigurationError(
                    f"dataset is {OWN_ROWS}, which is for a deployment, where each hospital's node names its own file: "
                    "to simulate hospitals on your own rows, use --data PATH in place of --dataset"
                )
            if "strategy" in given:
                spec = StrategySpec.parse(given["strategy"]).with_options(given["parameters"] or [])
                given |= {"strategy": catalog.allow(spec.name), "parameters": spec.json}
            config = RunConfig.read({name.replace("_", "-"): value for name, value in (given | fixed).items()})
            command(config, **values)

        parameters = [*made, *own]
        if base is not None:
            parameters.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _completed(base: Base, context: typer.Context, values: dict[str, Any]) -> dict[str, Any]:
    """The options with those of `base` where the command line gives none, and the names of those that it gives."""
    given = {name for name in values if str(getattr(context.get_parameter_source(name), "name", "")) == "COMMANDLINE"}
    held = base(values)
    return {**values, **{name: value for name, value in held.items() if name not in given}, "given": frozenset(given)}


def _parameter(name: str, field: FieldInfo, flag: str) -> inspect.Parameter:
    extra: Any = field.json_schema_extra
    repeated = name == "parameters"
    kind: Any = list[str] | None if repeated else bool if field.annotation is bool else field.annotation
    option = typer.Option(
        flag or f"--{flag_of(name)}",
        *(["-p"] if repeated else []),
        help=help_of(name),
        metavar=extra["metavar"] or None,
        rich_help_panel=extra["panel"] or None,
        show_default=bool(field.default) and not repeated,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if repeated else field.default,
        annotation=Annotated[str if choices(name) else kind, option],
    )


def help_of(name: str) -> str:
    """What `--help` says of an option: its description, its choices and its limits."""
    field = RunConfig.model_fields[name]
    within = limits(name).removeprefix("at least 0").removeprefix(" and ")
    parts = [field.description or ""]
    parts += [f"One of {', '.join(choices(name))}."] if choices(name) else []
    parts += [f"{within.capitalize()}."] if within else []
    return " ".join(parts)


def _value(field: FieldInfo, value: Any) -> Any:
    """An option's value; a path is made absolute, for the processes of a run work in a folder of their own."""
    extra: Any = field.json_schema_extra
    return str(home_expanded(f"--{field.alias}", Path(value)).absolute()) if extra["path"] and value else value
