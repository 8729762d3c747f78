"""Chromium, driven over WebDriver (W3C) by chromedriver: for pictures of our page, and its tests.

A thin client of the few commands that are needed. The browser is a fresh one without a profile, and
resolves no name: it reaches addresses of this machine, and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
TIMEOUT_S = 30
END_S = 10
POLL_S = 0.02
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which an element's id is sent (WebDriver, section 12.1)."""
ESCAPE, ENTER, SHIFT, TAB, CONTROL = "\ue00c", "\ue007", "\ue008", "\ue004", "\ue009"


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def open(self, url: str) -> None:
        """Go there, and wait until all of it is loaded."""
        self._command("POST", "url", {"url": url})

    def script(self, body: str, *arguments: object) -> Any:
        """Run a function with this body: its value; of a promise, what it is fulfilled with."""
        return self._command("POST", "execute/sync", {"script": body, "args": list(arguments)})

    def until(self, condition: str, *arguments: object) -> Any:
        """The value of an expression of JavaScript, once it is true.

        Raises:
            TimeoutError: it did not become so.
        """
        return wait_for(lambda: self.script(f"return {condition}", *arguments), condition)

    def text(self, selector: str) -> str:
        """The text of the first such element, as it is seen."""
        text: str = self.script("return document.querySelector(arguments[0]).innerText", selector)
        return text

    def click(self, selector: str) -> None:
        """Click on the first such element, as a user does: it must be in sight."""
        self._command("POST", f"element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Type into the first such element."""
        self._command("POST", f"element/{self._find(selector)}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Press one key after the other, wherever the focus is."""
        self._keys([{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")])

    def chord(self, *keys: str) -> None:
        """Press these keys together."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        self._keys(down + [{"type": "keyUp", "value": key} for key in reversed(keys)])

    def _keys(self, actions: list[dict[str, str]]) -> None:
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self._command("POST", "actions", {"actions": [keyboard]})

    def look(self, *, width: int, height: int, is_dark: bool = False) -> None:
        """Take a window of this size, in CSS pixels, and a colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)
        self._devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def picture(self) -> bytes:
        """A PNG of what is seen."""
        return base64.b64decode(self._command("GET", "screenshot"))

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call, whatever came of them."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def console(self) -> list[str]:
        """Warnings and errors since the last call: of scripts, of loading, and of the policy."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._log("browser")]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._command("POST", "se/log", {"type": kind})
        return entries

    def _devtools(self, name: str, parameters: object) -> None:
        self._command("POST", "goog/cdp/execute", {"cmd": name, "params": parameters})

    def _find(self, selector: str) -> str:
        found = self._command("POST", "element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def _command(self, method: str, path: str, body: object = None) -> Any:
        return _answer(self._client.request(method, path, json=body))


@contextmanager
def chromium(driver: str, browser: str) -> Iterator[Browser]:
    """Run Chromium while the block lasts.

    Args:
        driver: the program chromedriver.
        browser: the program chromium, of the same version.
    """
    with _folder() as folder, _driver(driver, folder) as url:
        options = {
            "binary": browser,
            "args": [*FLAGS, f"--user-data-dir={folder / 'profile'}"],
            "prefs": {"session.restore_on_startup": 4, "session.startup_urls": ["about:blank"]},
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": _logs()}
        with httpx.Client(base_url=url, trust_env=False, timeout=2 * TIMEOUT_S) as client:
            session = _answer(
                client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            )
            path = f"/session/{session['sessionId']}"
            client.base_url = httpx.URL(f"{url}{path}/")
            try:
                yield Browser(client)
            finally:
                _end(url + path, session["capabilities"]["goog:processID"])


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """Look until there is something true, and return it. Raises TimeoutError."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT_S} s: {what}")
        time.sleep(POLL_S)
    return found


def _end(session: str, process: int) -> None:
    """End the browser; one that does not answer is killed."""
    try:
        _answer(httpx.delete(session, timeout=END_S, trust_env=False))
    except httpx.TransportError:
        os.kill(process, signal.SIGKILL)


def _logs() -> dict[str, str]:
    return {"browser": "WARNING", "performance": "ALL"}


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is gone afterwards: the browser's last process writes when its driver ended."""
    folder = Path(tempfile.mkdtemp(prefix="chromium-"))

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    try:
        yield folder
    finally:
        wait_for(is_gone, f"{folder} is removed")


@contextmanager
def _driver(program: str, folder: Path) -> Iterator[str]:
    """The driver's address. It takes a free port, and says which."""
    log = folder / "driver.log"
    command = ["env", f"TMPDIR={folder}", program, "--port=0"]  # the browser's own folders, too
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        found = wait_for(
            lambda: re.search(r"started successfully on port (\d+)", log.read_text("utf-8")),
            "the driver's port",
        )
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _answer(response: httpx.Response) -> Any:
    """The value of the driver's answer. Raises RuntimeError for its errors."""
    value = response.json()["value"]
    if response.is_error:
        raise RuntimeError(f"{value['error']}: {value['message'].splitlines()[0]}")
    return value
