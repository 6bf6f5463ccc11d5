"""Every strategy of the catalogue passes the conformance suite: a new file in strategies/ is found by itself."""

from typing import Any

from fedsec import catalog
from fedsec.protocol import SecureSum
from fedsec.testing import Conformance

OTHERS = {
    "shamir": {"server": "malicious"},
    "packed_shamir": {"server": "malicious", "value_bits": 40},
    "additive": {"aggregators": 2, "value_bits": 40},
    "lightsecagg": {"server": "malicious", "value_bits": 40},
    "secagg": {"server": "semi-honest", "value_bits": 40},
    "secagg_plus": {"server": "malicious"},
}
"""What is not a default and changes which messages are sent, and by whom."""


class Otherwise(Conformance):
    """With the parameters of OTHERS."""

    def test_its_parameters_are_not_the_defaults(self, protocol: SecureSum[Any, Any]) -> None:
        default = type(protocol)().parameters()
        assert protocol.parameters() == {**default, **self.parameters}
        assert all(default[name] != value for name, value in self.parameters.items())


for _name in catalog.names():
    _class = f"Test{_name.title().replace('_', '')}"
    globals()[_class] = type(_class, (Conformance,), {"strategy": _name})
    if _name in OTHERS:
        _members = {"strategy": _name, "parameters": OTHERS[_name]}
        globals()[f"{_class}Otherwise"] = type(f"{_class}Otherwise", (Otherwise,), _members)
