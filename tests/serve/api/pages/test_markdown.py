"""The scripts of the page by themselves, in Chromium: Markdown, server-sent events, curl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from docs.browser import Browser
from tests.programs import needs
from tests.serve.api.house import house
from tests.serve.api.pages.served import served

pytestmark = needs("chromium", "chromedriver")

RENDERED = {
    "plain": "<p>plain</p>",
    "a\nb  \nc": "<p>a\nb<br>c</p>",
    "# One\n## Two ##": "<h3>One</h3><h4>Two</h4>",
    "**b** *i* ***both*** ~~d~~ `c`": "<p><strong>b</strong> <em>i</em> "
    "<strong><em>both</em></strong> <del>d</del> <code>c</code></p>",
    "*a **b** c*": "<p><em>a <strong>b</strong> c</em></p>",
    "**重要**：是": "<p><strong>重要</strong>：是</p>",
    "snake_case_name and 2 * 3 * 4": "<p>snake_case_name and 2 * 3 * 4</p>",
    r"\*not\* \\": r"<p>*not* \</p>",
    "**open": "<p>**open</p>",
    "``a`b``": "<p><code>a`b</code></p>",
    "`open": "<p>`open</p>",
    "- a\n- b\n  - c\n\n1. x\n2. y": "<ul><li>a</li><li><p>b</p><ul><li>c</li></ul></li></ul>"
    "<ol><li>x</li><li>y</li></ol>",
    "3. x": '<ol start="3"><li>x</li></ol>',
    "> a\n> - b": "<blockquote><p>a</p><ul><li>b</li></ul></blockquote>",
    "---": "<hr>",
    "| a | b |\n|---|--:|\n| 1 | 2 \\| 3 |": '<div class="table" tabindex="0" role="region" '
    'aria-label="Table"><table><thead><tr><th>a</th><th class="right">b</th></tr></thead><tbody>'
    '<tr><td>1</td><td class="right">2 | 3</td></tr></tbody></table></div>',
    "<b>x</b> &amp;": "<p>&lt;b&gt;x&lt;/b&gt; &amp;amp;</p>",
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>",
    "[x](/relative)": "<p>[x](/relative)</p>",
    "[x]( java\tscript:alert(1))": "<p>[x]( java\tscript:alert(1))</p>",
}
CODE = {
    "```py\nx = '<b>'\n```": ("py", "x = '<b>'"),
    "~~~\n```\n~~~": ("", "```"),
    "```\nopen": ("", "open"),
}
LINKS = {
    "[x](https://a.example/p?q=1 'title')": ("https://a.example/p?q=1", "x (a.example)"),
    "see https://a.example/x.": ("https://a.example/x", "https://a.example/x"),
    "![alt](https://a.example/i.png)": ("https://a.example/i.png", "alt (a.example)"),
    "[https://b.example](https://a.example)": (
        "https://a.example/",
        "https://b.example (a.example)",
    ),
    "[m](mailto:a@b.example)": ("mailto:a@b.example", "m (a@b.example)"),
}
LARGE = {
    "stars": "*a " * 40_000,
    "pairs": "**a " * 30_000,
    "ticks": "` `` " * 30_000,
    "brackets": "[" * 100_000,
    "links": "[a](" * 30_000,
    "addresses": "http://" * 20_000,
    "quotes": ">" * 100_000,
    "items": "- " * 50_000,
    "lines": "- a\n" * 20_000,
    "deep": "".join("  " * depth + "- a\n" for depth in range(300)),
    "rules": "- " * 30_000 + "x",
    "headings": "#" * 100_000 + " " * 50_000 + "x",
    "bars": "|" * 50_000 + "\n" + "|-" * 50_000,
    "underscores": "_" * 100_000,
}

SHOW = """
    const [text] = arguments;
    return import("/pages/markdown.js").then(({appendMarkdown}) => {
        const parent = document.createElement("div");
        appendMarkdown(parent, text);
        return %s;
    });
"""
HTML = SHOW % "parent.innerHTML"
FOUND = SHOW % (
    "[...parent.querySelectorAll('a')].map((link) => [link.href, link.textContent, link.rel])"
)
BLOCK = SHOW % (
    "[parent.querySelector('figcaption span').textContent, parent.querySelector('pre').textContent]"
)


@pytest.fixture(scope="module")
def page(window: Browser) -> Iterator[Browser]:
    with served(house()) as url:
        window.open(url)
        yield window
        window.open("about:blank")


def test_markdown_becomes_elements(page: Browser) -> None:
    assert {text: page.script(HTML, text) for text in RENDERED} == RENDERED


def test_code_keeps_its_text_and_language(page: Browser) -> None:
    assert {text: tuple(page.script(BLOCK, text)) for text in CODE} == CODE


def test_a_link_says_where_it_leads_and_tells_nothing(page: Browser) -> None:
    for text, wanted in LINKS.items():
        ((address, shown, relation),) = page.script(FOUND, text)
        assert (address, shown) == wanted
        assert relation == "noopener noreferrer nofollow"


def test_a_text_that_grows_ends_as_if_it_had_come_at_once(page: Browser) -> None:
    text = "\n\n".join([*RENDERED, *CODE, *LINKS])
    same = page.script(
        """
        const [text] = arguments;
        return import("/pages/markdown.js").then(({appendMarkdown, GrowingText}) => {
            const [whole, grown] = [document.createElement("div"), document.createElement("div")];
            appendMarkdown(whole, text);
            const growing = new GrowingText(grown);
            for (let end = 1; end <= text.length; end += 3) growing.show(text.slice(0, end));
            growing.show(text);
            return whole.innerHTML === grown.innerHTML;
        });
        """,
        text,
    )
    assert same


@pytest.mark.parametrize("name", LARGE)
def test_no_text_holds_up_the_page(page: Browser, name: str) -> None:
    assert page.script(SHOW % "parent.childElementCount", LARGE[name]) > 0


def test_events_are_found_wherever_the_stream_is_cut(page: Browser) -> None:
    stream = (
        ": note\r\ndata: one\r\ndata: 1\r\n\r\ndata:two\n\nid: 3\rdata: three\r\r\ndata: [DONE]\n\n"
    )
    found: list[Any] = page.script(
        """
        const [stream] = arguments;
        return import("/pages/events.js").then(({EventParser}) => {
            const all = [];
            for (let first = 0; first <= stream.length; first++) {
                for (let last = first; last <= stream.length; last++) {
                    const parser = new EventParser();
                    const ends = [[0, first], [first, last], [last, stream.length]];
                    const cuts = ends.map(([start, end]) => stream.slice(start, end));
                    all.push(JSON.stringify(cuts.flatMap((piece) => parser.feed(piece))));
                }
            }
            return [...new Set(all)];
        });
        """,
        stream,
    )
    assert [json.loads(each) for each in found] == [["one\n1", "two", "three", "[DONE]"]]


def test_curl_says_the_very_request_whatever_is_in_it(page: Browser) -> None:
    body = {"model": "demo", "prompt": 'it\'s $HOME `x` \\ "q"\n\u2028你好', "stream": True}
    curl = page.script(
        "return import('/pages/curl.js').then(({curlOf}) => curlOf(arguments[0]))",
        {"address": "http://h/v1/completions", "method": "POST", "body": body, "hasKey": True},
    )
    words = shlex.split(curl.replace(" \\\n ", " "))
    assert words[:3] == ["curl", "-N", "http://h/v1/completions"]
    assert words[3:5] == ["-H", "Authorization: Bearer $OPENAI_API_KEY"]
    assert json.loads(words[-1]) == body
