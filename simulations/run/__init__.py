"""One simulated federation, under Flower and Ray or in one process: `fedsec run`.

In Python the package is that run itself: `from fedsec.simulations import run`, then `run(frame, site=…, label=…)`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Product(ModuleType):
    """This package, which can be called."""

    def __call__(self, *data: Any, **options: Any) -> Any:
        """See `fedsec.simulations.run.notebook.run`."""
        from fedsec.simulations.run import notebook

        return notebook.run(*data, **options)


sys.modules[__name__].__class__ = _Product
