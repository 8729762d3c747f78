"""One Chromium for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from docs.browser import Browser, chromium
from tests import programs


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    driver, browser = programs.find("chromedriver"), programs.find("chromium")
    assert driver is not None
    assert browser is not None
    with chromium(driver, browser) as running:
        yield running


@pytest.fixture
def browser(window: Browser) -> Browser:
    """The window, of a usual size, and nothing in its logs."""
    window.look(width=1200, height=800)
    window.requests()
    window.console()
    return window
