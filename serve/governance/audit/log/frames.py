"""Frames of the journal: entries in a file, so that the whole ones are told from the torn.

::

    segment = header, frame, frame, ...
    header  = magic (16 bytes), index of the first entry (8), salt (4), CRC-32 (4)
    frame   = magic (4), length (4), index (8), durable (8), CRC-32 (4), payload

``durable`` says how many entries were on the disk when the frame was written. A frame that cannot
be read is a torn tail, unless a later one says that it was durable: then something was lost that
had been acknowledged. The salt goes into each checksum, so that no payload can pass for a frame.
All numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

SEGMENT_MAGIC = b"intramural-jrnl1"
FRAME_MAGIC = b"\xf5Jr\x01"
_HEADER = struct.Struct(">16sQI")
_FRAME = struct.Struct(">4sIQQ")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
FRAME_BYTES = _FRAME.size + _CRC.size


@dataclass
class Scan:
    """A segment as far as it can be read.

    Attributes:
        first_index: of its first entry.
        salt: of its checksums.
        payloads: of the valid frames from the beginning.
        ends: the offset behind each of them.
        lost: why the rest is damage and not a torn tail; "" where it is none.
    """

    first_index: int
    salt: int
    payloads: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    lost: str = ""

    @property
    def next_index(self) -> int:
        return self.first_index + len(self.payloads)

    @property
    def end(self) -> int:
        """The offset behind the last valid frame."""
        return self.ends[-1] if self.ends else HEADER_BYTES


def header(first_index: int, salt: int) -> bytes:
    """The beginning of a segment."""
    raw = _HEADER.pack(SEGMENT_MAGIC, first_index, salt)
    return raw + _CRC.pack(zlib.crc32(raw))


def frames(payloads: Sequence[bytes], first_index: int, durable: int, salt: int) -> bytes:
    """The frames of entries that are written together."""
    parts: list[bytes] = []
    crc32, pack, pack_crc = zlib.crc32, _FRAME.pack, _CRC.pack
    for index, payload in enumerate(payloads, first_index):
        head = pack(FRAME_MAGIC, len(payload), index, durable)
        parts += (head, pack_crc(crc32(payload, crc32(head, salt))), payload)
    return b"".join(parts)


def scan(data: bytes) -> Scan | None:
    """The frames of a segment's content; None where its header is damaged."""
    if len(data) < HEADER_BYTES:
        return None
    magic, first_index, salt = _HEADER.unpack_from(data)
    (checksum,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != SEGMENT_MAGIC or checksum != zlib.crc32(data[: _HEADER.size]):
        return None
    found = Scan(first_index, salt)
    at = HEADER_BYTES
    while (frame := _frame(data, at, salt)) is not None and frame[1] == found.next_index:
        at, _, _, payload = frame
        found.payloads.append(payload)
        found.ends.append(at)
    found.lost = _lost(data, at, found.next_index, salt)
    return found


def _frame(data: bytes, at: int, salt: int) -> tuple[int, int, int, bytes] | None:
    """End, index, durable and payload of the frame at an offset; None where none is valid."""
    start = at + FRAME_BYTES
    if start > len(data):
        return None
    magic, length, index, durable = _FRAME.unpack_from(data, at)
    if magic != FRAME_MAGIC or start + length > len(data):
        return None
    payload = data[start : start + length]
    (checksum,) = _CRC.unpack_from(data, at + _FRAME.size)
    if checksum != zlib.crc32(payload, zlib.crc32(data[at : at + _FRAME.size], salt)):
        return None
    return start + length, index, durable, payload


def _lost(data: bytes, end: int, next_index: int, salt: int) -> str:
    """The reason why what follows the valid frames is no torn tail; "" where it is one."""
    at = end
    while (at := data.find(FRAME_MAGIC, at)) >= 0:
        frame = _frame(data, at, salt)
        if frame is not None:
            _, index, durable, _ = frame
            if durable > next_index:
                return f"entry {index} behind it says that {durable} entries were on the disk"
            if index < next_index:
                return f"entry {index} comes again behind it"
        at += 1
    return ""
