"""A connection's bytes, cut where requests begin and end, some at a time. No sockets, no h11.

h11 takes a body chunk by chunk, in Python, until nothing is left of what arrived: a million
one-byte chunks hold the event loop for seconds. Here a call of ``take`` does a bounded piece of the
work, and what it gives is cheap for h11: whole heads, and large chunks in the place of small ones.
Bytes of the next request stay here until they are asked for.

Strict as ``heads`` is. Chunk extensions and trailers are checked, and dropped.

Source: RFC 9112, section 7.1, and section 2.2 for blank lines before a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from serve.api.http.heads import (
    BARE_LINE_FEED,
    FIELD_LINE,
    TOKEN_BYTE,
    check_request_line,
    check_size,
    read_head,
)
from serve.errors import HeadersTooLarge, InvalidRequest

MAX_PIECE_BYTES: Final = 65_536
MAX_CHUNKS_AT_ONCE: Final = 256
MAX_BLANK_LINES: Final = 4
MAX_CHUNK_LINE_BYTES: Final = 256
FREE_FRAMING_BYTES: Final = 65_536
"""A body's chunks may have this many bytes that are no data, and one more for each that is."""

# What a piece of work costs, in units of very roughly a microsecond of the event loop's time.
_COST_OF_A_HEAD = 250  # a request that begins: h11, and the application's first steps
_BYTES_A_UNIT = 512

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_TRAILER = re.compile(FIELD_LINE)


class Part(Enum):
    """The part of a request that comes next."""

    HEAD = "head"
    SIZED_BODY = "sized body"
    CHUNK_LINE = "chunk line"
    CHUNK_DATA = "chunk data"
    CHUNK_END = "chunk end"
    TRAILERS = "trailers"


@dataclass(frozen=True, slots=True)
class Piece:
    """The result of one call of ``take``.

    Attributes:
        data: bytes for h11; empty where more must arrive first.
        cost: what was done, and what h11 and the application will do, in units.
        num_parsed: lines and chunks that were read.
    """

    data: bytes
    cost: int
    num_parsed: int


