"""The playground in Chromium: what a user sees, and what the server is asked."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import Any

import pytest

from docs.browser import CONTROL, ESCAPE, SHIFT, TAB, Browser, wait_for
from models.quality import Quality, TextFigures
from models.refs import QuantScheme
from serve.service.directory import Weights
from serve.version import server_version
from tests.programs import needs
from tests.serve.api.house import ANSWER, House, house, is_free, pipeline_of, script_of
from tests.serve.api.pages.served import ANSWERED, READY, ask, is_clean, served

pytestmark = needs("chromium", "chromedriver")

WATCH = """
    window.seen = [];
    new MutationObserver(() => {
        const text = document.querySelector(".answer")?.textContent ?? "";
        if (text !== (window.seen.at(-1) ?? "")) window.seen.push(text);
    }).observe(document.querySelector("#turns"), {childList: true, subtree: true});
"""
"""Keeps each state of the answer that is drawn."""
HOSTILE = (
    "<img src=x onerror=alert(1)> <script>window.harmed = 1</script>\n\n"
    "[run](javascript:window.harmed=1) [data](data:text/html,x) ![i](http://192.0.2.1/i.png)\n\n"
    "<a href='javascript:alert(1)'>x</a> <style>*{display:none}</style> &lt;b&gt;\n"
)
FIGURES: dict[str, Any] = {
    "num_tokens": 2006,
    "kl_mean": 0.00114,
    "kl_median": 0.001,
    "kl_p99": 0.01,
    "top1": 0.9786,
    "base_perplexity": 9.1,
    "perplexity": 9.13,
}
QUALITY = Quality(
    **FIGURES,
    num_weights=1000,
    texts=(TextFigures(**FIGURES, name="english", sha256="0" * 64),),
    better=None,
)


def body_of(browser: Browser) -> dict[str, Any]:
    """The body of the last answer's curl, as a shell would pass it on."""
    curl = browser.script(
        "return [...document.querySelectorAll('.request code')].at(-1).textContent"
    )
    words = shlex.split(curl.replace("\\\n", " "))
    body: dict[str, Any] = json.loads(words[words.index("-d") + 1])
    return body


def test_an_answer_is_seen_token_by_token_with_its_figures(browser: Browser) -> None:
    script = script_of("\n\n".join([ANSWER] * 4))
    home = house(pipeline_of(tokens_per_s=60, script=script))
    with served(home) as url:
        browser.open(url)
        browser.script(WATCH)
        ask(browser)
        browser.until(ANSWERED)
        seen = browser.script("return window.seen")
        assert seen[-1] == ANSWER * 4, "four paragraphs"
        assert len(seen) >= 4
        assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
        figures = browser.text(".figures")
        assert figures.startswith(f"{len(script)} tokens · ")
        assert "tok/s · first token " in figures
        assert browser.text("#told") == "The answer is complete."
        assert is_clean(browser, url)


def test_the_parameters_and_the_history_go_into_the_request(browser: Browser) -> None:
    with served(house()) as url:
        browser.open(url)
        browser.until(READY)
        given = {"system": "Be brief.", "temperature": "0.5", "top_p": "0.9", "max_tokens": "3"}
        for name, value in {**given, "seed": "7", "stop-strings": "it's\n\\n\\n"}.items():
            browser.type(f"#{name}", value)
        ask(browser, "One 'quoted'")
        browser.until(ANSWERED)
        first = browser.text(".answer")
        ask(browser, "你好")
        browser.until("document.querySelectorAll('.turn[aria-busy=\"false\"]').length === 2")
        assert body_of(browser) == {
            "model": "demo",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "One 'quoted'"},
                {"role": "assistant", "content": first},
                {"role": "user", "content": "你好"},
            ],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 3,
            "seed": 7,
            "stop": ["it's", "\n\n"],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert "ended at the most tokens" in browser.text(".figures")
        assert is_clean(browser, url)


