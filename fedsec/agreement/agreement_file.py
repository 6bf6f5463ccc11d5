"""The agreement as a document: what it fixes, how it is read and written, and the hash that names it.

Everything that shapes what leaves a hospital stands here: strategy, encoding, layout, stages, cohorts, the run's
configuration, the app's bundle, the software's version and the identities. admission.py compares a request with it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fedsec import atomic
from fedsec.encoding.layout import ArraySpec, Layout
from fedsec.encoding.mean_spec import VALUES, MeanSpec, WeightRule, default_grid
from fedsec.errors import ConfigurationError, expect, expect_path
from fedsec.primitives.signing import KEY_BYTES
from fedsec.protocol import SecureSum
from fedsec.wire import codec

LARGEST_FILE = 1 << 22
"""Bytes of an agreement that is read; one with ten thousand arrays has a tenth of that."""
Key = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]
"""An Ed25519 public key in hexadecimal digits."""
Plain = bool | int | float | str


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AgreedStrategy(_Part):
    """The strategy, by its name in the catalogue, and all its parameters."""

    name: str
    parameters: dict[str, Plain] = {}

    @staticmethod
    def of(protocol: SecureSum[Any, Any]) -> AgreedStrategy:
        """A strategy as it is agreed on; parameters that are None are left out, for TOML has none."""
        parameters = {key: value for key, value in protocol.parameters().items() if value is not None}
        return AgreedStrategy(name=protocol.name, parameters=parameters)


class Encoding(_Part):
    """How updates become integers: the fields of `MeanSpec`."""

    clip: float | None = None
    largest_weight: int | None = None
    weights: WeightRule = "equal"
    weight_key: str = "num-examples"
    metric_range: tuple[float, float] = (-VALUES, VALUES)
    ranges: dict[str, tuple[float, float]] = {}
    bounds: dict[str, float] = {}
    buffers: tuple[str, ...] = ()
    rungs: tuple[int, int] = MeanSpec.rungs
    metric_grid: float | None = None
    grids: dict[str, float] = {}
    totals: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _grid(self) -> Encoding:
        """State the grid of metrics where none is given."""
        if self.metric_grid is None:
            object.__setattr__(self, "metric_grid", default_grid(self.weights, self.largest_weight))
        return self

    @staticmethod
    def of(spec: MeanSpec) -> Encoding:
        """The encoding that a specification names."""
        return Encoding(**{name: getattr(spec, name) for name in Encoding.model_fields})

    @functools.cached_property
    def spec(self) -> MeanSpec:
        """The specification; raises ConfigurationError on values that it cannot take."""
        return MeanSpec(**{name: getattr(self, name) for name in Encoding.model_fields})


class AgreedArray(_Part):
    """One array of the model: its name, dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Stage(_Part):
    """What is asked in one stage.

    sessions  how many sums the stage may have
    repeats   how many more there may be, for rounds that were void
    metrics   the metrics of a reply, with the number of values of each; 0 is a single number
    """

    sessions: int = Field(ge=0)
    repeats: int = Field(default=0, ge=0)
    metrics: dict[str, int] = {}


class Hospital(_Part):
    """A hospital by its name and its public key; `weight` where weights are powers of two."""

    name: str
    key: Key
    weight: int | None = Field(default=None, ge=1)


