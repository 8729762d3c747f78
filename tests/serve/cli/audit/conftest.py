"""A site for the tests of the audit commands."""

from __future__ import annotations

import os

import pytest

from tests.serve.cli.audit.site import Site


@pytest.fixture(autouse=True)
def no_disk(monkeypatch) -> None:
    """No waiting for the disk: what outlasts a power cut is tested where it is written."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda _descriptor: None)


@pytest.fixture
def site(tmp_path, capsys) -> Site:
    """A site with keys, and no entry yet."""
    site = Site(tmp_path)
    site.make_keys()
    capsys.readouterr()
    return site
