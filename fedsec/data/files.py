"""A hospital's rows, or those of all simulated hospitals, from files to a table under a schema.

    file ── file_formats ──▶ columns of raw values        how it is written: each hospital's own, found out and said
    columns ── schema ─────▶ table                        what it means: agreed, the same for all
    columns ── schema_draft ──▶ schema                    in a simulation without a schema

All that is wrong with a file is in one message, each problem with its cure.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedsec.data import frames, labels, schema_draft, table_columns
from fedsec.data.file_formats import Columns, RowsFile, read_file
from fedsec.data.problems import Problems
from fedsec.data.row_files import SUFFIXES, name_of, not_read, row_files
from fedsec.data.schema import Category, Schema, read
from fedsec.data.schema_draft import Choices, Draft
from fedsec.data.suspicion import alike, of_hospital, suspicions
from fedsec.data.table import Suspicion, Table
from fedsec.errors import ConfigurationError, DataError, expect, expect_path, home_expanded, unknown

LOG = logging.getLogger(__name__)
TEXTS = ("drop", "missing", "dates")


@dataclass(frozen=True)
class RowsSource:
    """Where the rows are, and which columns say what.

    data: a file, or a folder of files, one a hospital: hidden and temporary files, and files of other kinds, are left
    out with a warning in the log. site: the column of hospitals; none with a folder. label: the column to predict, and
    positive: its class that counts as 1. person: the column that says which rows belong together. drop: columns that
    are no features. schema: a TOML file; where there is none, the schema is drawn up from all rows together, which only
    a simulation can do. task, missing, dates, drop_unlabelled: how such a schema is drawn up (`schema_draft.Choices`).
    strict: whether a suspicion is an error. event: the column of events, where the label is a time.
    """

    data: str
    site: str = ""
    label: str = ""
    person: str = ""
    positive: str = ""
    drop: tuple[str, ...] = ()
    schema: str = ""
    task: str = "auto"
    missing: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    drop_unlabelled: bool = False
    strict: bool = False
    event: str = ""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in ("drop_unlabelled", "strict"):
                expect(name, value, bool, "true or false")
                continue
            kind, what = (tuple, "a tuple of texts") if name in TEXTS else (str, "a text")
            expect(name, value, kind, what)
            for one in value if name in TEXTS else (value,):
                expect(name, one, str, what)
                if "\0" in one:
                    raise ConfigurationError(f"{name} is {one!r}; a text without a null character was expected")
        if not self.schema:
            labels.check_task(self.task, self.event)

    @property
    def choices(self) -> Choices:
        """How a schema is drawn up."""
        dates = Choices.dates_of(self.dates)
        return Choices(self.positive, self.task, self.missing, dates, self.drop_unlabelled, self.event)


@dataclass(frozen=True)
class _Opened:
    """Rows before they are a table. parts: by hospital, where each has its own file."""

    path: Path
    columns: Columns
    site: list[Any] | None
    parts: Mapping[str, RowsFile]
    notes: tuple[str, ...]
    problems: Problems


def load(source: RowsSource) -> Table:
    """The table, with how it was read and what is suspicious in it.

    Raises ConfigurationError or DataError naming path, column, row and value: of a file's rows, all that is wrong.
    """
    expect("source", source, RowsSource, "a RowsSource")
    opened = _open(source)
    problems, schema = opened.problems, read(home_expanded("schema", Path(source.schema))) if source.schema else None
    label = _check_names(source, opened, schema)
    notes = list(opened.notes)
    if schema is None:
        draft = _draw_up(source, opened, label)
        notes += draft.said
        schema = draft.schema(problems)
        if schema is None:
            table_columns.read_features(problems, opened.columns, draft.columns, draft.missing)
            _check_identities(source, opened)
            raise problems.error()
    person = opened.columns[source.person] if source.person else None
    for hospital, part in opened.parts.items():  # so that an error names the hospital, and its own row
        own = Problems(hospital)
        table_columns.read_table(own, part.columns, schema, "")
        for text in own.found:
            problems.add(f"hospital {hospital}: {text}")
    found = None
    if not (opened.parts and problems.found):
        found = table_columns.read_table(problems, opened.columns, schema, str(opened.path), opened.site, person)
    if found is None:
        raise problems.error()
    return _suspected(found, source, opened, notes)


def _suspected(found: Table, source: RowsSource, opened: _Opened, notes: list[str]) -> Table:
    """The table with notes and suspicions; raises DataError for the latter, if `strict`."""
    told = [*found.suspicions, *suspicions(found)]
    for what, values in (("site", opened.site), ("person", opened.columns.get(source.person))):
        told += alike(what, values or [])
    _check_strict(found.name, told if source.strict else ())
    return replace(found, notes=(*notes, *found.notes), suspicions=tuple(told))


def _check_strict(name: str, told: Iterable[Suspicion]) -> None:
    """Raise DataError with these suspicions, if there are any."""
    problems = Problems(name, list(map(str, told)))
    problems.check()


def draft_text(source: RowsSource, least: int) -> str:
    """The text of a schema's file, as far as these rows allow one, with rare levels joined (`schema_draft.joined`).

    Raises ConfigurationError or DataError where the rows cannot be read at all.
    """
    opened = _open(source)
    label = _check_names(source, opened, None)
    draft = _draw_up(source, opened, label)
    sites = opened.site or []
    for place, column in enumerate(draft.columns):
        if isinstance(column, Category):
            counts = schema_draft.counted(column, opened.columns[column.name], sites)
            draft.columns[place] = schema_draft.joined(column, counts, least, [])
    return schema_draft.commented(draft, label, draft.left_out)


def _draw_up(source: RowsSource, opened: _Opened, label: str) -> Draft:
    left_out = {source.site, source.person, label, source.event, *source.drop}
    features = [name for name in opened.columns if name not in left_out]
    return schema_draft.draw_up(opened.problems, opened.columns, features, label, source.choices)


def _open(source: RowsSource) -> _Opened:
    path = home_expanded("data", Path(source.data))
    try:
        if frames.frame_at(path) is None:
            path.stat()
    except FileNotFoundError:
        raise ConfigurationError(f"data {path} cannot be read: there is no such file or folder") from None
    except OSError as error:
        raise ConfigurationError(f"data {path} cannot be read: {error.strerror}") from error
    if path.is_dir():
        return _folder(path, source, Problems(name_of(path)))
    file, problems = _read(path)
    if not source.site:
        raise ConfigurationError(f"site is not set: name the column of {path.name} that holds each row's hospital")
    site = file.columns.get(source.site)
    return _Opened(path, file.columns, site, {}, _notes({path.name: file}), problems)


def _read(path: Path) -> tuple[RowsFile, Problems]:
    """A file, and what is wrong with single columns of it."""
    file = read_file(path)
    return file, Problems(name_of(path), list(file.problems))


def _notes(files: Mapping[str, RowsFile]) -> tuple[str, ...]:
    """How the files are written, files of one form together."""
    forms: dict[tuple[str, ...], list[str]] = {}
    for name, file in files.items():
        if file.form:
            forms.setdefault(file.form, []).append(name)
    return tuple(f"{', '.join(names)}: {', '.join(form)}" for form, names in forms.items())


def read_columns(path: Path) -> Columns:
    """The columns of a file as raw values; raises ConfigurationError or DataError where they cannot all be read."""
    file, problems = _read(path)
    problems.check()
    return file.columns


def load_hospital(path: Path, schema: Path, strict: bool = False) -> Table:
    """One hospital's rows from a file of its own, by the schema that all hospitals agreed on.

    strict: whether a suspicion is an error. Raises ConfigurationError or DataError naming path, column, row and value:
    of the rows, all that is wrong.
    """
    path = expect_path("data", path)
    file, problems = _read(path)
    found = table_columns.read_table(problems, file.columns, read(schema), str(path))
    if found is None:
        raise problems.error()
    told = (*found.suspicions, *suspicions(found), *of_hospital(found))
    _check_strict(found.name, told if strict else ())
    return replace(found, notes=(*_notes({path.name: file}), *found.notes), suspicions=told)


def _check_names(source: RowsSource, opened: _Opened, schema: Schema | None) -> str:
    """The label's name; raises ConfigurationError, once for all columns, where one is not there, or has two roles."""
    label, columns = source.label or (schema.label.name if schema else ""), opened.columns
    if not label:
        raise ConfigurationError(f"label is not set: name the column of {opened.path.name} to predict")
    named = [
        ("site", source.site),
        ("label", label),
        ("event", source.event),
        ("person", source.person),
        *(("drop", one) for one in source.drop),
    ]
    odd = [str(unknown(f"column for {what}", name, columns)) for what, name in named if name and name not in columns]
    if odd:
        raise ConfigurationError("; ".join(odd))
    if schema is not None and schema.label.name != label:
        raise ConfigurationError(f"label is {label!r}, but the schema's label is {schema.label.name!r}: use one name")
    _check_roles(source, label, schema)
    return label


