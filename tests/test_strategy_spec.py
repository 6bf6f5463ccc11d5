"""A strategy's text form: what is printed is read as the same again, whatever its parameters hold."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedsec import catalog
from fedsec.errors import ConfigurationError
from fedsec.strategies.shamir import Shamir
from fedsec.strategy_spec import StrategySpec

NAMES = st.text(st.characters(codec="utf-8", exclude_characters=":"), max_size=12)
PARAMETERS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["true", "null", "NaN", "Infinity", "1e5", "4", "malicious", "a:b", "a,b", '"quoted"', "", " x "]),
)


@given(name=NAMES, parameters=st.dictionaries(PARAMETERS, VALUES, max_size=4))
@example(name="./mine.py", parameters={"server": "malicious", "threshold": 4})
def test_what_is_printed_is_read_as_the_same(name: str, parameters: dict[str, Any]) -> None:
    spec = StrategySpec(name, parameters)
    back = StrategySpec.parse(str(spec))
    assert back == spec and hash(back) == hash(spec) and str(back) == str(spec)
    assert {key: type(value) for key, value in back.parameters.items()} == {
        key: type(value) for key, value in parameters.items()
    }
    assert "," not in str(spec)[len(name) :]  # a list of them with commas can be taken apart
    assert StrategySpec.from_json(name, spec.json) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - our own bytes


def test_the_forms_of_the_command_line() -> None:
    spec = StrategySpec.parse("shamir:server=malicious:threshold=4")
    assert (spec.name, dict(spec.parameters)) == ("shamir", {"server": "malicious", "threshold": 4})
    assert str(spec) == "shamir:server=malicious:threshold=4" and spec.title == "shamir server=malicious threshold=4"
    assert StrategySpec.parse("shamir") == StrategySpec("shamir")
    given = StrategySpec.parse("bfv:capacity_bits=40").with_options(["capacity-bits=44", "floor=5", "floor=4"])
    assert dict(given.parameters) == {"capacity_bits": 44, "floor": 4}
    assert json.loads(given.json) == {"capacity_bits": 44, "floor": 4}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: StrategySpec.parse("shamir:"), "parameter '': NAME=VALUE was expected"),
        (lambda: StrategySpec.parse("shamir:4"), "parameter '4': NAME=VALUE was expected"),
        (lambda: StrategySpec.parse("shamir:=4"), "parameter '=4': NAME=VALUE was expected"),
        (lambda: StrategySpec.parse("shamir:two words=4"), "parameter 'two words': a name of letters, digits and _"),
        (lambda: StrategySpec.parse("shamir:threshold=[4]"), r"parameter threshold is \[4\]; a finite number"),
        (lambda: StrategySpec.parse("shamir:threshold=1e999"), "parameter threshold is inf; a finite number"),
        (lambda: StrategySpec("C:/mine.py"), "strategy 'C:/mine.py': a name or path without a colon was expected"),
        (lambda: StrategySpec.from_json("shamir", "[4]"), r"parameters is '\[4\]': a JSON object was expected"),
        (lambda: StrategySpec.from_json("shamir", "{"), "parameters is '{': a JSON object was expected"),
    ],
)
def test_what_is_no_specification(make: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make()


def test_a_specification_is_built_by_the_catalogue() -> None:
    assert catalog.configured(StrategySpec.parse("shamir:threshold=4"), value_bits=16) == Shamir(16, threshold=4)
    with pytest.raises(ConfigurationError, match="unknown strategy ''"):
        catalog.configured(StrategySpec.parse(""))
    with pytest.raises(ConfigurationError, match="did you mean 'threshold'"):
        catalog.configured(StrategySpec.parse("shamir:treshold=4"))


def test_no_text_changes_a_specification() -> None:
    spec = StrategySpec.parse("shamir:threshold=4")
    with pytest.raises(TypeError):
        spec.parameters["threshold"] = 1  # type: ignore[index]


def test_equal_is_what_is_written_alike() -> None:
    """In whichever order, and 1 is not True: a sweep tells settings apart by their texts."""
    assert StrategySpec.parse("a:x=1:y=2") == StrategySpec.parse("a:y=2:x=1")
    assert str(StrategySpec.parse("a:y=2:x=1")) == "a:x=1:y=2"
    assert len({StrategySpec("a", {"x": 1}), StrategySpec("a", {"x": True}), StrategySpec("a", {"x": 1.0})}) == 3


@pytest.mark.parametrize(("name", "parameters"), [(None, {}), ("a", {1: 2}), ("a", {"x": 10**5000}), ("a", {"x": [1]})])
def test_what_is_no_strategy_or_parameter_is_refused_in_words(name: Any, parameters: Any) -> None:
    with pytest.raises(ConfigurationError, match="was expected"):
        StrategySpec(name, parameters)


def test_deep_json_is_text_or_refused() -> None:
    deep = "[" * 20_000
    assert StrategySpec("a").with_options([f"x={deep}"]).parameters["x"] == deep
    for text in (deep, None, "[1]"):
        with pytest.raises(ConfigurationError, match="a JSON object was expected"):
            StrategySpec.from_json("a", text)  # type: ignore[arg-type]


def test_in_figures_a_word_says_which_parameter_it_is_of() -> None:
    assert StrategySpec.parse("shamir:server=malicious:threshold=4").short == "shamir malicious threshold=4"
