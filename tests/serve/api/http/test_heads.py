"""Heads: what is refused, with which status, and what an absolute target becomes."""

from __future__ import annotations

import pytest

from serve.api.http.heads import read_head
from serve.errors import HttpVersionNotSupported, RequestError

LIMIT = 16_384


def head(*lines: bytes, first: bytes = b"POST /v1/x HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""])


def refusal(raw: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_head(raw, LIMIT)
    return caught.value


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"content-length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        *(
            [b"Content-Length: " + value]
            for value in (
                b"+5", b"-5", b"5, 5", b"5,5", b"0x5", b"1_0", b"5 5", b"5.0", b"", b"\xd9\xa5",
                b"9" * 16,
            )
        ),
        *(
            [b"Transfer-Encoding: " + value]
            for value in (
                b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity", b"xchunked",
                b"chunked;q=1", b"", b'"chunked"', b",chunked",
            )
        ),
        [b"X: a", b" b"],
        [b"X: a", b"\tb"],
        [b" X: a"],
        [b"X : a"],
        [b"X"],
        [b": a"],
        [b"X: a\x00b"],
        [b"X\x00: a"],
        [b"X: a\rY: b"],
        [b"X: \x01"],
        [b"X: \x0bchunked"],
        [b"X: \x7f"],
        [b"X: " + b" " * 15_000 + b"\x0b"],
    ],
)  # fmt: skip
def test_what_two_readers_could_take_in_two_ways_is_refused(lines: list[bytes]) -> None:
    error = refusal(head(*lines))
    assert (error.status, error.code) == (400, "invalid_value")


@pytest.mark.parametrize("version", [b"1.2", b"1.9", b"0.9", b"2.0", b"3.0", b"9.9", b"0.0"])
def test_other_versions_are_refused_as_such(version: bytes) -> None:
    error = refusal(head(first=b"GET / HTTP/" + version))
    assert isinstance(error, HttpVersionNotSupported)
    assert error.status == 505
    assert version.decode() in error.message


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.",
        b"GET / HTTP/1,1",
        b"GET / HTTP/+1.1",
        b"GET / http/1.1",
        b"GET / HTTPS/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"GET HTTP/1.1",
    ],
)
def test_lines_that_are_no_request_lines_are_refused(line: bytes) -> None:
    assert refusal(head(first=line)).status == 400


def test_what_is_allowed_is_let_through_as_it_is() -> None:
    for raw, length in (
        (head(), 0),
        (head(b"Content-Length: 0005"), 5),
        (head(b"CONTENT-LENGTH:7 \t"), 7),
        (head(b"Transfer-Encoding: Chunked "), None),
        (head(b"X:", b"Y: \xff \t z", b"X-Content-Length: 9"), 0),
        (head(first=b"OPTIONS * HTTP/1.1"), 0),
        (head(first=b"GET /a?b=http://c HTTP/1.0", host=b""), 0),
    ):
        read = read_head(raw, LIMIT)
        assert (read.data, read.length) == (raw, length)


def test_chunks_are_not_of_http_1_0() -> None:
    assert refusal(head(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0")).status == 400


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://localhost:8000/livez", b"/livez", b"localhost:8000"),
        (b"HTTP://LOCALHOST/livez", b"/livez", b"LOCALHOST"),
        (b"http://[::1]:80/v1/models?x=1", b"/v1/models?x=1", b"[::1]:80"),
        (b"http://evil.example", b"/", b"evil.example"),
        (b"http://127.0.0.1?x", b"/?x", b"127.0.0.1"),
    ],
)
def test_an_absolute_target_says_which_host_counts(target: bytes, path: bytes, host: bytes) -> None:
    raw = head(b"X: Host: y", first=b"GET " + target + b" HTTP/1.1", host=b"hOsT: other")
    assert read_head(raw, LIMIT).data == head(
        b"X: Host: y", first=b"GET " + path + b" HTTP/1.1", host=b"Host: " + host
    )


def test_an_absolute_target_of_http_1_0_brings_its_host() -> None:
    raw = head(first=b"GET http://localhost/x HTTP/1.0", host=b"")
    assert b"\r\nHost: localhost\r\n" in read_head(raw, LIMIT).data


def test_an_absolute_target_mends_no_host() -> None:
    """A host that is missing or doubled is refused in words, whatever the target says."""
    for first in (b"GET http://localhost/x HTTP/1.1", b"GET /x HTTP/1.1"):
        assert "no Host header" in refusal(head(first=first, host=b"")).message
        assert "2 Host headers" in refusal(head(b"hOsT: b", first=first)).message
    assert "2 Host headers" in refusal(head(b"Host: b", first=b"GET /x HTTP/1.0")).message


@pytest.mark.parametrize(
    "target",
    [b"https://a/x", b"ftp://a/x", b"http:///x", b"http://u@a/x", b"http://a:b/x", b"http://a/x#y"],
)
def test_urls_that_cannot_be_ours_are_refused(target: bytes) -> None:
    assert refusal(head(first=b"GET " + target + b" HTTP/1.1")).status == 400


def test_heads_are_bounded_in_bytes_and_headers() -> None:
    assert refusal(head(b"x: " + b"y" * LIMIT)).status == 431
    assert refusal(head(*[b"x:"] * 200)).status == 431
    assert read_head(head(*[b"x:"] * 99), LIMIT).length == 0
    assert refusal(head(*[b"x:"] * 100)).status == 431


def test_no_message_repeats_what_the_client_sent() -> None:
    for raw in (head(b"secret word"), head(first=b"secret / HTTP/x"), head(b"X: secret\x00")):
        assert "secret" not in refusal(raw).message