def _check_identities(source: RowsSource, opened: _Opened) -> None:
    """Add the problems of sites and persons alone, where there is no schema to read the rows by."""
    if opened.site is not None:
        table_columns.read_sites(opened.problems, opened.site)
    if source.person:
        table_columns.read_persons(opened.problems, opened.columns[source.person])


def _check_roles(source: RowsSource, label: str, schema: Schema | None) -> None:
    """Raise ConfigurationError where one column has two parts to play, or options and schema say different things."""
    roles = {"person": source.person, "site": source.site, "event": source.event, "label": label}
    for one, other in itertools.combinations(roles, 2):
        if roles[one] and roles[one] == roles[other]:
            raise ConfigurationError(f"{one} and {other} are both {roles[one]!r}: name two different columns")
    for role, column in roles.items():
        if column and column in source.drop:
            raise ConfigurationError(f"drop has {column!r}, which is the {role}: take it off the list")
    if schema is None:
        return
    cures: dict[str, tuple[bool, str]] = {
        "drop": (bool(source.drop), "leave these columns out of the schema"),
        "dates": (bool(source.dates), "give each column of dates its choice there, as date"),
        "missing": (source.missing not in ((), schema.missing), "list them there, as missing"),
        "drop_unlabelled": (
            source.drop_unlabelled and not schema.label.drop_unlabelled,
            "set drop_unlabelled = true in its [label]",
        ),
        "event": (source.event not in ("", schema.label.event), f"its label's event is {schema.label.event or 'none'}"),
        "task": (source.task not in ("auto", schema.label.task), f"its label's task is {schema.label.task}"),
    }
    for name, (odd, cure) in cures.items():
        if odd:
            value = getattr(source, name)
            shown = ", ".join(value) if isinstance(value, tuple) else str(value).lower()
            raise ConfigurationError(f"{name.replace('_', '-')} is {shown}, but a schema is given: {cure}")
    if source.positive and source.positive != schema.label.positive:
        raise ConfigurationError(
            f"positive is {source.positive!r}, but the schema's is {schema.label.positive!r}: use one class"
        )


