"""Names for blocks of the KV cache: a chain of hashes over all that led to a block's content.

::

    root  = H(salt, adapter)
    key_0 = H(root,  tokens of block 0)
    key_1 = H(key_0, tokens of block 1)   …

Two blocks of one key hold the keys and values of the same tokens behind the same tokens, of the
same tenant and the same adapter. H is SHA-256: a client who could make two prompts of one key would
read another's answers (CVE-2025-25183 was a hash for tables).
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence


def root_key(salt: str | None, adapter: str | None) -> bytes:
    """The key that the first block of a sequence follows."""
    digest = hashlib.sha256()
    # Lengths first, so that no pair of names reads as another pair.
    for part in (salt, adapter):
        raw = b"" if part is None else part.encode()
        digest.update(b"-" if part is None else str(len(raw)).encode() + b":" + raw)
    return digest.digest()


def chained(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """The key of a block of these tokens behind the block of ``parent``."""
    return hashlib.sha256(parent + array("q", token_ids).tobytes()).digest()
