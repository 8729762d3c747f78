"""Fixtures of servers over TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.api.http import connection
from tests.certificates import Authority
from tests.serve.api.http.tls_site import Site


@pytest.fixture
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read until the end of a connection, which over TLS is no sooner."""
    monkeypatch.setattr(connection, "LINGER_S", 0.05)


@pytest.fixture
def site(tmp_path: Path, short_linger: None) -> Site:
    site = Site(tmp_path, Authority(tmp_path))
    site.put(site.authority.issue())
    return site
