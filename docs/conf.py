"""Sphinx: `python -m sphinx -W -b html docs docs/_build/html`, and `-b doctest` to run the examples."""

import importlib.util
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fedsec import __version__  # noqa: E402

project, author, release, version = "fedsec", "the fedsec authors", __version__, __version__
project_copyright = "the fedsec authors, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build", "reports"]
nitpicky = False

html_theme = "furo"
html_extra_path = ["reports"]
html_title = f"fedsec {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # the second builder takes what the first has executed
nb_execution_cache_path = str(ROOT / "docs" / "_build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_merge_streams = True

default_role = "code"  # docstrings quote names in single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "show-inheritance": True}
# The conformance suite needs pytest and hypothesis; its page can be built without them.
autodoc_mock_imports = [name for name in ("hypothesis", "pytest") if importlib.util.find_spec(name) is None]

doctest_global_setup = f"""
import runpy, sys
from pathlib import Path
ROOT = Path({str(ROOT)!r})
DOCS = ROOT / "docs"
"""

_ANNOTATED = re.compile(r"~?[\w.]+\.Annotated\[(.*?), <Exposure\.\w+: '\w+'>\]")
_MODULES = re.compile(r"~(?:\w+\.)+")
_LISTED = re.compile(r"(\S+(?:, \S+)*)  +(\S.*)")


def as_rst(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: quote what RST would read as markup, and make `name  meaning` lines a list."""
    text = "\n".join(lines).strip("\n")
    lines[:] = "\n\n".join(map(_paragraph, re.split(r"\n\s*\n", text))).split("\n") if text else []


def _paragraph(paragraph: str) -> str:
    rows = paragraph.split("\n")
    if paragraph.startswith(">>> "):
        return paragraph
    if all(row.startswith("    ") or not row for row in rows):
        return "::\n\n" + paragraph
    if _LISTED.fullmatch(rows[0]):
        items = [_LISTED.fullmatch(row) for row in rows]
        return "\n".join(
            f"* ``{item[1]}``: {_quoted(item[2])}" if item else f"  {_quoted(row.strip())}"
            for item, row in zip(items, rows, strict=True)
        )
    return "\n".join(map(_quoted, rows))


def _quoted(row: str) -> str:
    """Outside of backticks, no character is markup."""
    parts = row.split("`")
    parts[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def without_exposures(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Signatures say the type of a field; what it shows on the wire is in docs/architecture.md."""
    return signature and _MODULES.sub("", _ANNOTATED.sub(r"\1", signature)), returns


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("autodoc-process-signature", without_exposures)
