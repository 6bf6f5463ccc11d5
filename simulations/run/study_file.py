"""study.toml: what a run is asked for, in a file. Each run leaves one in its folder, from which it is run again.

    strategy = "shamir:threshold=4"
    data = "rows.csv"
    site = "hospital"
    label = "died"
    rounds = 10

The options are those of `fedsec run`, without the dashes; paths are relative to the file. What a run leaves names also
the rows that it read, by SHA-256, and the model that it made. Rows are never copied: they stay where they are.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from fedsec import __version__, atomic, catalog
from fedsec.app.config import RunConfig, flag_of
from fedsec.data import frames
from fedsec.data.row_files import row_files
from fedsec.errors import ConfigurationError, shown, unknown
from fedsec.report.run_document import RunDocument
from fedsec.simulations.run.engines import Engine
from fedsec.strategy_spec import StrategySpec

NAME = "study.toml"
HEAD = """\
# What this run was asked for. `fedsec run {name}` runs it again, and says whether the model is the same, bit for bit;
# options on the command line come before those here.

"""
NOT_HERE = ("parameters", "output", "identity", "agreement")
"""Fields of RunConfig that a study does not have: a strategy's parameters stand with its name."""
LISTS = ("drop", "missing", "dates")
"""Options that are lists, and on the command line one text with commas."""
MADE, ROWS = "made", "rows"
"""Tables that a run writes beside the options."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a run: its configuration, where it runs, and what beside that decides how it ends.

    timeout: seconds that the whole run may take. allow_void: void rounds with which it still counts as done. Raises
    ConfigurationError on values out of range.
    """

    config: RunConfig
    engine: Engine = Engine.FLOWER
    timeout: float = 3600.0
    allow_void: int = 0

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ConfigurationError(f"timeout is {self.timeout}; it must be above 0 seconds")
        if self.allow_void < 0:
            raise ConfigurationError(f"allow-void is {self.allow_void}; a number of rounds was expected, 0 or more")


FIELDS: Mapping[str, str] = {flag_of(name): name for name in RunConfig.model_fields if name not in NOT_HERE}
"""Fields of RunConfig by their options."""
OWN: Mapping[str, tuple[type[Any], str]] = {
    "engine": (str, "engine"),
    "timeout": (float, "timeout"),
    "allow-void": (int, "allow_void"),
}
"""Options that `fedsec run` has beside those of RunConfig: their types, and their names in Python."""


@dataclass(frozen=True)
class Study:
    """A study as its file states it.

    options: by their names in Python, paths absolute. rows: SHA-256 by the path of each file that was read; made: what
    the run left that wrote this, `fedsec` and `model`. Both are empty where a person wrote the file.
    """

    path: Path
    options: Mapping[str, Any]
    rows: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)

    def check_rows(self) -> None:
        """Raise ConfigurationError where a file of rows is not there any more, or not the same."""
        for name, digest in self.rows.items():
            path = self.path.parent / name
            if not path.is_file():
                raise ConfigurationError(f"{self.path}: {path} is gone; name where the rows are now by --data")
            if _digest(path) != digest:
                raise ConfigurationError(
                    f"{self.path}: {path} has changed since that run; to run the new rows, name them by --data {path}"
                )

    def compared(self, document: RunDocument) -> str:
        """Whether a run has made the same model again, in a sentence; empty where nothing is known of the first."""
        if "model" not in self.made:
            return ""
        if document.model_hash == self.made["model"]:
            return f"The model is that of {self.path.parent}, bit for bit."
        text = f"The model is not that of {self.path.parent}: other versions of packages, or another machine, do that."
        version = self.made.get("fedsec", __version__)
        return text if version == __version__ else f"{text} It was made by fedsec {version}, and this is {__version__}."


def read(path: Path) -> Study:
    """The study in a file, or in the folder of a run; raises ConfigurationError naming file, option and cure."""
    path = path.expanduser().absolute()
    if path.is_dir():
        path /= NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file; a run leaves one in its folder") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    rows, made = (_texts(path, name, document.pop(name, {})) for name in (ROWS, MADE))
    options: dict[str, Any] = {}
    for name, value in document.items():
        if name in OWN:
            kind, python = OWN[name]
            options[python] = _own(path, name, value, kind)
        elif name in FIELDS:
            options[FIELDS[name]] = _value(path, FIELDS[name], value)
        else:
            raise ConfigurationError(f"{path}: {unknown('option', name, (*FIELDS, *OWN))}")
    return Study(path, options, rows, made)


def write(folder: Path, asked: Asked, made: RunDocument) -> Path:
    """Write what a run was asked for into its folder, with copies of its schema and of a strategy in a file."""
    config = asked.config
    options: dict[str, Any] = {name: getattr(asked, python) for name, (_, python) in OWN.items()}
    options["engine"] = str(asked.engine)
    for name, field_name in FIELDS.items():
        value = getattr(config, field_name)
        if field_name == "data" and frames.frame_at(Path(value)) is not None:
            continue  # rows that were in memory
        if value or value != RunConfig.model_fields[field_name].default:
            options[name] = value
    spec = StrategySpec.from_json(config.strategy, config.parameters)
    options["strategy"] = str(StrategySpec(_copied_strategy(spec.name, folder), spec.parameters))
    if config.schema_file:
        options["schema"] = shutil.copyfile(config.schema_file, folder / "schema.toml").name
    document = {**options, MADE: {"fedsec": __version__, "model": made.model_hash}}
    if config.data and (rows := digests(Path(config.data))):
        document[ROWS] = rows
    path = folder / NAME
    atomic.write(path, (HEAD.format(name=NAME) + tomli_w.dumps(document)).encode())
    return path


def digests(data: Path) -> dict[str, str]:
    """SHA-256 in hexadecimal of each file of rows that is read from a file or a folder, by its absolute path."""
    files = row_files(data)[0] if data.is_dir() else [data]
    return {str(one): _digest(one) for one in files if one.is_file()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied_strategy(name: str, folder: Path) -> str:
    """A strategy's name, or where it comes from a file of the user's, that of the copy in the folder."""
    file = Path(inspect.getfile(catalog.strategy(name)))
    if not catalog.strategy(name).__module__.startswith("fedsec_strategy_files."):
        return name
    return shutil.copyfile(file, folder / file.name).name


def _value(path: Path, name: str, value: Any) -> Any:
    """An option's value as `fedsec run` takes it; a list as a text, and a path as an absolute one."""
    if name in LISTS and isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        value = ",".join(map(str, value))
    if isinstance(value, list | dict):
        raise ConfigurationError(f"{path}: {flag_of(name)} is {shown(value)}; one value was expected")
    extra: Any = RunConfig.model_fields[name].json_schema_extra
    strategy_file = name == "strategy" and isinstance(value, str) and StrategySpec.parse(value).name.endswith(".py")
    if isinstance(value, str) and value and (extra["path"] or strategy_file):
        return str(path.parent / Path(value).expanduser())
    return value


def _own(path: Path, name: str, value: Any, kind: type[Any]) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        what = {str: "a text", float: "a number", int: "a whole number"}[kind]
        raise ConfigurationError(f"{path}: {name} is {shown(value)}; {what} was expected")
    if name == "engine":
        if value not in list(Engine):
            raise ConfigurationError(f"{path}: {unknown('engine', value, Engine)}")
        return Engine(value)
    return value


def _texts(path: Path, name: str, table: Any) -> dict[str, str]:
    if not (isinstance(table, dict) and all(isinstance(value, str) for value in table.values())):
        raise ConfigurationError(f"{path}: {name} is {shown(table)}; a table of texts was expected, as a run writes it")
    return table
