"""What `fedsec` itself exports: each name resolves, is documented, and waits until it is used."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import fedsec
from tests.test_startup import loaded

ROOT = Path(__file__).parents[1]
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.slow  # one of them imports Flower
@pytest.mark.parametrize("name", fedsec.__all__)
def test_each_public_name_resolves_and_is_documented(name: str) -> None:
    found = getattr(fedsec, name)
    assert found.__name__ == name and (inspect.getdoc(found) or "").strip()
    assert f":: fedsec.{name}\n" in API


def test_dir_and_type_checkers_see_the_same_names() -> None:
    assert set(fedsec.__all__) <= set(dir(fedsec)) and "__version__" in dir(fedsec)
    assert fedsec.__all__ == sorted(fedsec.__all__)
    tree = ast.parse(Path(fedsec.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == fedsec._HOME and sorted(seen) == fedsec.__all__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fedsec' has no attribute 'nonesuch'"):
        fedsec.nonesuch  # noqa: B018


def test_to_import_the_package_takes_no_library() -> None:
    found = loaded("import fedsec")
    assert "fedsec" in found
    assert not found & {"flwr", "numba", "numpy", "pydantic", "typer"}
    assert not {name for name in found if name.startswith("fedsec.")}