class Agreement(_Part):
    """What parties agree on before a study. Two agreements with the same content have the same `hash`.

    title               of the study
    fedsec              the version of fedsec that all run
    privacy             what noise is added: "none"
    cohort              "all": every hospital of the agreement contributes to each sum; "sampled": any of them, at
                        least the floor
    server              the server's public key
    hospitals           all who may take part
    strategy, encoding  how sums are formed, and how updates become integers
    arrays              the model's layout, which training is asked for
    largest_parameter   the largest magnitude of a parameter of a model that a hospital trains from
    stages              what may be asked, by the type of Flower's message
    configuration       the run's configuration, by key
    free                keys of the run's configuration that may be anything, for nothing that leaves depends on them
    bundle              SHA-256 of the app's files (`fedsec agree bundle`), or "" where the app is installed
    """

    format: Literal[1] = 1
    title: str = ""
    fedsec: str
    privacy: Literal["none"] = "none"
    cohort: Literal["all", "sampled"] = "all"
    bundle: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    largest_parameter: float = Field(default=1e6, gt=0)
    free: tuple[str, ...] = ()
    server: Key
    strategy: AgreedStrategy
    encoding: Encoding
    stages: dict[str, Stage]
    configuration: dict[str, Plain] = {}
    hospitals: tuple[Hospital, ...] = ()
    arrays: tuple[AgreedArray, ...] = ()

    def name_of(self, key: bytes) -> str:
        """What the hospital with this public key is called; "" where none has it."""
        return next((one.name for one in self.hospitals if bytes.fromhex(one.key) == key), "")

    @field_validator("hospitals")
    @classmethod
    def _distinct(cls, hospitals: tuple[Hospital, ...]) -> tuple[Hospital, ...]:
        for what in ("name", "key"):
            twice = [value for value, times in Counter(getattr(one, what) for one in hospitals).items() if times > 1]
            if twice:
                raise ValueError(f"two hospitals have the {what} {twice[0]!r}; each needs its own")
        return hospitals

    @model_validator(mode="after")
    def _whole(self) -> Agreement:
        floor = self.floor
        if self.hospitals and len(self.hospitals) < floor:
            raise ValueError(f"{len(self.hospitals)} hospitals are fewer than the floor of {floor}")
        if self.encoding.weights == "powers-of-two":
            if self.cohort == "sampled":
                raise ValueError(
                    "weights are powers-of-two and cohort is sampled: a server could ask one hospital alone of a "
                    'weight, which singles it out in the sum. Agree on cohort = "all", or on equal weights'
                )
            weights = Counter(hospital.weight for hospital in self.hospitals)
            for weight, count in weights.items():
                if weight is None or weight & (weight - 1):
                    raise ValueError(f"a hospital's weight is {weight}; with powers-of-two each needs one, such as 256")
                if count < floor:
                    raise ValueError(
                        f"weight {weight} is that of {count} hospitals, and the floor is {floor}: a weight that so few "
                        "have singles them out in the sum. Join weights, or agree on equal ones"
                    )
        elif any(hospital.weight is not None for hospital in self.hospitals):
            raise ValueError("hospitals have weights, which only the rule powers-of-two takes")
        if overlap := sorted(set(self.free) & self.configuration.keys()):
            raise ValueError(f"configuration {overlap[0]!r} is both agreed on and free; leave one of them out")
        return self

    @property
    def floor(self) -> int:
        """The fewest contributors of a sum."""
        return int(self.strategy.parameters.get("floor", 3))

    @functools.cached_property
    def hash(self) -> bytes:
        """SHA-256 of the content, whatever the file's comments and order."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(b"fedsec agreement" + content.encode("ascii")).digest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Agreement:
        """A copy with these fields, validated; pydantic's own would keep the hash of the original."""
        return Agreement.model_validate({**self.model_dump(), **(update or {})})

    @functools.cached_property
    def keys(self) -> frozenset[bytes]:
        """The hospitals' public keys."""
        return frozenset(bytes.fromhex(hospital.key) for hospital in self.hospitals)

    @property
    def updates(self) -> tuple[ArraySpec, ...]:
        """The arrays of an update, each of which a model that is trained or evaluated has."""
        return tuple(ArraySpec(one.name, one.shape, one.dtype) for one in self.arrays)

    def layout(self, stage: str) -> Layout:
        """What a reply in this stage holds: the arrays where it trains, and its metrics."""
        return Layout(self.updates if trains(stage) else (), dict(self.stages[stage].metrics))

    @functools.cached_property
    def layouts(self) -> Mapping[str, bytes]:
        """The layout of each stage as a plan and a contribution name it: what requests are compared with."""
        return {stage: codec.encode(self.layout(stage)) for stage in self.stages}

    def to_toml(self) -> str:
        """The agreement as the text of a TOML file, which `parse` reads."""
        written = self.model_dump(mode="json", exclude_none=True)
        return HEAD.format(hash=self.hash.hex()) + tomli_w.dumps(written, multiline_strings=False)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; raises ConfigurationError where it cannot be written."""
        path = expect_path("the agreement", path)
        try:
            atomic.write(path, self.to_toml().encode())
        except OSError as error:
            raise ConfigurationError(f"the agreement {path} cannot be written: {error.strerror}") from error


HEAD = """\
# What may leave a hospital in this study, whatever the server asks for. A hospital's node refuses everything else.
# `fedsec agree show FILE` explains it, `fedsec agree approve FILE` approves it. Its hash, without comments:
# {hash}

"""


def trains(stage: str) -> bool:
    """Whether replies in this stage hold arrays: `train` or `train.NAME`."""
    return kind(stage) == "train"


def kind(stage: str) -> str:
    """What a stage asks for: `train`, `evaluate` or `query`, whatever name stands behind it."""
    return stage.partition(".")[0]


def read(path: Path) -> Agreement:
    """The agreement in a TOML file; raises ConfigurationError naming field, value and cure."""
    path = expect_path("the agreement", path)
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"the agreement {path} cannot be read: {reason}", public="the agreement cannot be read"
        ) from error
    if len(data) > LARGEST_FILE:
        size = f"has {len(data)} bytes; at most {LARGEST_FILE} are read"
        raise ConfigurationError(f"the agreement {path} {size}", public=f"the agreement {size}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the agreement {path} is not text in UTF-8: {error}", public="the agreement is not text in UTF-8"
        ) from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Agreement:
    """The agreement in the text of a TOML file; raises ConfigurationError naming source, field and value."""
    expect(f"agreement {source}", text, str, "the text of a TOML file")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"agreement {source} is not TOML: {error}", public="the agreement is not TOML"
        ) from error
    return validated(document, source)


def validated(document: Mapping[str, Any], source: str) -> Agreement:
    """The agreement of these values; raises ConfigurationError naming source, field and value."""
    try:
        made = Agreement.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        shown = "" if isinstance(first["input"], dict) else f" ({first['input']!r:.80})"
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"agreement {source}: {place}{shown}: {what}", public=f"the agreement is not valid: see {place}"
        ) from error
    made.encoding.spec  # noqa: B018 - raises on values that cannot be encoded
    return made
