"""Every strategy of the catalogue passes the conformance suite: a new file in strategies/ is found by itself."""

from typing import Any

import pytest

from fedsec import catalog
from fedsec.local import LocalFederation
from fedsec.protocol import SecureSum
from fedsec.testing import Conformance
from tests.conftest import TEXTBOOK
from tests.tiers import exhaustive

OTHERS = {
    "paillier": {"key_bits": 2048, "s": 2, "policy": "fast", "key_holder": 2, "witness": 1},
    "shamir": {"server": "malicious"},
    "packed_shamir": {"server": "malicious", "value_bits": 40},
    "additive": {"aggregators": 2, "value_bits": 40},
    "lightsecagg": {"server": "malicious", "value_bits": 40},
    "bfv": {"value_bits": 40, "capacity_bits": 48},
    "secagg": {"server": "semi-honest", "value_bits": 40},
    "secagg_plus": {"server": "malicious"},
}
"""What is not a default and changes which messages are sent, and by whom."""


class Suite(Conformance):
    """The conformance suite, of which some cohorts are exhaustive."""

    @pytest.mark.parametrize("parties", [3, 5, *exhaustive([4, 6])])
    def test_dropouts_phase_by_phase(self, federation: LocalFederation, parties: int) -> None:
        super().test_dropouts_phase_by_phase(federation, parties)


@pytest.mark.slow
class Otherwise(Suite):
    """With the parameters of OTHERS."""

    def test_its_parameters_are_not_the_defaults(self, protocol: SecureSum[Any, Any]) -> None:
        default = type(protocol)().parameters()
        assert protocol.parameters() == {**default, **self.parameters}
        assert all(default[name] != value for name, value in self.parameters.items())


KEYS = {TEXTBOOK: {"parameters": {"key_bits": 256}}, "paillier": {"parameters": {"key_bits": 2048}}}
"""With keys that protect nothing, where real ones take a minute for each test, or the smallest that are real: a set-up
with the default of 3072 bits takes twice as long, and tests/simulations/run/test_parity.py has one."""


MODELS = ("shamir", "secagg", "secagg_plus")
"""Those of which the suite has the other parameters too: for the other kind of server, they send other messages."""
SLOW = ("bfv", "lightsecagg", "packed_shamir", "paillier", TEXTBOOK, "secagg", "secagg_plus")
"""Those of ciphertexts and of pairwise masks take most of the suite's time; pieces and packed shares are shamir's."""

for _name in catalog.names():
    _class = f"Test{_name.title().replace('_', '')}"
    globals()[_class] = type(_class, (Suite,), {"strategy": _name, **KEYS.get(_name, {})})
    if _name in SLOW:
        globals()[_class] = pytest.mark.slow(globals()[_class])
    if _name in OTHERS:
        _members = {"strategy": _name, "parameters": OTHERS[_name]}
        _other = type(f"{_class}Otherwise", (Otherwise,), _members)
        globals()[f"{_class}Otherwise"] = _other if _name in MODELS else pytest.mark.exhaustive(_other)
