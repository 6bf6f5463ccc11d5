"""Files of a report: each is written whole or not at all, and read back in the form that it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from fedsec import atomic
from fedsec.errors import ConfigurationError
from fedsec.report import units

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Document = TypeVar("Document", bound=BaseModel)

HERE = Path(__file__).parent


def environment() -> Environment:
    """The templates, in which every value is escaped and none may be missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    named = (units.seconds, units.size, units.speed, units.times, units.count, units.small, units.percent, units.plural)
    found.filters |= {function.__name__: function for function in named}
    found.globals |= {"css": _asset("page.css"), "js": _asset("page.js")}
    return found


def _asset(name: str) -> Markup:
    from markupsafe import Markup

    return Markup((HERE / name).read_text(encoding="utf-8"))  # noqa: S704 - our own file


def write(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files within a folder, by relative name; raises ConfigurationError where one cannot be."""
    out = []
    for name, data in contents.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, data)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error
        out.append(path)
    return out


def read(path: Path, kind: type[Document], what: str) -> Document:
    """A document that was written before; raises ConfigurationError where the file is none, and says which field."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{path} is not {what} of this release: {where}: {first['msg']}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
