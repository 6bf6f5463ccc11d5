"""Field arithmetic is tested in both of its tiers: compiled kernels, and Python's integers for what is little."""

from collections.abc import Iterator

import pytest

from fedsec.primitives import lagrange, mersenne


@pytest.fixture(scope="module", params=["kernels", "integers"])
def tier(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything is computed by kernels, or everything on Python's integers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mersenne, "LOADING", 0 if request.param == "kernels" else float("inf"))
        lagrange.interpolation.cache_clear()
        yield
    lagrange.interpolation.cache_clear()
