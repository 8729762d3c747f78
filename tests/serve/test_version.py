"""The version of an installed server, and of a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

import pytest

from serve.version import server_version, version_line


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    server_version.cache_clear()
    yield
    server_version.cache_clear()


def test_an_installed_one_is_the_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"intramural": "9.8.7"}.__getitem__)
    assert server_version() == "9.8.7"


def test_a_checkout_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert server_version() == "0+source"


def test_the_line_for_people_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"intramural": "9.8.7"}.__getitem__)
    monkeypatch.setattr("serve.version.server_commit", lambda: None)
    assert version_line() == "intramural 9.8.7 (commit unknown)"
    monkeypatch.setattr("serve.version.server_commit", lambda: "abc")
    assert version_line() == "intramural 9.8.7 (commit abc)"
