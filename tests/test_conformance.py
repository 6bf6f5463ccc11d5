"""Every strategy of the catalogue passes the conformance suite: a new file in strategies/ is found by itself."""

from fedsec import catalog
from fedsec.testing import Conformance

for _name in catalog.names():
    _class = f"Test{_name.title().replace('_', '')}"
    globals()[_class] = type(_class, (Conformance,), {"strategy": _name})
