"""A request's head, read as strictly as the standard lets a server: sizes, forms and framing.

Two readers that take one head in two ways are how requests are smuggled, so whatever another reader
could take otherwise is refused here, before h11 sees it: bare line feeds, folded lines, control
characters, two lengths. A target in absolute form becomes a path, and its authority becomes the one
Host that counts (RFC 9112, section 3.2.2), so that whoever reads the Host later reads the same.

Source: RFC 9112, sections 2.2, 2.3, 3, 5 and 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from serve.api.http.middleware import MAX_HEADERS
from serve.errors import HeadersTooLarge, HttpVersionNotSupported, InvalidRequest

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
FIELD_LINE: Final = _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"
"""A header or trailer line; every part takes all it can (no way back, so linear time)."""

TOKEN_BYTE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")

_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]++) HTTP/([0-9]\.[0-9])")
_FIELDS = re.compile(rb"(?:" + FIELD_LINE + rb")*+\r\n")
_FRAMING = re.compile(rb"\n(content-length|transfer-encoding):[ \t]*+([^\r]*)", re.IGNORECASE)
_HOST = re.compile(rb"\nhost:[^\r]*", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_ABSOLUTE = re.compile(
    rb"http://((?:[0-9A-Za-z._~!$&'()*+,;=%-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5})?)([/?][^#]*|)",
    re.IGNORECASE,
)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*+://")


@dataclass(frozen=True, slots=True)
class Head:
    """A head that was checked, and where the body behind it ends.

    Attributes:
        data: the head as h11 shall read it, with its blank line.
        length: bytes of the body; None where it comes in chunks.
    """

    data: bytes
    length: int | None


def check_request_line(line: bytes) -> None:
    """Refuse a request line (without its line end) that this server does not speak.

    Raises:
        HttpVersionNotSupported: it is well-formed, of a version other than 1.0 and 1.1.
        InvalidRequest: it is not a request line.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise InvalidRequest(
            "The request line is not 'METHOD TARGET HTTP/1.1', one space between each."
        )
    if match[3] not in (b"1.1", b"1.0"):
        raise HttpVersionNotSupported(
            f"The request is HTTP/{match[3].decode()}: this server speaks HTTP/1.1 and 1.0."
        )


def read_head(head: bytes, max_bytes: int) -> Head:
    """A whole head, from its request line to its blank line, checked.

    Raises:
        HeadersTooLarge: it has more than ``max_bytes`` bytes or MAX_HEADERS headers.
        HttpVersionNotSupported: see ``check_request_line``.
        InvalidRequest: it breaks the standard, or could be read in two ways.
    """
    check_size(len(head), max_bytes)
    num_headers = head.count(b"\n") - 2
    if num_headers > MAX_HEADERS:
        raise HeadersTooLarge(f"The request has {num_headers} headers: at most {MAX_HEADERS}.")
    line, _, fields = head.partition(b"\r\n")
    check_request_line(line)
    if not _FIELDS.fullmatch(fields):
        raise InvalidRequest(_fault_of(fields))
    _check_hosts(head, is_old=line.endswith(b"1.0"))
    length = _length_of(head, is_old=line.endswith(b"1.0"))
    if not line.partition(b" ")[2].startswith((b"/", b"*")):
        head = _in_origin_form(head, line)
    return Head(head, length)


def check_size(num_bytes: int, max_bytes: int) -> None:
    """Refuse a head, or what there is of it, that is too large. Raises HeadersTooLarge."""
    if num_bytes > max_bytes:
        raise HeadersTooLarge(
            f"The request line and headers have {num_bytes} bytes or more: at most {max_bytes}."
        )


def _fault_of(fields: bytes) -> str:
    """The fault of header lines that are not what they should be, in words."""
    for line in fields.split(b"\r\n"):
        if line.startswith((b" ", b"\t")):
            return "A header is folded over two lines: send it in one."
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line):
            return "A header holds a control character: send none but tabs."
        if line and not re.match(_TOKEN + b":", line):
            return "A header line is not 'Name: value', without a space before the colon."
    return "The headers break HTTP's rules."


def _check_hosts(head: bytes, *, is_old: bool) -> None:
    """Refuse a head with too many or too few hosts (section 3.2 of RFC 9112)."""
    num_hosts = len(_HOST.findall(head))
    if num_hosts > 1:
        raise InvalidRequest(f"The request has {num_hosts} Host headers: send one.")
    if not num_hosts and not is_old:
        raise InvalidRequest("The request has no Host header: HTTP/1.1 needs one.")


def _length_of(head: bytes, *, is_old: bool) -> int | None:
    """The body's length, None where it is chunked (section 6.3). Raises InvalidRequest."""
    found = _FRAMING.findall(head)
    if not found:
        return 0
    if len(found) > 1:
        raise InvalidRequest(
            "The request says more than once where its body ends: send one Content-Length or one "
            "Transfer-Encoding header, and not both."
        )
    name, value = found[0]
    value = value.rstrip(b" \t")
    if name.lower() == b"content-length":
        if not _LENGTH.fullmatch(value):
            raise InvalidRequest(
                "The Content-Length header is not a number of bytes: send 1 to 15 digits."
            )
        return int(value)
    if value.lower() != b"chunked":
        raise InvalidRequest(
            "The Transfer-Encoding is not 'chunked', which is the only one that this server takes."
        )
    if is_old:
        raise InvalidRequest("HTTP/1.0 has no Transfer-Encoding: send a Content-Length.")
    return None


def _in_origin_form(head: bytes, line: bytes) -> bytes:
    """The head with a path for its target, and the target's authority for its Host.

    A target that is no URL (as CONNECT has it) is left to the application, which knows no such
    route. Raises InvalidRequest for a URL that cannot mean this server.
    """
    method, target, version = line.split(b" ")
    if not _SCHEME.match(target):
        return head
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise InvalidRequest(
            "The request's target is not a path, nor 'http://HOST[:PORT]/PATH' without a user's "
            "name and a fragment."
        )
    authority, path = match.groups()
    if not path.startswith(b"/"):
        path = b"/" + path
    fields = head[len(line) + 1 :]  # from the line feed, by which a header's name is found
    host = b"\nHost: " + authority
    fields, num_hosts = _HOST.subn(lambda _match: host, fields)
    if not num_hosts:
        fields = host + b"\r" + fields
    return b"%b %b %b\r%b" % (method, path, version, fields)
