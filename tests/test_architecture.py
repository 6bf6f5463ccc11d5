"""What import-linter cannot say: the purity of protocols, where a library may be imported, and names of files.

Which package may import which stands in pyproject.toml, and import-linter holds it (`lint-imports`).
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKS = (ROOT / "fedsec" / "strategies", ROOT / "fedsec" / "simulations")
FRAMEWORK = sorted(file for file in (ROOT / "fedsec").rglob("*.py") if not any(link in file.parents for link in LINKS))
CORE = [file for file in FRAMEWORK if not {"app", "cli"} & set(file.relative_to(ROOT).parts)]
STRATEGIES = sorted((ROOT / "strategies").glob("*.py"))
SIMULATIONS = sorted((ROOT / "simulations").rglob("*.py"))
PRIMITIVES = sorted((ROOT / "fedsec" / "primitives").rglob("*.py"))
TEXTBOOK = "paillier_textbook.py"
LIBRARIES = {TEXTBOOK: {"phe"}, "bfv.py": {"tenseal", "gmpy2"}}
"""The strategies that are built on another's library, as they say, and what of it they may import."""


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@functools.cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(file)))


def module(file: Path) -> str:
    """The name under which a file is imported: strategies and simulations are parts of fedsec."""
    path = file.relative_to(ROOT).with_suffix("")
    parts = [part for part in path.parts if part != "__init__"]
    return ".".join(parts if parts[:1] == ["fedsec"] else ["fedsec", *parts])


@functools.cache
def imports(file: Path) -> tuple[str, ...]:
    """Every module that a file may import, wherever the statement stands, and each name that it takes from one."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    package = module(file) if file.name == "__init__.py" else module(file).rpartition(".")[0]
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name: str, *tops: str) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def offenders(files: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imports(file)
        if within(name, *forbidden)
    ]


@functools.cache
def dotted(file: Path) -> frozenset[str]:
    """Every dotted name in a file that is read or called: `os.urandom`, `np.random.default_rng`."""
    return frozenset(ast.unparse(node) for node in nodes(file) if isinstance(node, ast.Attribute | ast.Name))


def test_the_walk_sees_what_it_should() -> None:
    """The control: known imports are found, relative and nested ones too."""
    assert "flwr.app" in set(imports(ROOT / "fedsec" / "flower" / "server.py"))
    assert "phe.paillier" in set(imports(ROOT / "fedsec" / "primitives" / "interop_phe.py"))
    assert "fedsec.protocol" in set(imports(ROOT / "strategies" / "shamir.py"))
    assert module(ROOT / "strategies" / "shamir.py") == "fedsec.strategies.shamir"
    assert module(ROOT / "fedsec" / "primitives" / "__init__.py") == "fedsec.primitives"
    assert len(FRAMEWORK) > 20 and len(STRATEGIES) > 3 and len(SIMULATIONS) > 5 and len(PRIMITIVES) > 8


@pytest.mark.slow
def test_the_framework_knows_no_strategy_and_no_simulation() -> None:
    """By name, at run time, the catalogue and the entry points reach them: no import statement does."""
    assert not offenders(CORE, "fedsec.strategies", "fedsec.simulations", "strategies", "simulations")
    names = {file.stem for file in STRATEGIES} - {"__init__", "paillier", "shamir"}  # those two are primitives as well
    for file in CORE:
        if file.parent.name == "testing":
            continue
        texts = {node.value for node in nodes(file) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert not texts & names, f"{file.name} names a strategy"


def test_strategies_know_no_simulation() -> None:
    """One strategy may stand on another: a variant of a protocol says only what differs."""
    assert not offenders(STRATEGIES, "fedsec.simulations", "strategies", "simulations")


@pytest.mark.parametrize("file", STRATEGIES, ids=lambda file: file.stem)
def test_a_strategy_imports_protocol_primitives_errors_and_numpy(file: Path) -> None:
    allowed = {
        "fedsec.primitives",
        "fedsec.protocol",
        "fedsec.strategies",
        "fedsec.errors",
        "numpy",
        *sys.stdlib_module_names,
    }
    allowed |= LIBRARIES.get(file.name, set())
    extra = [name for name in imports(file) if not within(name, *allowed) and name != "fedsec"]
    assert not extra


@pytest.mark.slow
def test_flower_and_matplotlib_stay_where_they_belong() -> None:
    """Flower: the glue and the app. Pictures: the report, whose page draws them where it is written."""
    flower = {file.parent.name for file in [*FRAMEWORK, *STRATEGIES] if any(within(n, "flwr") for n in imports(file))}
    assert flower == {"flower", "app"}
    assert not offenders([*FRAMEWORK, *STRATEGIES], "ray")
    assert not offenders(STRATEGIES, "flwr", "torch", "sklearn")
    drawing = [file for file in [*FRAMEWORK, *STRATEGIES] if any(within(n, "matplotlib") for n in imports(file))]
    assert {file.parent.name for file in drawing} == {"report"}


@pytest.mark.slow
def test_phe_is_imported_in_its_own_file() -> None:
    """phe is GPLv3: where it may be imported is part of the licence note."""
    everywhere = [*FRAMEWORK, *STRATEGIES, *SIMULATIONS]
    found = {file.name for file in everywhere if any(within(name, "phe") for name in imports(file))}
    assert "interop_phe.py" in found and found <= {"interop_phe.py", TEXTBOOK}
    for file in everywhere:
        if file.name in found:  # and only inside functions, or for type checkers
            at_import = [node for node in tree(file).body if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not any(within(ast.unparse(node).split()[1], "phe") for node in at_import)


@pytest.mark.slow
def test_nothing_is_unpickled() -> None:
    unsafe = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
    assert not offenders([*FRAMEWORK, *STRATEGIES, *SIMULATIONS], *unsafe)
    for file in [*FRAMEWORK, *STRATEGIES, *SIMULATIONS]:
        for node in nodes(file):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False


@pytest.mark.slow
def test_keys_and_masks_never_come_from_a_generator_for_experiments() -> None:
    """Neither numpy's nor Python's: randomness is the operating system's, passed in."""
    for file in [*FRAMEWORK, *STRATEGIES]:
        if {"testing", "app", "data", "learning", "report"} & set(file.relative_to(ROOT).parts):
            continue  # experiments: a seed governs partition, initial weights, sampling and training
        assert not [name for name in imports(file) if within(name, "random", "numpy.random")], file
        assert not [name for name in dotted(file) if ".random." in f"{name}." and name.startswith(("np.", "numpy."))], (
            file
        )


