"""`fedsec report`: the page of a finished comparison or run, made again from what is in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsec import extras, metering
from fedsec.app.config import RunConfig
from fedsec.cli.arguments import parse_network
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError
from fedsec.report import output, page, run_page
from fedsec.report.document import FORMAT, Comparison, Network, with_networks

COMPARISON = "comparison.json"


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished comparison or run.")],
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MS,DOWN,UP", help="Add a network to a comparison: one-way latency in ms, Mbit/s."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild the page of a finished comparison or run: report.html, and its figures as SVG and PNG.

    Examples:

    `fedsec report results/compare` · `fedsec report results/shamir-breast-cancer --json`

    `fedsec report results/compare --network clinic=30,50,10`
    """
    written = make(folder.expanduser(), dict(map(parse_network, network or [])))
    if as_json:
        return print_json({"written": [str(path) for path in written]})
    Console().print(str(written[-1]), highlight=False, markup=False, soft_wrap=True)


def make(folder: Path, networks: Mapping[str, metering.Network] | None = None) -> list[Path]:
    """Write the page of whatever is in a folder, and return all paths, the page's last.

    networks: added to a comparison's own, by name.
    """
    for module in ("jinja2", "matplotlib"):
        extras.require(module, "`fedsec report`")
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder; that of a finished comparison or run was expected")
    if (folder / COMPARISON).is_file():
        added = {name: Network(latency=one.latency, down=one.down, up=one.up) for name, one in (networks or {}).items()}
        return page.write(with_networks(load(folder / COMPARISON), added), folder)
    if networks:
        raise ConfigurationError(f"network is set, but {folder} has no {COMPARISON}; leave --network out")
    if (folder / run_page.RESULT).is_file():
        return run_page.write(folder, RunConfig.labels())
    raise ConfigurationError(
        f"{folder} has neither {COMPARISON} nor {run_page.RESULT}; the folder of a finished comparison or run was "
        "expected"
    )


def load(path: Path) -> Comparison:
    """A comparison that was written before; raises ConfigurationError where the file is not one."""
    comparison = output.read(path, Comparison, "a comparison")
    if comparison.format != FORMAT:
        raise ConfigurationError(f"{path} has format {comparison.format}; this release reads format {FORMAT}")
    return comparison