def _folder(path: Path, source: RowsSource, problems: Problems) -> _Opened:
    """All files of a folder as one table, each a hospital of the file's name, with the same columns."""
    if source.site:
        raise ConfigurationError(
            f"site is {source.site!r}, but data {path} is a folder, where each file is one hospital: leave site out"
        )
    files, others = row_files(path)
    if others:
        LOG.warning("data %s: not read: %s", path, not_read(others))
    if not files:
        raise ConfigurationError(
            f"data {path}: no file ends in one of {', '.join(SUFFIXES)}; put one file for each hospital there"
        )
    parts = {name_of(one): read_file(one) for one in files}
    if len(parts) < len(files):
        raise ConfigurationError(f"data {path}: two files differ in their suffix alone; a hospital has one file")
    first, expected = next((hospital, part.columns) for hospital, part in parts.items())
    for hospital, part in parts.items():
        for text in part.problems:
            problems.add(f"hospital {hospital}: {text}")
        if odd := sorted(set(part.columns) ^ set(expected)):
            lacks = [name for name in odd if name in expected]
            raise DataError(
                f"hospital {hospital!r} has other columns than {first!r}: missing {lacks}, extra "
                f"{[name for name in odd if name in part.columns]}; give all files the same columns"
            )
    columns = {name: [value for part in parts.values() for value in part.columns[name]] for name in expected}
    site = [hospital for hospital, part in parts.items() for _ in next(iter(part.columns.values()))]
    return _Opened(path, columns, site, parts, _notes({one.name: parts[name_of(one)] for one in files}), problems)
