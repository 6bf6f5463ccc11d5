"""What `fedsec new-strategy` and `fedsec init` share: templates, the names that they take, and what they print."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from importlib.resources.abc import Traversable

from rich.console import Console

from fedsec.errors import ConfigurationError

NAME = re.compile(r"[a-z][a-z0-9_]*")
TEMPLATES = resources.files("fedsec.cli") / "templates"


def check(field: str, name: str) -> None:
    """Raise ConfigurationError unless `name`, which `field` holds, can be a Python module of its own."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("test_"):
        raise ConfigurationError(
            f"{field} is {name!r}; small letters, digits and _ were expected, a letter first, no word of Python, and "
            "not test_ at its start"
        )


def text_of(file: Traversable) -> str:
    """The text of a template."""
    return file.read_text(encoding="utf-8")


def filled(text: str, **words: str) -> str:
    """The text with {word} replaced; other braces are left alone."""
    return re.sub("|".join(rf"\{{{word}\}}" for word in words), lambda found: words[found[0][1:-1]], text)


def print_steps(written: list[str], steps: list[str], note: str) -> None:
    """Print which files were written, what to type next, and a note."""
    console = Console()
    for heading, lines in (("Written", written), ("Next", steps)):
        console.print(f"{heading}:", style="bold")
        for line in lines:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    console.print(note, highlight=False, markup=False, soft_wrap=True)
