"""Framing, without a socket: any cut of the same bytes gives the same, some at a time."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.api.http import framing
from serve.api.http.framing import Framing
from serve.errors import RequestError

LIMIT = 16_384
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def taken(reader: Framing) -> bytes:
    """All that can be taken from what was fed."""
    data = b""
    while not reader.is_starved:
        data += reader.take().data
    return data


def fed(*pieces: bytes) -> bytes:
    reader = Framing(LIMIT)
    data = b""
    for piece in pieces:
        reader.feed(piece)
        data += taken(reader)
    return data


def bodies(raw: bytes) -> list[bytes]:
    """The bodies of the requests as h11 reads them."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    found: list[bytes] = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            return found
        if event is h11.PAUSED:
            for answer in (h11.Response(status_code=204, headers=[]), h11.EndOfMessage()):
                connection.send(answer)
            connection.start_next_cycle()
        elif isinstance(event, h11.Request):
            found.append(b"")
        elif isinstance(event, h11.Data):
            found[-1] += event.data


def refused(*pieces: bytes) -> int:
    with pytest.raises(RequestError) as caught:
        fed(*pieces)
    return caught.value.status


def each_byte(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


REQUESTS = {
    "sized": (SIZED, b"abcde"),
    "none": (GET, b""),
    "chunks": (HEAD + b"3\r\nabc\r\n02\r\nde\r\n0\r\n\r\n", b"abcde"),
    "extensions": (HEAD + b'3;a\r\nabc\r\n2 ;b="c d"\r\nde\r\n0;e\r\n\r\n', b"abcde"),
    "trailers": (HEAD + b"5\r\nabcde\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n", b"abcde"),
    "empty": (HEAD + b"000\r\n\r\n", b""),
    "blank lines": (b"\r\n\r\n" + SIZED, b"abcde"),
}


@given(st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=5), st.data())
def test_any_cut_of_any_requests_gives_the_same(names: list[str], data: st.DataObject) -> None:
    raw = b"".join(REQUESTS[name][0] for name in names)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw)), max_size=9)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    expected = [REQUESTS[name][1] for name in names]
    assert bodies(fed(*pieces)) == bodies(fed(*each_byte(raw))) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"", b"+5", b"-5", b" 5", b"5 ", b"\t5", b"0x5", b"1_0", b"g", b"5,5", b"5;a\x00", b"5\n",
        b"5\r", b"f" * 17, b"0" * 17 + b"5", b"5;" + b"e" * 300, b"\xd9\xa5", b"5.0", b"5 5",
    ],
)  # fmt: skip
def test_chunk_lines_that_are_no_sizes_are_refused(line: bytes) -> None:
    raw = HEAD + line + b"\r\nabcde\r\n0\r\n\r\n"
    assert refused(raw) == refused(*each_byte(raw)) == 400


@pytest.mark.parametrize(
    "rest",
    [
        b"5\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcde\n0\r\n\r\n",
        b"3\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcdeX\r\n",
        b"5\r\nabcde\r\n0\r\nX\r\n\r\n",
        b"5\r\nabcde\r\n0\r\n y: z\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nX: \x00\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nX: y\n\r\n",
        b"5\r\nabcde\r\n0\r\n\n",
    ],
)
def test_broken_chunks_and_trailers_are_refused(rest: bytes) -> None:
    assert refused(HEAD + rest) == refused(*each_byte(HEAD + rest)) == 400


def test_trailers_are_bounded() -> None:
    assert refused(HEAD + b"0\r\nx: " + b"y" * 20_000) == 431
    assert refused(HEAD + b"0\r\n" + b"x: y\r\n" * 20_000) == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\n" * 10,
        b"\r\n" * 5 + GET,
        b"\r\r",
        b"\x16\x03\x01",
        b" GET / HTTP/1.1",
        b"GET /\r\n",
    ],
)
def test_a_head_that_cannot_become_one_is_refused_before_it_ends(raw: bytes) -> None:
    assert refused(raw) == refused(*each_byte(raw)) == 400


def test_another_version_is_refused_by_its_first_line() -> None:
    assert refused(b"PRI * HTTP/2.0\r\n") == 505


def test_heads_without_an_end_are_bounded() -> None:
    assert refused(b"G" * (LIMIT + 1)) == refused(GET[:-2] + b"x: y\r\n" * 4000) == 431


def test_absurd_framing_is_refused_and_small_chunks_are_not() -> None:
    assert refused(HEAD + b"1\r\nx\r\n" * 20_000) == 400
    assert refused(HEAD + b"1;" + b"e" * 200 + b"\r\nx\r\n" + (b"1;eeeee\r\nx\r\n" * 9_000)) == 400
    assert bodies(fed(HEAD + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n")) == [b"x" * 10_000]
    # What a JSON encoder that writes token by token sends.
    assert bodies(fed(HEAD + b"8\r\n12345678\r\n" * 50_000 + b"0\r\n\r\n")) == [
        b"12345678" * 50_000
    ]


def test_each_piece_is_bounded() -> None:
    for raw in (HEAD + b"1\r\nx\r\n" * 10_000, HEAD + b"fffff\r\n" + b"x" * 10**6, GET * 1000):
        reader = Framing(LIMIT)
        reader.feed(raw)
        while not reader.is_starved:
            piece = reader.take()
            assert len(piece.data) < framing.MAX_PIECE_BYTES + LIMIT
            assert piece.num_parsed <= framing.MAX_CHUNKS_AT_ONCE + 1
            assert 1 <= piece.cost < 1000


def test_the_next_request_waits_until_it_is_asked_for() -> None:
    reader = Framing(LIMIT)
    reader.feed(SIZED + GET)
    assert reader.take().data == SIZED
    assert reader.is_between_requests
    assert len(reader) == len(GET)
    assert not reader.is_starved