@pytest.mark.parametrize("way", ["button", "key"])
def test_a_stop_ends_the_request_on_the_server(browser: Browser, way: str) -> None:
    home = house(pipeline_of(tokens_per_s=20, script=script_of("a b c d ")[:-1]))
    with served(home) as url:
        browser.open(url)
        ask(browser)
        browser.until("document.querySelector('.answer').textContent")
        if way == "button":
            browser.click("#stop")
        else:
            browser.press(ESCAPE)
        browser.until(ANSWERED)
        assert "stopped by you" in browser.text(".figures")
        assert browser.text(".answer").startswith("a")
        wait_for(lambda: is_free(home.pipeline), "the slot is free")
        assert wait_for(lambda: home.records.last.is_disconnected, "the server knows")
        assert is_clean(browser, url)


def test_text_of_an_answer_does_nothing(browser: Browser) -> None:
    with served(house(pipeline_of(script=script_of(HOSTILE)))) as url:
        browser.open(url)
        ask(browser)
        browser.until(ANSWERED)
        found = browser.script(
            "const inner = document.querySelector('.answer').querySelectorAll('*');"
            "return [window.harmed ?? null, [...inner].map((node) => node.localName),"
            " [...document.querySelectorAll('.answer a')].map((link) => link.protocol)]"
        )
        assert found[0] is None
        assert set(found[1]) <= {"p", "a", "span", "code", "br"}
        assert set(found[2]) == {"http:"}, "the picture is a link that says where it leads"
        assert "<script>window.harmed = 1</script>" in browser.text(".answer")
        assert is_clean(browser, url)
        told = browser.script(
            "try { document.body.innerHTML = '<b>x</b>' } catch (error) { return error.name }"
        )
        assert told == "TypeError", "no script of the page could write HTML either"
        assert any("TrustedHTML" in line for line in browser.console())


def test_a_key_is_asked_for_and_kept_nowhere(browser: Browser, locked: tuple[House, str]) -> None:
    home, key = locked
    refused = ("401 (Unauthorized)",)
    with served(home) as url:
        browser.open(url)
        browser.until("!document.querySelector('#key-panel').hidden")
        assert "No API key" in browser.text("#key-reason")
        assert browser.script("return document.activeElement.id") == "key"
        browser.type("#key", "sk-wrong\ue007")
        browser.until("document.querySelector('#key').getAttribute('aria-invalid') === 'true'")
        browser.type("#key", key + "\ue007")
        browser.until(READY)
        assert browser.script("return document.querySelector('#key-panel').hidden")
        ask(browser)
        browser.until(ANSWERED)
        curl = browser.script("return document.querySelector('.request code').textContent")
        assert "Authorization: Bearer $OPENAI_API_KEY" in curl
        kept = browser.script(
            "return indexedDB.databases().then((bases) => [bases.length, localStorage.length,"
            " sessionStorage.length, document.cookie, location.href, history.state,"
            " document.documentElement.outerHTML, document.querySelector('#key').value])"
        )
        assert kept[:4] == [0, 0, 0, ""]
        assert key not in json.dumps(kept)
        browser.click("#to-reference")
        browser.until("document.querySelector('.entry')")
        browser.open(url)
        browser.until("!document.querySelector('#key-panel').hidden")
        assert is_clean(browser, url, refused=refused)


def test_the_start_is_shown_until_it_is_over(browser: Browser) -> None:
    home = house(is_loaded=False)
    home.state.startup("load_weights", 5_000_000, 10_000_000)
    with served(home) as url:
        browser.open(url)
        browser.until("document.querySelector('progress')?.value === 5000000")
        assert browser.text("#state-title") == "The model is loading"
        assert "load weights" in browser.text(".phase")
        assert "5 of 10 MB" in browser.text(".phase")
        home.service.directory.publish(pipeline_of(), Weights())
        home.state.startup.complete()
        browser.until(READY)
        assert browser.script("return document.querySelector('#state').hidden")
        assert is_clean(browser, url, refused=("503 (Service Unavailable)",))


