"""The real kind of a file, by its first bytes: an archive, a program or a pickle in disguise.

A loader may go by content where we went by the suffix (``torch.load`` opens a zip of any name), so
a text file that begins like one of these is refused. Values: file(1)'s database, and pickletools
for pickle's opcodes.
"""

from __future__ import annotations

import re
from pathlib import Path

from models import plain_file

MAGIC: tuple[tuple[bytes, str], ...] = (
    *((bytes((0x80, protocol)), "a pickle") for protocol in range(2, 6)),
    (b"PK\x03\x04", "a zip archive, as torch's pickles are"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program or Java class"),
    (b"\x00asm", "a WebAssembly program"),
    (b"#!", "a script"),
    (b"GGUF", "a GGUF model"),
    (b"\x89HDF", "an HDF5 archive"),
    (b"\x93NUMPY", "a numpy array, which may hold a pickle"),
)

# Protocols 0 and 1 are text: a GLOBAL opcode, or a MARK and an INST, then what uses them.
_TEXT_PICKLE = re.compile(
    rb"\(*[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n(?:p\d+\n|q[\x00-\x20]|\)[R\x81]|\((?:S['\"]|[VXc]))"
)
_PYC = re.compile(rb"[\x00-\xff][\x0c-\x0f]\r\n")
_TAR_AT, _TAR = 257, b"ustar"
HEAD_BYTES = 512


def disguise(path: Path) -> str | None:
    """The kind of the file, when it is one of those above; else None.

    Raises:
        OSError: it cannot be read.
    """
    with plain_file.opened(path) as file:
        return kind_of(file.read(HEAD_BYTES))


def kind_of(head: bytes) -> str | None:
    """The same, from the first ``HEAD_BYTES`` bytes."""
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if _TEXT_PICKLE.match(head):
        return "a pickle"
    if _PYC.match(head):
        return "compiled Python"
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "a tar archive"
    return None
