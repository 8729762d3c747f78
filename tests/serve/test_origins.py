"""Origins: those that browsers write, however an operator writes them, and nothing else."""

from __future__ import annotations

import pytest

from serve.origins import origin_of


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://localhost:5173", "http://localhost:5173"),
        (" HTTP://LocalHost:5173/ ", "http://localhost:5173"),
        ("https://chat.example.org:443", "https://chat.example.org"),
        ("http://chat.example.org:80/", "http://chat.example.org"),
        ("https://chat.example.org:80", "https://chat.example.org:80"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:03000", "http://127.0.0.1:3000"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_an_origin_is_what_a_browser_sends(given: str, sent: str) -> None:
    assert origin_of(given) == sent


@pytest.mark.parametrize(
    "given",
    [
        *(
            "localhost:5173",
            "//localhost",
            "http://",
            "http:///",
            "http://*",
            "https://*.a.example",
        ),
        *("http://localhost:*", "http://a/path", "http://a?x", "http://a#x", "http://u:p@a"),
        *(
            "http://a:99999",
            "http://a:",
            "http://[::1",
            "http://[zz]",
            "http://b\u00fccher.example",
        ),
        *("http://a b", '["*"]', "http://a,http://b", "file:///page.html", "**", "http://a\nb"),
        *("1http://a", "http://a//", "http:/a", "http//a"),
    ],
)
def test_anything_else_says_what_an_origin_is(given: str) -> None:
    with pytest.raises(ValueError, match=r"no origin.*scheme://host"):
        origin_of(given)