def test_strategies_are_pure_steps() -> None:
    """No clock, no log, no file, no environment, and no randomness but what is handed to them."""
    assert not offenders(
        STRATEGIES,
        "os",
        "secrets",
        "time",
        "datetime",
        "logging",
        "random",
        "uuid",
        "socket",
        "subprocess",
        "pathlib",
        "threading",
        "asyncio",
        "multiprocessing",
        "tempfile",
        "io",
        "sys",
    )
    builtin = {"print", "open", "input", "exec", "eval", "compile", "__import__", "globals"}
    for file in [*STRATEGIES, *PRIMITIVES]:
        assert not dotted(file) & builtin, file


def test_primitives_take_their_randomness_as_an_argument() -> None:
    """No hidden source: a test can fix what they draw, and a review sees where it comes from."""
    assert not offenders(PRIMITIVES, "secrets", "random", "logging", "uuid")
    timed = [file.name for file in PRIMITIVES if "time" in imports(file)]
    assert timed == ["parallel.py"]  # which tells its callers what their threads spent
    for file in PRIMITIVES:
        assert not {"os.urandom", "os.getrandom"} & dotted(file), file


@pytest.mark.slow
def test_every_file_says_what_it_is() -> None:
    for file in [*FRAMEWORK, *STRATEGIES, *SIMULATIONS]:
        assert ast.get_docstring(tree(file)), file


def test_a_file_name_occurs_once() -> None:
    """But for a strategy and the primitive that it stands on: who looks for a file by its name finds it."""
    stems = [file.name for file in [*FRAMEWORK, *STRATEGIES, *SIMULATIONS] if file.name != "__init__.py"]
    assert {name for name in stems if stems.count(name) > 1} == {"paillier.py", "shamir.py"}
