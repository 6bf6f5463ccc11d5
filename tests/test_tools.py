"""Every tool sees all of the code, each module once: import-linter's graph, an editor, the wheel, Flower's bundle."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
WITHIN = {"fedsec/strategies": "strategies", "fedsec/simulations": "simulations"}


def sources() -> dict[str, Path]:
    """Every Python file by its path in the installed package."""
    found = {
        f"{name}/{file.relative_to(ROOT / folder)}": file
        for name, folder in WITHIN.items()
        for file in (ROOT / folder).rglob("*.py")
    }
    core = (ROOT / "fedsec").rglob("*.py")
    links = [ROOT / name for name in WITHIN]
    return found | {str(file.relative_to(ROOT)): file for file in core if not set(links) & set(file.parents)}


def modules() -> set[str]:
    return {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in sources()}


def test_the_import_graph_has_each_module_once() -> None:
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("fedsec", cache_dir=None)
    assert graph.modules == modules()
    assert "fedsec.protocol" in graph.find_modules_directly_imported_by("fedsec.strategies.shamir")
    assert graph.find_modules_that_directly_import("fedsec.simulations.run.launcher")


@pytest.mark.parametrize(
    ("code", "name", "file"),
    [
        ("from fedsec.strategies.shamir import Shamir", "Shamir", "strategies/shamir.py"),
        ("from fedsec.simulations.run.launcher import flower_run", "flower_run", "simulations/run/launcher.py"),
        ("from fedsec import LocalFederation", "LocalFederation", "fedsec/local.py"),
        ("from fedsec.protocol import SecureSum", "SecureSum", "fedsec/protocol/secure_sum.py"),
    ],
)
def test_an_editor_goes_to_the_definition(code: str, name: str, file: str) -> None:
    jedi = pytest.importorskip("jedi")
    here = jedi.InterpreterEnvironment()  # another would leave a process behind
    script = jedi.Script(code, path=ROOT / "fedsec" / "catalog.py", project=jedi.Project(ROOT), environment=here)
    (found,) = script.goto(1, code.rindex(name), follow_imports=True)
    assert found.name == name and Path(found.module_path).resolve() == ROOT / file
    assert found.line > 1


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the checkout, built by the backend that is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("docs/", "tests/", "benchmarks/")) or not (ROOT / name).exists():
            continue
        target = folder / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        else:
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(folder / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "Could not find a version" in done.stdout + done.stderr:
        pytest.skip("setuptools cannot be had here")
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
def test_the_wheel_has_each_file_once(wheel: Path) -> None:
    data = {
        f"{name}/{file.relative_to(ROOT / folder)}"
        for name, folder in {"fedsec": "fedsec", **WITHIN}.items()
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix != ".py" and file.parent.name != "__pycache__" and file.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        held = {name for name in names if ".dist-info/" not in name}
        python = {name for name in held if name.endswith(".py")}
        assert len(names) == len(set(names)) and {name.split("/")[0] for name in held} == {"fedsec"}
        assert python == set(sources())
        assert all(archive.read(name) == file.read_bytes() for name, file in sources().items())
        assert {"fedsec/py.typed", "fedsec/report/page.js", "fedsec/cli/templates/strategy.py.txt"} <= held
        assert held - python == data
        assert not [name for name in held if "__pycache__" in name]


@pytest.mark.slow
def test_flower_s_bundle_has_the_configuration_alone(tmp_path: Path) -> None:
    """A folder `fedsec` in it would hide the installed package, whose links Flower does not follow."""
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for name in ("LICENSE", "README.md"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    for name in ("fedsec", *WITHIN.values()):
        (clone / name).symlink_to(ROOT / name)
    flwr = Path(sys.executable).parent / "flwr"
    done = subprocess.run([str(flwr), "build", "--app", "."], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (bundle,) = clone.glob("*.fab")
    with zipfile.ZipFile(bundle) as archive:
        names = set(archive.namelist())
        assert tomllib.loads(archive.read("pyproject.toml").decode())["tool"]["flwr"]["app"]["components"] == {
            "serverapp": "fedsec.app.server_app:server",
            "clientapp": "fedsec.app.client_app:client",
        }
    assert "pyproject.toml" in names
    assert not [name for name in names if name.endswith(".py") or name.startswith(("fedsec", "strategies", "simul"))]
