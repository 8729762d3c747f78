"""The body of ``POST /add-checkpoint``, as c2sp.org/tlog-witness writes it::

old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=     (zero to 63 hashes)
(an empty line)
example.com/behind-the-sofa                      (the checkpoint, a signed note)
...
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serve.governance.audit.tlog.hashing import HASH_BYTES
from serve.governance.audit.tlog.keys import strict_base64

MAX_BODY_BYTES: Final = 1 << 16
MAX_PROOF_LINES: Final = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checkpoint, and the proof that it grew from the one of ``old_size``.

    Attributes:
        checkpoint: the signed note's bytes.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes


def parse(body: bytes) -> Submission:
    """The parts of a body.

    Raises:
        ValueError: it is not of the form; the message says which line.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"the body has more than {MAX_BODY_BYTES} bytes")
    head, separator, checkpoint = body.partition(b"\n\n")
    if not separator:
        raise ValueError("no empty line stands before the checkpoint")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ValueError("what stands before the checkpoint is not ASCII") from None
    match = _OLD.fullmatch(first)
    if match is None:
        raise ValueError("the first line is not `old` and a size")
    if len(lines) > MAX_PROOF_LINES:
        raise ValueError(f"the proof has {len(lines)} lines, at most {MAX_PROOF_LINES} are read")
    proof = tuple(_hash(line, number) for number, line in enumerate(lines, 2))
    return Submission(old_size=int(match[1]), proof=proof, checkpoint=checkpoint)


def written(old_size: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The body for a checkpoint."""
    lines = [f"old {old_size}", *(base64.b64encode(step).decode() for step in proof)]
    return "\n".join(lines).encode() + b"\n\n" + checkpoint


def _hash(line: str, number: int) -> bytes:
    try:
        data = strict_base64(line)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES:
        raise ValueError(f"line {number} is not a SHA-256 hash in base64")
    return data
