"""The page of the poster's experiments: one HTML file that needs nothing else, made of what their commands left."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedsec import __version__
from fedsec.errors import ConfigurationError
from fedsec.report import output, units
from fedsec.simulations.poster import claims, experiment_output
from fedsec.simulations.poster.verdicts import MISSING, SHORT, Facts

PAGE = "poster.html"
EXPERIMENTS = ("basics", "tables", "network", "shared-training")
"""Each leaves a JSON file of its name. A new experiment adds its name, its claims, its figures and its texts."""
TITLES = {
    "tables": "Training together: tables 1.0 and 2.0",
    "network": "The encrypted network",
    "shared-training": "Training on shared data",
}
FIGURES: Mapping[str, Mapping[str, str]] = {
    "tables": {
        "tables": "The poster's values as bars, ours as dots. Two of the poster's cells are misprinted.",
        "tables-trends": "The published difference by iterations and by eta, also beyond the poster's range.",
        "tables-spread": "The difference by eta times iterations, by the poster's definition and by a corrected one: "
        "median and 90% range over all seeds and hospitals.",
    },
    "network": {
        "network-outputs": "Outputs of the encrypted models on the four rows of XOR, beside training in the clear.",
        "network-sigmoids": "Error of each polynomial that replaces the sigmoid, by argument.",
        "network-products": "Products of two secrets in one evaluation, by degree.",
        "network-precision": "Largest difference of a weight from floating point, by bits after the point.",
    },
    "shared-training": {
        "shared-training-approximation": "The sigmoid and its approximations; below, loss and largest weight of three "
        "layers trained with each. A cross marks a collapse.",
        "shared-training-degrees": "Least-squares fits of degree 3 to 20 on [-10, 10]; below, loss and largest weight "
        "under some of them.",
        "shared-training-collapses": "The iteration at which each start collapsed, by activation.",
        "shared-training-one-table": "The same network, rows, seed and steps, trained in every way: accuracy, CPU, "
        "bytes and rounds.",
    },
}
TEXTS: Mapping[str, Sequence[str]] = {
    "tables": (
        "Each cell is a hospital's error after training alone minus its error after training together: higher is "
        "better. The poster's definition counts hospital 1 twice and starts from the local weights, so part of the "
        "difference comes from twice as many steps. The corrected definition counts each hospital once, starts from "
        "zero, and takes the same number of steps.",
    ),
    "network": (
        "The weights are encrypted under their owner's key; the rows are in the clear at one hospital. Paillier cannot "
        "multiply two ciphertexts, so the key holder multiplies blinded numbers: it sees numbers within 2^-40 of "
        "uniform and returns ciphertexts. At the end the owner learns the trained weights, and no more of the data.",
    ),
    "shared-training": (
        "Hospitals share their rows between two compute parties, which train on the shares with masks from a dealer; "
        "no two of these three may collude. A training has collapsed when a weight passes a million or a number "
        "leaves the range of the fixed point.",
    ),
}


def load(folder: Path) -> dict[str, Facts]:
    """What the experiments left; raises ConfigurationError where there is nothing, or a file is damaged."""
    found: dict[str, Facts] = {}
    for name in EXPERIMENTS:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from error
        if not isinstance(facts, dict):
            raise ConfigurationError(f"{path} is not what `fedsec poster {name} --output` writes; run it again")
        found[name] = facts
    if not found:
        raise ConfigurationError(f"{folder} has no results; run `fedsec poster tables --output {folder}` first")
    return found


def judged(folder: Path) -> list[dict[str, str]]:
    """Every claim with its verdict, by what is in a folder. Raises ConfigurationError as `load` does."""
    return claims.rows(load(folder), experiment_output.short_runs(folder))


def render(folder: Path) -> str:
    """The page, as HTML. Raises ConfigurationError as `load` does, and for results of another form."""
    found = load(folder)
    try:
        short = experiment_output.short_runs(folder)
        rows = claims.rows(found, short)
        parts = [_part(name, found[name], folder) for name in TITLES if name in found]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"results in {folder} have another form ({type(error).__name__}: {error}); run them again"
        ) from error
    template = (Path(__file__).with_name("poster_page.html.j2")).read_text(encoding="utf-8")
    known = [one["verdict"] for one in rows if one["verdict"] not in (MISSING, SHORT)]
    counts = ", ".join(f"{word}: {known.count(word)}" for word in dict.fromkeys(known))
    lead = f"Of the poster's {len(rows)} claims, {len(known)} were measured here. {counts.capitalize()}."
    return (
        output.environment()
        .from_string(template)
        .render(
            version=__version__,
            kind="poster",
            title="The poster's experiments, run again",
            lead=lead,
            full={TITLES[name]: what for name, what in experiment_output.FULL.items() if name in short & found.keys()},
            looks={},
            claims=rows,
            parts=parts,
        )
    )


def write(folder: Path) -> Path:
    """Write the page beside the results. Raises ConfigurationError where that fails."""
    return output.write(folder, {PAGE: render(folder).encode()})[0]


def _part(name: str, facts: Facts, folder: Path) -> dict[str, Any]:
    tables = {"tables": _tables, "network": _network, "shared-training": _shared}[name](facts)
    return {
        "name": name,
        "title": TITLES[name],
        "short": name in experiment_output.short_runs(folder),
        "texts": TEXTS[name],
        "tables": tables,
        "figures": [
            {"source": _inline(folder / f"{figure}.svg"), "alt": alt}
            for figure, alt in FIGURES[name].items()
            if (folder / f"{figure}.svg").exists()
        ],
    }


def _inline(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _tables(facts: Facts) -> list[dict[str, Any]]:
    cells = [
        (
            one["definition"],
            f"{one['eta']:g}",
            one["iterations"],
            one["hospital"],
            f"{one['ours']:.2f}",
            "" if one["poster"] is None else f"{one['poster']:.2f}",
            "" if one["deviation"] is None else f"{one['deviation']:+.2f}",
            one["note"],
        )
        for one in facts["values"]
    ]
    ladder = [
        (one["words"], f"{one['eta']:g}", one["iterations"], *(f"{gain:.2f}" for gain in one["gains"]))
        for one in facts["ladder"]
    ]
    hospitals = [f"hospital {index + 1}" for index in range(facts["hospitals"])]
    head = ("definition", "eta", "iterations", "hospital", "ours", "poster", "difference", "note")
    return [
        {"title": f"Every value, sums by {facts['strategy']}", "head": head, "rows": cells},
        {
            "title": "What makes up the difference",
            "head": ("compared", "eta", "iterations", *hospitals),
            "rows": ladder,
        },
    ]


def _network(facts: Facts) -> list[dict[str, Any]]:
    out = []
    names = {"affine": "affine, XOR", "xor": "3-4-1, XOR", "cancer": "3-4-1, breast cancer"}
    runs = [
        (
            name,
            one["iterations"],
            f"{one['seconds_per_iteration']:.3f}",
            f"{one['slower']:,.0f}",
            f"{one['exchanges']:,}",
            f"{one['bytes_to_key_holder']:,}",
            f"{one['bytes_back']:,}",
            f"{one['largest_difference']:.0e}",
        )
        for part, name in names.items()
        if (one := facts.get(part))
    ]
    head = (
        "model",
        "iterations",
        "s an iteration",
        "times as long as plain",
        "exchanges",
        "bytes to key holder",
        "bytes back",
        "off plain by",
    )
    out.append({"title": f"Training under encryption, {facts['key_bits']} bits", "head": head, "rows": runs})
    if "sigmoids" in facts:
        rows = [
            (
                one["sigmoid"],
                f"{one['error_5']:.2g}",
                f"{one['error_8']:.2g}",
                one["solved"],
                one["exploded"],
                one["explodes_from"] or "",
                *one["products"].values(),
                f"{one['seconds_per_iteration']:.2f}",
            )
            for one in facts["sigmoids"]
        ]
        head = (
            "sigmoid",
            "error to 5",
            "error to 8",
            f"solved of {facts['sigmoids'][0]['seeds']}",
            "exploded",
            "from iteration",
            *facts["sigmoids"][0]["products"],
            "s an iteration",
        )
        out.append({"title": "Sigmoids: XOR in the clear, products of two secrets", "head": head, "rows": rows})
    return out


def _shared(facts: Facts) -> list[dict[str, Any]]:
    collapses = []
    for row in facts["collapses"]:
        at = [cell["iterations"] for cell in row["cells"] if cell["collapsed"]]
        left = [cell["accuracy"] for cell in row["cells"] if not cell["collapsed"]]
        collapses.append(
            (
                row["name"],
                f"{len(at)} of {len(row['cells'])}",
                f"{min(at):,} to {max(at):,}" if at else "",
                f"{min(left):.2f} to {max(left):.2f}" if left else "",
                row["before"],
            )
        )
    ways = [
        (
            row["name"],
            f"{row['accuracy']:.3f}",
            units.seconds(row["cpu_seconds"]),
            units.size(row["bytes"]),
            f"{row['rounds']:,}",
            units.seconds(row["networks"]["hospital-wan"]),
            row["learns"],
        )
        for row in facts["table"]
    ]
    title = f"Three layers, {facts['sizes']['iterations']:,} iterations: where each start collapsed"
    return [
        {
            "title": title,
            "head": ("activation", "collapsed", "at", "accuracy of the others", "an earlier experiment"),
            "rows": collapses,
        },
        {
            "title": f"The same network trained in every way, {facts['sizes']['steps']:,} steps",
            "head": ("way", "accuracy", "CPU", "bytes", "rounds", "time on a hospital's line", "who learns what"),
            "rows": ways,
        },
    ]
