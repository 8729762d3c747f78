"""What all tests share: one thread a process, hypothesis without a clock, and a profile that proves
for longer.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests import programs
from tests.servers.fixtures import (  # noqa: F401 (fixtures of all tests)
    _migrated_file,
    _migrated_url,
    _redis,
    _scratch_url,
    database,
    database_file,
    database_place,
    empty_postgres,
    migrated_place,
    migrated_postgres,
    postgres,
    redis_server,
)

# Before torch is imported, and for every server that a test starts. The models are so small that a
# second thread only waits, and it waits by spinning: beside another process of `pytest -n` each
# would take the other's time. What several threads compute, test_panels.py compares.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("prove", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile("default")


@pytest.fixture(scope="session")
def is_proving(pytestconfig: pytest.Config) -> bool:
    """Whether this is `make prove`, which takes the time that it needs."""
    return _is_proving(pytestconfig)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a fixture is made: see tests/programs.py."""
    names = [name for mark in item.iter_markers(programs.MARK) for name in mark.args]
    programs.require(names, is_proving=_is_proving(item.config))


def _is_proving(config: pytest.Config) -> bool:
    return bool(config.getoption("--hypothesis-profile") == "prove")
