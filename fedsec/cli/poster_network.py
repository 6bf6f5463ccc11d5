"""`fedsec poster network`: a network whose weights are encrypted, trained on data that one hospital alone sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fedsec.cli.arguments import items
from fedsec.cli.options import Json, print_json
from fedsec.errors import ConfigurationError, RunFailed, unknown
from fedsec.report import units
from fedsec.simulations.poster import experiment_output
from fedsec.simulations.poster.encrypted_network import network_experiments
from fedsec.simulations.poster.encrypted_network.model_owner import MINIMUM_KEY_BITS, Owner, product_cost
from fedsec.simulations.poster.encrypted_network.network import Plan
from fedsec.simulations.poster.encrypted_network.network_figures import drawings
from fedsec.simulations.poster.tables.linear_regression import Follow

Option = typer.Option
PARTS = ("affine", "xor", "cancer", "sigmoids", "precision", "overflow", "product", "flower")
SMALLER_KEY, PRODUCTS, PRODUCT_BITS = 1024, 112, 24


def network(
    parts: Annotated[str, Option(help=f"Parts to run, separated by commas: {', '.join(PARTS)}.")] = "all",
    sigmoid: Annotated[
        str, Option(help="Polynomial for the sigmoid: taylor-7, interpolated-7:8 or minimax-7:8 (degree, radius).")
    ] = "interpolated-5:5",
    eta: Annotated[float, Option(help="Learning rate of the 3-4-1 network on XOR.")] = 0.5,
    iterations: Annotated[int, Option(help="Training iterations of the XOR network.")] = 170,
    precision: Annotated[int, Option(help="Fractional bits of the XOR network's numbers.")] = 40,
    seed: Annotated[int, Option(help="Seed of the XOR network's initial weights.")] = 0,
    key_bits: Annotated[int, Option(help="Bits of the Paillier key; at least 2048.")] = MINIMUM_KEY_BITS,
    output: Annotated[Path | None, Option(help="Folder for network.json, network.csv and the figures.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network whose weights are encrypted under their owner's key; only the hospital sees the rows.

    Paillier cannot multiply two ciphertexts, so the key holder multiplies blinded numbers. Exchanges, bytes and seconds
    are counted.

    Examples:

    `fedsec poster network`

    `fedsec poster network --parts xor --sigmoid minimax-7 --iterations 200`

    `fedsec poster network --parts affine,overflow --output results/network --json`
    """
    chosen = list(PARTS) if parts == "all" else items("parts", parts)
    for part in chosen:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    if key_bits < MINIMUM_KEY_BITS:
        raise ConfigurationError(f"key_bits is {key_bits}: key too small; it must be at least {MINIMUM_KEY_BITS}")
    plan = network_experiments.checked(precision, eta, sigmoid, iterations, key_bits, seed)
    experiment_output.make_folder(output)
    with experiment_output.progress() as follow:
        follow("keys", 0, 1)
        owner = Owner.fresh(key_bits)
        facts = {"key_bits": key_bits, "parts": chosen} | {
            part: _run(part, owner, plan, iterations, seed, follow) for part in chosen
        }
    if output is not None:
        whole = _with_earlier(output, facts)
        facts["files"] = experiment_output.write(output, "network", whole, _rows(whole), drawings(whole))
    if as_json:
        print_json(facts)
    else:
        _print_summary(Console(), facts)
    _judge(facts)


