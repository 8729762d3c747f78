"""What all tests share: hypothesis without a clock, and a `prove` profile that looks longer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("prove", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile("default")


@pytest.fixture(scope="session")
def is_proving(pytestconfig: pytest.Config) -> bool:
    """Whether this is `make prove`, which takes the time that it needs."""
    return bool(pytestconfig.getoption("--hypothesis-profile") == "prove")
