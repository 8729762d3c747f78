"""Makes the pictures of docs/playground.md: starts the demo server, and asks it in Chromium.

`python -m docs.capture_page` from the repository's root; Debian's packages chromium and
chromium-driver must be there. What the pictures show is what the model said.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from docs.browser import ENTER, Browser, chromium
from docs.capture import environment, free_port, wait_ready

FOLDER = Path(__file__).parent
QUESTIONS = ("What is Intramural?", "What does TTFT mean?", "What is 17 + 25?")
SETTINGS = {"temperature": "0", "max_tokens": "120", "seed": "7"}
SCHEMES = {"playground": ("light", "dark"), "reference": ("light",)}
WIDTH, HEIGHT = 1100, 720
ANSWERED = "document.querySelectorAll('.turn[aria-busy=\"false\"]').length === arguments[0]"


def main() -> int:
    """Start, ask, and take a picture of each view, in both colours."""
    programs = [shutil.which(name) for name in ("chromedriver", "chromium")]
    if None in programs:
        raise SystemExit("chromium and chromedriver are needed: apt install chromium-driver")
    port = free_port()
    command = [sys.executable, "-m", "serve", "--model", "demo", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment())
    url = f"http://127.0.0.1:{port}"
    try:
        wait_ready(url)
        with chromium(*map(str, programs)) as browser:
            _talk(browser, url)
            _take(browser, "playground")
            browser.click("#to-reference")
            browser.until("document.querySelector('#description .entry')")
            browser.script("document.querySelector('#post-v1-chat-completions').scrollIntoView()")
            _take(browser, "reference")
    finally:
        server.terminate()
        server.wait(60)
    return 0


def _talk(browser: Browser, url: str) -> None:
    browser.look(width=WIDTH, height=HEIGHT)
    browser.open(url)
    browser.until("document.querySelector('#model').value")
    for name, value in SETTINGS.items():
        browser.type(f"#{name}", value)
    for count, question in enumerate(QUESTIONS, start=1):
        browser.type("#prompt", question + ENTER)
        browser.until(ANSWERED, count)


def _take(browser: Browser, name: str) -> None:
    for scheme in SCHEMES[name]:
        browser.look(width=WIDTH, height=HEIGHT, is_dark=scheme == "dark")
        file = FOLDER / f"{name}-{scheme}.png"
        file.write_bytes(browser.picture())
        print(f"wrote {file.name}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
