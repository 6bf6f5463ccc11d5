"""What a parameter may be is declared with its field: checked when an object is made, and described from there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsec import catalog
from fedsec.errors import ConfigurationError
from fedsec.protocol import Message, ServerModel, parameter, parameters_of
from fedsec.protocol.parameters import Parameter
from fedsec.strategies.lightsecagg import LightSecAgg
from fedsec.strategies.paillier import Paillier
from fedsec.strategies.plain import Plain
from fedsec.strategies.secagg import SecAgg
from fedsec.strategies.shamir import Shamir

STRATEGIES = [catalog.strategy(name) for name in catalog.names()]


@dataclass(frozen=True)
class Declared(Plain):
    """Each form that a declaration may have, and two fields without one."""

    whole: int = parameter(4, "A multiple", low=0, high=8, multiple=4, unit="values")
    part: float = parameter(0.5, "A fraction", low=0, below=1)
    word: str = parameter("a", "A word", choices=("a", "b"))
    trusts: str = parameter(ServerModel.MALICIOUS, "A server")
    rate: float = 1.5
    flag: bool = False


@pytest.mark.parametrize("strategy", STRATEGIES, ids=catalog.names())
def test_a_parameter_that_a_strategy_lacks_is_refused_with_the_nearest(strategy: Any) -> None:
    name = strategy.__module__.rpartition(".")[2]
    with pytest.raises(
        ConfigurationError, match=f"unknown parameter of strategy '{name}' 'flor'; did you mean 'floor'"
    ):
        strategy(flor=3)
    with pytest.raises(ConfigurationError, match="once, by its name"):
        strategy(24, value_bits=24)
    with pytest.raises(ConfigurationError, match="once, by its name"):
        strategy(*[3] * 99)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"whole": 12}, "whole is 12; it must be a multiple of 4 and lie between 0 and 8"),
        ({"whole": 6}, "whole is 6; it must be a multiple of 4"),
        ({"whole": 4.0}, "whole is 4.0; int was expected"),
        ({"part": 1}, "part is 1; it must be at least 0 and below 1"),
        ({"part": float("nan")}, "part is nan"),
        ({"part": True}, "part is True; a number was expected"),
        ({"word": "c"}, "word is 'c'; choose from a, b"),
        ({"word": ["a"]}, r"word is \['a'\]; choose from a, b"),
        ({"trusts": "honest"}, "trusts is 'honest'; choose from semi-honest, malicious"),
        ({"trusts": 1}, "trusts is 1; choose from"),
        ({"rate": "fast"}, "rate is 'fast'; a number was expected"),
        ({"flag": 1}, "flag is 1; bool was expected"),
        ({"value_bits": 61}, "value_bits is 61; it must lie between 1 and 60"),
        ({"floor": 2}, "floor is 2; it must be at least 3: a sum of fewer than 3 inputs is never released"),
    ],
)
def test_a_value_out_of_range_names_field_value_and_limit(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Declared(**given)


@given(whole=st.integers(-20, 20), part=st.floats(-2, 2), word=st.sampled_from("abc"))
def test_what_is_taken_is_what_is_declared(whole: int, part: float, word: str) -> None:
    taken = whole in (0, 4, 8) and 0 <= part < 1 and word in "ab"
    try:
        made = Declared(whole=whole, part=part, word=word)
    except ConfigurationError:
        assert not taken
    else:
        assert taken and (made.whole, made.part, made.word) == (whole, part, word)


def test_text_of_a_server_model_is_that_model_and_json_again() -> None:
    for text in ("semi-honest", "malicious"):
        protocol = Shamir(server=text)
        assert protocol.server is ServerModel(text) and protocol == Shamir(server=ServerModel(text))
        assert json.loads(json.dumps(protocol.parameters()))["server"] == text
        assert type(protocol.parameters()["server"]) is str


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_every_parameter_of_ours_is_declared_and_takes_its_default(kind: Any) -> None:
    for declared in parameters_of(kind):
        assert declared.help and declared.help[:1] == declared.help[:1].strip() and "\n" not in declared.help
        assert declared.checked(declared.default) is declared.default
        assert json.loads(json.dumps(declared.describe()))["name"] == declared.name
        assert declared.values or declared.choices


def test_ranges_as_they_are_printed() -> None:
    values = {one.name: one.values for one in parameters_of(Declared)}
    assert values == {
        "value_bits": "1 to 60 bits",
        "floor": "at least 3 hospitals",
        "whole": "0 to 8 values, a multiple of 4",
        "part": "0 to below 1",
        "word": "a or b",
        "trusts": "semi-honest or malicious",
        "rate": "a number",
        "flag": "true or false",
    }
    (bits,) = (one for one in parameters_of(Paillier) if one.name == "key_bits")
    assert (bits.low, bits.high, bits.multiple, bits.unit) == (2048, 8192, 2, "bits")


def names(rounds: tuple[type[Message], ...]) -> list[str]:
    return [request.__name__ for request in rounds]


def test_rounds_follow_the_parameters() -> None:
    assert names(Shamir().rounds()) == ["ShareInput", "SumShares"]
    assert names(Shamir(server="malicious").rounds()) == ["ShareInput", "ConsistencyCheck", "SumShares"]
    assert "ConsistencyCheck" in names(SecAgg().rounds())
    assert "ConsistencyCheck" not in names(SecAgg(server="semi-honest").rounds())
    assert names(LightSecAgg(server="malicious").rounds())[1] == "ConsistencyCheck"
    assert Plain().rounds() == Plain.phases  # a file that declares phases and nothing else


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
def test_a_dropout_is_tolerated_or_not_in_each_round_and_in_no_other(kind: Any) -> None:
    variants = [{"server": model} for model in ServerModel] if hasattr(kind, "server") else [{}]
    for parameters in variants:
        protocol = kind(**parameters)
        assert tuple(protocol.tolerance(range(1, 11))) == protocol.rounds()


def test_a_subclass_keeps_the_limits_of_a_parameter_whose_default_it_changes() -> None:
    @dataclass(frozen=True)
    class Low(Plain):
        floor: int = 1

    @dataclass(frozen=True)
    class Narrow(Plain):
        value_bits: int = 20

    with pytest.raises(ConfigurationError, match="floor is 1; it must be at least 3"):
        Low()
    assert Narrow().value_bits == 20
    for bits in (0, -3, 61, 200):
        with pytest.raises(ConfigurationError, match=f"value_bits is {bits}; it must lie between 1 and 60"):
            Narrow(value_bits=bits)
    assert next(one for one in parameters_of(Narrow) if one.name == "value_bits").values == "1 to 60 bits"


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1]])
def test_a_choice_has_the_type_of_its_choices(value: Any) -> None:
    """True and 1.0 equal 1 in Python, and are other values on the wire."""
    choice = Parameter("k", 2, choices=(1, 2, 4))
    with pytest.raises(ConfigurationError, match=r"choose from 1, 2, 4"):
        choice.checked(value)
    assert choice.checked(1) == 1


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400])
def test_a_number_is_finite(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="a finite number was expected"):
        Parameter("s", 0.5, low=0).checked(value)