class Framing:
    """The reading side of one connection.

    Args:
        max_head_bytes: of a request line and headers, and of trailers.
    """

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._buffer = bytearray()
        self._part = Part.HEAD
        self._num_left = 0  # bytes of the sized body, or of the chunk
        self._is_starved = True
        self._num_searched = 0  # bytes of the buffer known to hold no end of a head
        self._is_line_checked = False
        self._num_blank_lines = 0
        self._num_framing_bytes = 0
        self._num_data_bytes = 0

    def __len__(self) -> int:
        """Bytes that have arrived and were not taken."""
        return len(self._buffer)

    @property
    def is_between_requests(self) -> bool:
        """Whether what comes next is another request's head."""
        return self._part is Part.HEAD

    @property
    def is_starved(self) -> bool:
        """Whether ``take`` can do nothing until more arrives."""
        return self._is_starved

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data
        self._is_starved = False

    def clear(self) -> None:
        """Forget what has arrived."""
        self._buffer.clear()
        self._is_starved = True

    def take(self) -> Piece:
        """Do a bounded piece of work, and give what is ready for h11.

        Raises:
            HeadersTooLarge: the head or the trailers are too large.
            HttpVersionNotSupported: another version of HTTP.
            InvalidRequest: the bytes break the standard, or have absurdly much framing.
        """
        if self._part is Part.HEAD:
            return self._take_head()
        if self._part is Part.SIZED_BODY:
            return self._take_sized(b"", 1)
        return self._take_chunks()

    def _take_head(self) -> Piece:
        buffer = self._buffer
        if not buffer or not TOKEN_BYTE.match(buffer):
            self._skip_blank_lines()
        end = buffer.find(b"\r\n\r\n", max(0, self._num_searched - 3))
        stop = len(buffer) if end < 0 else end + 4
        check_size(stop, self._max_head_bytes)
        if BARE_LINE_FEED.search(buffer, max(0, self._num_searched - 1), stop):
            raise InvalidRequest("A line ends with a bare line feed: end lines with CR LF.")
        if end < 0:
            self._num_searched = stop
            if not self._is_line_checked and (line_end := buffer.find(b"\r\n")) >= 0:
                check_request_line(bytes(buffer[:line_end]))
                self._is_line_checked = True
            self._is_starved = True
            return Piece(b"", 1 + stop // _BYTES_A_UNIT, 1)
        head = read_head(bytes(buffer[:stop]), self._max_head_bytes)
        self._drop(stop)
        self._num_searched = self._num_blank_lines = 0
        self._is_line_checked = False
        if head.length is None:
            self._part = Part.CHUNK_LINE
            self._num_framing_bytes = self._num_data_bytes = 0
            return Piece(head.data, _COST_OF_A_HEAD, 1)
        if head.length:
            self._part = Part.SIZED_BODY
            self._num_left = head.length
            if buffer:
                return self._take_sized(head.data, _COST_OF_A_HEAD)
            self._is_starved = True
        return Piece(head.data, _COST_OF_A_HEAD, 1)

    def _skip_blank_lines(self) -> None:
        """Skip the blank lines before a request, which old clients send behind a body."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            self._num_blank_lines += 1
            if self._num_blank_lines > MAX_BLANK_LINES:
                raise InvalidRequest(
                    f"There are more than {MAX_BLANK_LINES} blank lines before a request."
                )
            self._drop(2)
        if buffer and buffer != b"\r" and not TOKEN_BYTE.match(buffer):
            raise InvalidRequest(
                "The request does not begin with a method. Speak HTTP/1.1, without TLS."
            )

    def _take_sized(self, before: bytes, cost: int) -> Piece:
        num_bytes = min(self._num_left, MAX_PIECE_BYTES, len(self._buffer))
        data = before + self._buffer[:num_bytes]
        self._drop(num_bytes)
        self._num_left -= num_bytes
        if not self._num_left:
            self._part = Part.HEAD
        return Piece(bytes(data), cost + num_bytes // _BYTES_A_UNIT, 1)

    def _take_chunks(self) -> Piece:
        """The data of some chunks as one chunk, and the end of the body if it is reached."""
        data = bytearray()
        position = num_parsed = 0
        while num_parsed < MAX_CHUNKS_AT_ONCE and len(data) < MAX_PIECE_BYTES:
            after = self._read_part(position, data)
            if after is None:
                self._is_starved = True
                break
            num_parsed += 1
            position = after
            if self._part is Part.HEAD:
                break
        self._drop(position)
        piece = b"%x\r\n%b\r\n" % (len(data), bytes(data)) if data else b""
        if self._part is Part.HEAD:
            piece += b"0\r\n\r\n"
        return Piece(piece, 1 + num_parsed + position // _BYTES_A_UNIT, num_parsed + 1)

    def _read_part(self, position: int, data: bytearray) -> int | None:
        """Read one part of a chunked body; returns where it ends, None if it is not all here."""
        buffer = self._buffer
        if self._part is Part.CHUNK_DATA:
            piece = buffer[position : position + min(self._num_left, MAX_PIECE_BYTES)]
            if not piece:
                return None
            data += piece
            self._num_data_bytes += len(piece)
            self._num_left -= len(piece)
            if not self._num_left:
                self._part = Part.CHUNK_END
            return position + len(piece)
        if self._part is Part.CHUNK_END:
            end = buffer[position : position + 2]
            if not b"\r\n".startswith(end):
                raise InvalidRequest("A chunk is longer than it says: end its data with CR LF.")
            if len(end) < 2:
                return None
            self._part = Part.CHUNK_LINE
            return self._framed(position, position + 2)
        return self._read_line(position)

    def _read_line(self, position: int) -> int | None:
        """Read the line before a chunk, or a trailer."""
        is_trailer = self._part is Part.TRAILERS
        limit = self._max_head_bytes if is_trailer else MAX_CHUNK_LINE_BYTES
        end = self._buffer.find(b"\n", position, position + limit) + 1
        if not end:
            if len(self._buffer) - position < limit:
                return None
            if is_trailer:
                raise HeadersTooLarge(f"A trailer has more than {limit} bytes: send fewer.")
            raise InvalidRequest(
                f"The line before a chunk has more than {limit} bytes: send fewer extensions."
            )
        if is_trailer:
            if self._buffer.startswith(b"\r\n", position):
                self._part = Part.HEAD
            elif not _TRAILER.fullmatch(self._buffer, position, end):
                raise InvalidRequest("A trailer is not 'Name: value', ended with CR LF.")
            return self._framed(position, end)
        match = _CHUNK_LINE.fullmatch(self._buffer, position, end)
        if match is None:
            raise InvalidRequest(
                "The line before a chunk is not its size: 1 to 16 hexadecimal digits and CR LF."
            )
        self._num_left = int(match[1], 16)
        self._part = Part.CHUNK_DATA if self._num_left else Part.TRAILERS
        return self._framed(position, end)

    def _framed(self, start: int, end: int) -> int:
        """Count bytes that are no data. Raises InvalidRequest where they are absurdly many."""
        self._num_framing_bytes += end - start
        if self._num_framing_bytes > FREE_FRAMING_BYTES + self._num_data_bytes:
            raise InvalidRequest(
                f"The body's chunks are too small: {self._num_framing_bytes} bytes that are no "
                f"data around {self._num_data_bytes} that are; at most {FREE_FRAMING_BYTES} more "
                "than the data. Send larger chunks."
            )
        return end

    def _drop(self, num_bytes: int) -> None:
        del self._buffer[:num_bytes]
        if not self._buffer:
            self._is_starved = True
