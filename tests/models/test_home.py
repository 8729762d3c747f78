"""The home directory, where there is one, and what to set where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import home
from models.errors import HomelessError


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a passwd entry, as OpenShift's are."""
    monkeypatch.setattr("os.getuid", lambda: 1000810000)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.mark.parametrize("stated", ["", "relative/home", "~"])
def test_a_home_that_is_no_whole_path_is_that_of_the_passwd_file(
    monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    monkeypatch.setenv("HOME", stated)
    found = home.home()
    assert found is not None
    assert found.is_absolute()


@pytest.mark.usefixtures("nobody")
def test_without_a_home_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", value)
        with pytest.raises(HomelessError, match="INTRAMURAL_DATA_DIR"):
            home.xdg("XDG_DATA_HOME", ".local/share")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home.xdg("XDG_DATA_HOME", ".local/share") == Path("/data/intramural")
    with pytest.raises(HomelessError, match="Give the whole path"):
        home.expanded(Path("~/models"))


def test_a_tilde_is_put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/users/ada")
    assert home.expanded(Path("~/models")) == Path("/users/ada/models")
    assert home.expanded(Path("/models")) == Path("/models")
    with pytest.raises(HomelessError):
        home.expanded(Path("~nobody-of-that-name/models"))
