"""Tables that name a URL and its address: a URL is read in one way, and the connection made."""

from __future__ import annotations

from typing import Any

import pytest

from serve.governance.alerts.pinned_table import PinnedTable, parse_url


def table(**fields: Any) -> PinnedTable:
    plain = {"url": "http://127.0.0.1:9/x", "address": "127.0.0.1", "allow_http": True, "port": 9}
    return PinnedTable(**plain | fields)


def test_a_connection_goes_to_the_pin(tmp_path):
    http = table().http("relay", tmp_path, 3.0)
    assert (http.target.path, http.pinned.host, http.pinned.port) == ("/x", "127.0.0.1", 9)
    assert http.pinned.network.num_addresses == 1
    assert (http.context, http.timeout_s) == (None, 3.0)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"url": "ftp://x/"}, r"relay\.url: an address such as"),
        ({"address": "x"}, r"relay\.address: an address \(10"),
        ({"port": None}, "relay.url has port 9: say so with port = 9, too, or take 80"),
        ({"allow_http": False}, "relay.url is not https"),
        ({"url": "https://x:9/", "ca_file": "ca.pem"}, "relay.ca_file .*ca.pem holds no"),
    ],
)
def test_a_field_at_fault_is_named(tmp_path, fields, why):
    with pytest.raises(ValueError, match=why):
        table(**fields).http("relay", tmp_path, 3.0)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("https://hooks.example.org", ("https", "hooks.example.org", 443, "/")),
        (
            "https://Hooks.Example.org:8443/a/b?c=d",
            ("https", "hooks.example.org", 8443, "/a/b?c=d"),
        ),
        ("http://127.0.0.1:9/x@y", ("http", "127.0.0.1", 9, "/x@y")),
        ("https://[fd00::7]/x", ("https", "fd00::7", 443, "/x")),
    ],
)
def test_a_url_has_parts(text, target):
    found = parse_url(text)
    assert (found.scheme, found.host, found.port, found.path) == target


@pytest.mark.parametrize(
    "text",
    [
        r"http://a\@b",
        r"https://a\b/",
        "https://user@hooks.example.org/",
        "https://user:word@hooks.example.org/",
        "https://hooks.example.org/#part",
        "https://hooks.example.org?x=1",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nx: y",
        "https://hooks.example.org\t/",
        "https://hooks..example.org/",
        "https://.example.org/",
        "https://hööks.example.org/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:65536/",
        "https://hooks.example.org:/",
        "https:///x",
        "https:hooks.example.org",
        "//hooks.example.org/",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "HTTPS://hooks.example.org/",
        " https://hooks.example.org/",
        "https://[::1/",
        "https://[fe80::1%25lo]/",
        "https://hooks.example.org/" + "a" * 2048,
        "",
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_none(text):
    with pytest.raises(ValueError, match=r"is needed|its port") as caught:
        parse_url(text)
    assert "word" not in str(caught.value)
