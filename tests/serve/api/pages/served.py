"""A server of this process on a real socket, in a thread of its own, for a browser to ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from docs.browser import Browser
from tests.serve.api.house import House, running

WAIT_S = 20
READY = "document.querySelector('#model').value"
ANSWERED = "document.querySelector('.turn[aria-busy=\"false\"]')"


@contextmanager
def served(home: House) -> Iterator[str]:
    """Serve while the block lasts. Yields the URL."""
    is_listening = threading.Event()
    told: list[str] = []
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def live() -> None:
        async with running(home) as (_, url):
            told.append(url)
            is_listening.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
    thread.start()
    try:
        assert is_listening.wait(WAIT_S)
        yield told[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def ask(browser: Browser, text: str = "Where?") -> None:
    """Write a message and send it."""
    browser.until(READY)
    browser.type("#prompt", text + "\ue007")


def is_clean(browser: Browser, url: str, *, refused: tuple[str, ...] = ()) -> bool:
    """Whether the page asked this server alone, and nothing was said in the console.

    Args:
        refused: parts of lines that Chromium writes of every refused request.
    """
    lines = [line for line in browser.console() if not any(part in line for part in refused)]
    elsewhere = {
        address
        for address in browser.requests()
        if urlsplit(address).netloc != urlsplit(url).netloc
    } - {"about:blank", "data:,"}
    assert (lines, elsewhere) == ([], set())
    return True
