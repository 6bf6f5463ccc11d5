"""Every strategy of the catalogue passes the conformance suite: a new file in strategies/ is found by itself."""

from fedsec import catalog
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

for _name in catalog.names():
    _class = f"Test{_name.title().replace('_', '')}"
    globals()[_class] = type(_class, (Conformance,), {"strategy": _name})
    if _name in OTHERS:
        _members = {"strategy": _name, "parameters": OTHERS[_name]}
        globals()[f"{_class}Otherwise"] = type(f"{_class}Otherwise", (Conformance,), _members)
