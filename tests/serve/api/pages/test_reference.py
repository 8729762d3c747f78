"""The API reference in Chromium: made of /openapi.json, and of nothing else."""

from __future__ import annotations

import shlex

from docs.browser import Browser
from tests.programs import needs
from tests.serve.api.house import FILTER_FILE, House, house
from tests.serve.api.pages.served import READY, is_clean, served

pytestmark = needs("chromium", "chromedriver")

DRAWN = "document.querySelector('#description .entry')"
SHOWN = (
    "[...document.querySelectorAll('#description .entry:not([hidden])')]"
    ".map((entry) => entry.dataset.name)"
)


def test_it_has_every_route_type_and_field(browser: Browser) -> None:
    home = house()
    document = _document(home)
    with served(home) as url:
        browser.open(url + "/docs")
        browser.until(f"{READY} && {DRAWN}")
        shown = browser.script(f"return {SHOWN}")
        routes = [
            f"{method.upper()} {path}"
            for path, methods in document["paths"].items()
            for method in methods
        ]
        assert set(shown) == {*routes, *document["components"]["schemas"]}
        assert {"POST /v1/chat/completions", "GET /livez", "GET /openapi.json"} <= set(shown)
        fields = document["components"]["schemas"]["ChatRequest"]["properties"]
        text = browser.text("#post-v1-chat-completions")
        for name, field in fields.items():
            assert name in text
            assert field["description"].replace("`", "").split(":")[0] in text
        assert "1 to 128" in text, "limits of n"
        query = browser.text("#get-v1-usage")
        for parameter in document["paths"]["/v1/usage"]["get"]["parameters"]:
            assert parameter["name"] in query
            assert parameter["description"].replace("`", "").split(":")[0] in query
        dead = browser.script(
            "return [...document.querySelectorAll('#reference a')]"
            ".map((link) => link.hash.slice(1))"
            ".filter((id) => !document.getElementById(id))"
        )
        assert dead == []
        assert is_clean(browser, url)


def test_each_route_has_an_example_that_is_right(browser: Browser) -> None:
    home = house(content_filter_file=FILTER_FILE)
    with served(home) as url:
        browser.open(url + "/docs")
        browser.until(f"{READY} && {DRAWN}")
        commands = browser.script(
            "return [...document.querySelectorAll('#description .entry pre')]"
            ".map((code) => code.textContent)"
        )
        asked = browser.script(
            """
            return Promise.all(arguments[0].map(([address, method, body]) =>
                fetch(address, body === null ? { method } : {
                    method: "POST", body, headers: {"content-type": "application/json"},
                }).then((response) => response.text().then(() => [address, response.status]))));
            """,
            [_request(command) for command in commands],
        )
        assert len(asked) == 20
        of_ledger = ("/usage", "/feedback")
        needs_ledger = [any(part in address for part in of_ledger) for address, _ in asked]
        statuses = {(needs, status) for needs, (_, status) in zip(needs_ledger, asked, strict=True)}
        assert statuses == {(True, 404), (False, 200)}
        assert is_clean(browser, url, refused=of_ledger)


def test_a_search_leaves_what_is_looked_for(browser: Browser) -> None:
    with served(house()) as url:
        browser.open(url + "/docs")
        browser.until(DRAWN)
        browser.type("#search", "top_logprobs")
        shown = browser.until(f"{SHOWN}.length < 10 && {SHOWN}")
        assert "POST /v1/chat/completions" in shown
        assert "POST /tokenize" not in shown
        rows = browser.script(
            "return [...document.querySelectorAll('#post-v1-chat-completions tbody tr')]"
            ".filter((row) => !row.hidden).length"
        )
        assert 1 <= rows <= 3
        assert "routes and types" in browser.text("#found")
        assert is_clean(browser, url)


def test_it_asks_for_the_key_that_the_playground_has_too(
    browser: Browser, locked: tuple[House, str]
) -> None:
    home, key = locked
    with served(home) as url:
        browser.open(url + "/docs")
        browser.until("!document.querySelector('#key-panel').hidden")
        browser.type("#key", key + "\ue007")
        browser.until(DRAWN)
        example = browser.text("#post-tokenize pre")
        assert "Bearer $OPENAI_API_KEY" in example
        assert "OPENAI" not in browser.text("#get-livez pre")
        browser.click("#to-playground")
        assert browser.until(READY) == "demo"
        assert browser.script("return location.pathname") == "/"
        assert is_clean(browser, url, refused=("401 (Unauthorized)",))


def _document(home: House) -> dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]:
    from serve.api.app import create_protected_app, routes_of

    document: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]
    document = create_protected_app(routes_of(home.state)).openapi()
    return document


def _request(command: str) -> list[str | None]:
    """The address, the method and the body of a curl command."""
    words = shlex.split(command.replace("\\\n", " "))
    address = next(word for word in words if word.startswith("http://"))
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    return [address, method, words[words.index("-d") + 1] if "-d" in words else None]
