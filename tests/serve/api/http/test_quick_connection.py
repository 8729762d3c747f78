"""h11's own bytes, piece by piece; and an answer that is the last says so."""

from __future__ import annotations

import h11
import pytest

from serve.api.http.quick_connection import CLOSE, QuickConnection

PIECES = [b"data: one\n\n", b"", b"x" * 300, b"data: [DONE]\n\n"]
HEAD = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
POSTED = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n"


def asked(kind: type[h11.Connection], request: bytes = HEAD) -> h11.Connection:
    connection = kind(h11.SERVER)
    connection.receive_data(request)
    while connection.next_event() not in (h11.NEED_DATA, h11.PAUSED):
        pass
    return connection


def answer(connection: h11.Connection, headers: list, pieces: list[bytes]) -> list[bytes]:
    events = [h11.Response(status_code=200, headers=headers)]
    events += [h11.Data(data=piece) for piece in pieces]
    return [connection.send(event) or b"" for event in (*events, h11.EndOfMessage())]


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ([(b"content-type", b"text/event-stream")], PIECES),
        ([(b"content-length", b"4")], [b"ab", b"cd"]),
        ([(b"content-length", b"0")], []),
    ],
)
def test_the_bytes_are_h11_s(headers, pieces):
    quick, plain = (asked(kind) for kind in (QuickConnection, h11.Connection))
    for _ in range(2):  # the next answer of the connection, too
        assert answer(quick, headers, pieces) == answer(plain, headers, pieces)
        for each in (quick, plain):
            each.start_next_cycle()
            each.receive_data(HEAD)
            each.next_event(), each.next_event()


def is_last(written: list[bytes]) -> bool:
    return b"\r\nconnection: close\r\n" in written[0].lower()


def test_an_answer_before_the_body_s_end_is_the_last():
    assert is_last(answer(asked(QuickConnection, POSTED + b"ab"), [], [b"x"]))
    assert not is_last(answer(asked(QuickConnection, POSTED + b"abcde"), [], [b"x"]))


def test_an_answer_that_is_to_be_the_last_says_it_once():
    connection = asked(QuickConnection)
    connection.is_last = True
    written = answer(connection, [CLOSE], [b"x"])
    assert written[0].lower().count(b"connection: close") == 1
    assert connection.our_state is h11.MUST_CLOSE