def _with_earlier(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """These facts, with the parts that an earlier run under a key of that size left in the folder."""
    try:
        earlier = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        kept = {part: earlier[part] for part in PARTS if part in earlier and earlier["key_bits"] == facts["key_bits"]}
    except (OSError, ValueError, TypeError, KeyError):
        return facts
    found = kept | facts
    return found | {"parts": [part for part in PARTS if part in found]}


def _run(part: str, owner: Owner, plan: Plan, iterations: int, seed: int, follow: Follow) -> Any:
    match part:
        case "affine":
            return network_experiments.tangent(owner, follow)
        case "xor":
            return network_experiments.xor(owner, plan, iterations, seed, follow)
        case "cancer":
            return network_experiments.cancer(owner, seed, follow)
        case "sigmoids":
            return network_experiments.activations(owner, 3 * iterations, plan.rate, plan.precision, follow)
        case "precision":
            return network_experiments.precisions(plan, iterations, seed, follow)
        case "overflow":
            return network_experiments.overflow(owner, SMALLER_KEY, follow)
        case "product":
            follow("one blinded product", 0, 1)
            return product_cost(owner, PRODUCT_BITS, PRODUCTS)
        case _:
            return network_experiments.over_flower(owner, plan, seed, follow)


def _rows(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Every fact as a line: the experiment, and what it found."""
    out = []
    for part in facts["parts"]:
        found = facts[part]
        for row in found if isinstance(found, list) else [found]:
            out.append({"experiment": part} | row)
    return out


def _print_summary(console: Console, facts: dict[str, Any]) -> None:
    table = Table(title=f"Training under encryption, {facts['key_bits']} bits", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("model", "outputs", "off plain\nby", "s an\niteration", "slower\nby", "exchanges", "bytes"):
        table.add_column(heading, justify="left" if heading in ("model", "outputs") else "right", overflow="fold")
    names = {"affine": "affine, XOR", "xor": "3-4-1, XOR", "cancer": "3-4-1, breast cancer"}
    for part, name in names.items():
        if part in facts:
            one = facts[part]
            outputs = (
                " ".join(f"{x:.3f}" for x in one["outputs"])
                if "outputs" in one
                else (f"accuracy {one['accuracy']:.3f}, plain {one['accuracy_plain']:.3f}")
            )
            table.add_row(
                name,
                outputs,
                f"{one['largest_difference']:.1e}",
                f"{one['seconds_per_iteration']:.3f}",
                f"{one['slower']:,.0f}x",
                f"{one['exchanges']:,}",
                units.plain_size(one["bytes_to_key_holder"] + one["bytes_back"]),
            )
    if table.row_count:
        console.print(table)
    if "xor" in facts and not facts["xor"]["solved"]:
        console.print(
            "XOR is not solved: an output is more than "
            f"{0.5 - network_experiments.MARGIN} from its label. Try more --iterations or another --seed.",
            highlight=False,
        )
    for part, show in (("sigmoids", _print_sigmoids), ("precision", _print_precision), ("flower", _print_flower)):
        if part in facts:
            show(console, facts[part])
    for one in facts.get("overflow", []):
        console.print(
            f"Without a refresh, a key of {one['key_bits']} bits overflows in iteration {one['wrong_from_iteration']}.",
            highlight=False,
        )
    if "product" in facts:
        one = facts["product"]
        console.print(
            f"A blinded product takes {1e3 * one['ours']:.2f} ms of CPU, {one['batch']} at once; python-paillier (phe) "
            f"takes {1e3 * one['phe']:.1f} ms, {one['phe'] / one['ours']:.0f} times as long.",
            highlight=False,
        )


def _print_flower(console: Console, one: dict[str, Any]) -> None:
    moved, alike = one["bytes_to_key_holder"] + one["bytes_back"], "as" if one["same_bytes"] else "not as"
    console.print(
        f"Over Flower, with owner and hospital as nodes: {one['iterations']} iterations took {one['exchanges']} "
        f"exchanges and {moved:,} bytes, {alike} in process; weights within {one['largest_difference']:.0e} of plain "
        "training.",
        highlight=False,
    )


def _print_sigmoids(console: Console, rows: list[dict[str, Any]]) -> None:
    ways = list(rows[0]["products"])
    table = Table(
        title=f"Sigmoids: XOR over {rows[0]['seeds']} seeds in the clear, products of two secrets in one evaluation",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for heading in ("sigmoid", "error to 8", "solved", "exploded", "from", *ways):
        table.add_column(heading, justify="left" if heading == "sigmoid" else "right", no_wrap=heading == "sigmoid")
    for row in rows:
        table.add_row(
            row["sigmoid"],
            f"{row['error_8']:.2g}",
            str(row["solved"]),
            str(row["exploded"]),
            str(row["explodes_from"] or ""),
            *(str(row["products"][way]) for way in ways),
        )
    console.print(table)


def _print_precision(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table(title="Precision: the same steps on integers, beside floating point", box=box.SIMPLE)
    for heading in ("bits after the point", "difference", "XOR solved"):
        table.add_column(heading, justify="right")
    for row in rows:
        off = "overflow" if row["difference"] is None else f"{row['difference']:.1e}"
        table.add_row(str(row["precision"]), off, "yes" if row["solved"] else "no")
    console.print(table)


def _judge(facts: dict[str, Any]) -> None:
    for part in ("affine", "xor", "cancer", "flower"):
        found = facts.get(part)
        if found and not found.get("same_bytes", True):
            raise RunFailed("over Flower, the exchanges or bytes differ from those in process")
        if found and found["largest_difference"] > network_experiments.AGREEMENT and found.get("precision", 40) >= 40:
            raise RunFailed(
                f"{part}: encrypted weights differ from plain ones by {found['largest_difference']:.1e}; "
                f"the tolerance is {network_experiments.AGREEMENT:.0e}"
            )
