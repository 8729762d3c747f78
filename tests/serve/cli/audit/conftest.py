"""A site for the tests of the audit commands."""

from __future__ import annotations

import pytest

from tests.serve.cli.audit.site import Site


@pytest.fixture
def site(tmp_path, capsys) -> Site:
    """A site with keys, and no entry yet."""
    site = Site(tmp_path)
    site.make_keys()
    capsys.readouterr()
    return site
