"""docs/agreement.md: its commands are typed here, its errors are those of the nodes, its keys those of the file.

What the commands approve is then run: the real server app and client app over four hospitals that approved it.
"""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import Context, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load_file

from fedsec.agreement import agreement_file
from fedsec.agreement.agreement_file import Agreement
from fedsec.app import client_app, server_app
from fedsec.flower import bundle
from tests.flower import test_agreement_nodes as nodes
from tests.flower.process_grid import ProcessGrid

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")
HOSPITALS = ("north", "south", "east", "west")
DIFFERENT = "fedsec agree compare"
"""The one command whose exit status is not 0: a deployment's agreement is not the simulation's."""


def blocks() -> list[str]:
    return re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def prepared(folder: Path) -> None:
    """The rows of docs/data.md, each hospital's part in a file of its own, the schema, and an app's folder."""
    exec(compile((ROOT / "docs/examples/own_rows.py").read_text(), "own_rows.py", "exec"), {"__name__": "__main__"})
    with (folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in HOSPITALS:
        with (folder / f"{name}.csv").open("w", newline="") as file:
            lines = csv.DictWriter(file, rows[0])
            lines.writeheader()
            lines.writerows(row for row in rows if row["hospital"] == name)
    schema = (ROOT / "docs/data.md").read_text()
    (folder / "schema.toml").write_text(re.findall(r"```toml\n(\[label\]\n.*?)```", schema, re.DOTALL)[0])
    (folder / "app").mkdir()
    (folder / "app" / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def typed(fed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which all commands of the page were typed; those of north by each other hospital too."""
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path)
    for block in blocks():
        for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            if command == "cat hospitals.txt":
                (tmp_path / "hospitals.txt").write_text("".join(re.findall(r"^\w+=\w+\.pub\n", block, re.MULTILINE)))
                continue
            for name in HOSPITALS if "north" in command else ("",):
                words, _, target = command.replace("north", name or "north").partition(" > ")
                code, out, err = fed(*shlex.split(words)[1:])
                assert code == int(command.startswith(DIFFERENT)), err
                if target:
                    (tmp_path / target).write_text(out)
                if command.startswith("fedsec agree write"):
                    check_output(block, out)
    return tmp_path


def check_output(block: str, out: str) -> None:
    """Each line of the page is printed, but for the hashes of keys that were made just now."""
    for line in block.partition("agree write")[2].splitlines()[1:]:
        if not re.search(r"[0-9a-f]{12}", line):
            assert line in out.splitlines(), line


def test_the_commands_of_the_page_lead_to_a_deployment(typed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agreement = agreement_file.read(typed / "agreement.toml")
    assert {one.name for one in agreement.hospitals} == set(HOSPITALS)
    assert agreement.bundle == bundle.digest_of_app(typed / "app")
    grid = approved(typed, agreement, monkeypatch)
    options = {
        **agreement.configuration,
        "schema-file": str(typed / "schema.toml"),
        "agreement": str(typed / "agreement.toml"),
        "identity": str(typed / "server.key"),
        "output": str(typed / "out"),
        "phase-timeout": 3600.0,
    }
    for context in grid.contexts.values():
        context.run_config = dict(options)
    server_app.main(grid, Context(77, 0, {}, RecordDict(), dict(options)))
    assert not grid.reasons
    assert agreement_file.read(typed / "out" / "agreement.toml") == agreement
    trained = load_file(typed / "out" / "model.safetensors")
    assert {name: array.shape for name, array in trained.items()} == {one.name: one.shape for one in agreement.arrays}
    assert all(abs(array).max() > 0.01 for array in trained.values())


def approved(folder: Path, agreement: Agreement, monkeypatch: pytest.MonkeyPatch) -> ProcessGrid:
    """Nodes as `fedsec agree approve` says to start them, in a process that runs the app that Flower installed."""
    installed = folder / "apps" / "fedsec.fedsec.0-1-0.00000000"
    installed.mkdir(parents=True)
    for name, data in bundle.packed(folder / "app"):
        (installed / name).write_bytes(data)
    monkeypatch.setenv("FLWR_HOME", str(folder))
    monkeypatch.syspath_prepend(str(installed))
    assert bundle.installed() == agreement.bundle
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # Flower's runtime sets them once
    grid = ProcessGrid(client_app.client, len(HOSPITALS), 2**63 + 11)
    grid.run = SimpleNamespace(run_id=4059)
    grid.mod = lambda message, context, app: app(message, context)
    for name, context in zip(HOSPITALS, grid.contexts.values(), strict=True):
        own = folder / f"at-{name}.toml"
        agreement.write(own)
        paths = {"agreement": own, "identity": f"{name}.key", "journal": f"{name}.journal", "data": f"{name}.csv"}
        approve(folder, own, name)
        context.node_config = {f"fedsec-{key}": str(folder / path) for key, path in paths.items()}
        context.node_config["fedsec-schema"] = str(folder / "schema.toml")
    return grid


def approve(folder: Path, file: Path, name: str) -> None:
    """Each hospital has a copy of the file; here all share a folder, so the approval of each goes beside its own."""
    from fedsec.agreement import approval
    from fedsec.party.identity import read_identity

    approval.approve(agreement_file.read(file), read_identity(folder / f"{name}.key"), approval.path_beside(file))


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the table under a heading."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_page_s_errors_are_those_that_nodes_give() -> None:
    """tests/flower/test_agreement_nodes.py provokes each of them by its name in SAYS."""
    assert {error.strip("`").strip() for _, error in table("What a node refuses")} == {
        text.strip() for text in nodes.SAYS.values()
    }


def test_the_page_has_each_key_of_the_file() -> None:
    assert {key.strip("`") for key, _ in table("What the file says")} == set(Agreement.model_fields)
