"""Token ids of spans of rendered prompts, kept so that a conversation's next turn is cheap.

One owner's spans are never another's: whether a text is known shows in the time that it takes. What
is kept is a digest of the text and its ids, not the text.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

MAX_BYTES: Final = 32 << 20
ENTRY_BYTES: Final = 300
"""What an entry costs beside its ids: its key, the objects and their places in a table."""

Key = bytes


class SpanCache:
    """Ids by owner and text; the least recently used go first. Safe for threads.

    Args:
        max_bytes: most bytes of all entries together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._secret = secrets.token_bytes(32)
        self._entries: OrderedDict[Key, array[int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Bytes of all entries, as they are counted."""
        return self._num_bytes

    def key(self, owner: str, kind: str, text: str) -> Key:
        """The key of a text.

        Args:
            owner: who alone may have the entry: the salt of the prefix cache.
            kind: of the tokenizer, where one text has other ids by another.
        """
        head = f"{len(owner)}:{owner}{len(kind)}:{kind}".encode()
        body = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(head + body, digest_size=16, key=self._secret).digest()

    def get(self, key: Key) -> Sequence[int] | None:
        """The ids; None where they are not known."""
        with self._lock:
            ids = self._entries.get(key)
            if ids is not None:
                self._entries.move_to_end(key)
            return ids

    def put(self, key: Key, ids: Sequence[int]) -> None:
        """Keep ids. Those that alone are more than a quarter of the room are not kept."""
        packed = array("I", ids)
        size = _size(packed)
        if size * 4 > self._max_bytes:
            return
        with self._lock:
            known = self._entries.pop(key, None)
            if known is not None:
                self._num_bytes -= _size(known)
            self._entries[key] = packed
            self._num_bytes += size
            while self._num_bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._num_bytes -= _size(oldest)


def _size(ids: array[int]) -> int:
    return len(ids) * ids.itemsize + ENTRY_BYTES