def test_a_refusal_is_shown_as_the_server_said_it(browser: Browser) -> None:
    home = house()
    with served(home) as url:
        browser.open(url)
        browser.until(READY)
        browser.type("#temperature", "3")
        ask(browser)
        browser.until("document.querySelector('.problem[role=alert]:not([hidden])')")
        said = browser.text(".turn .problem")
        assert "temperature" in said
        assert home.records.last.request_id in said
        marked = browser.script("return document.querySelector('#temperature').ariaInvalid")
        assert marked == "true"
        browser.script("document.querySelector('#temperature').value = ''")
        browser.click(".again")
        browser.until("document.querySelector('.figures')?.textContent.includes('tok')")
        assert browser.text(".answer") == ANSWER
        assert is_clean(browser, url, refused=("400 (Bad Request)",))


def test_a_server_that_is_gone_is_said_to_be(browser: Browser) -> None:
    with served(house()) as url:
        browser.open(url)
        browser.until(READY)
    ask(browser)
    browser.until("document.querySelector('.turn .problem')")
    assert "The server does not answer" in browser.text(".turn .problem")
    assert browser.text("#state-title") == "No answer"
    assert not browser.script("return document.querySelector('#state-again').hidden")
    browser.open("about:blank")  # or it would go on asking


def test_it_says_which_weights_these_are(browser: Browser) -> None:
    home = house()
    home.publish(digest="sha256:" + "ab" * 32, scheme=QuantScheme.INT8, quality=QUALITY)
    with served(home) as url:
        browser.open(url)
        browser.until(READY)
        facts = browser.text("#facts")
        assert "int8" in facts
        assert QUALITY.line in facts
        assert "sha256:" + "ab" * 6 in facts
        assert f"Intramural {server_version()}" in facts
        assert is_clean(browser, url)


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_an_answer_is_copied_also_over_plain_http(browser: Browser, has_clipboard: bool) -> None:
    text = "# One\n\n*two*"
    with served(house(pipeline_of(script=script_of(text)))) as url:
        browser.open(url)
        if not has_clipboard:
            browser.script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        ask(browser)
        browser.until(ANSWERED)
        browser.click(".together button")
        browser.until("document.querySelector('.together button').textContent === 'Copied'")
        browser.click("#prompt")
        browser.chord(CONTROL, "v")
        assert browser.script("return document.querySelector('#prompt').value") == text


def test_it_is_used_with_the_keyboard_alone(browser: Browser) -> None:
    with served(house()) as url:
        browser.open(url)
        browser.until(READY)
        assert browser.script("return document.activeElement.id") == "prompt"
        browser.type("#prompt", "One")
        browser.chord(SHIFT, "\ue007")
        browser.type("#prompt", "two\ue007")
        browser.until(ANSWERED)
        assert body_of(browser)["messages"][0]["content"] == "One\ntwo"
        browser.script(
            "window.reached = []; document.activeElement.blur();"
            "document.addEventListener('focusin', ({target}) => window.reached.push(target.id))"
        )
        browser.press(*40 * [TAB])
        reached = set(browser.script("return window.reached"))
        wanted = browser.script(
            "return [...document.querySelectorAll('input, textarea, select, button, header a')]"
            ".filter((node) => node.checkVisibility() && !node.disabled && node.id)"
            ".map((node) => node.id)"
        )
        assert set(wanted) <= reached


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_it_fits_360_pixels_and_everything_has_a_name(browser: Browser, path: str) -> None:
    with served(house()) as url:
        browser.look(width=360, height=740)
        browser.open(url + path)
        browser.until(READY)
        if path == "/":
            ask(browser)
            browser.until(ANSWERED)
            browser.script(
                "document.querySelectorAll('details').forEach((part) => part.open = true)"
            )
        else:
            browser.until("document.querySelector('.entry')")
        widths = browser.script(
            "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
        )
        assert widths[0] <= widths[1]
        nameless = browser.script(
            "return [...document.querySelectorAll('input, textarea, select, button, a, summary')]"
            ".filter((node) => !(node.labels?.length || node.ariaLabel || node.textContent.trim()))"
            ".map((node) => node.outerHTML)"
        )
        assert nameless == []
        ids = browser.script("return [...document.querySelectorAll('[id]')].map(({id}) => id)")
        assert len(ids) == len(set(ids))
