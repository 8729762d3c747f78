"""Ids of tool calls in nine letters and digits, for templates that take no others (Mistral's).

The same id becomes the same nine characters wherever a conversation names it, in its call and in
its result, at every later turn; two ids never become the same.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NINE = re.compile(r"[a-zA-Z0-9]{9}", re.ASCII)
_ALPHABET = string.ascii_letters + string.digits


def in_nine_characters(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The messages with such ids; the very same where all have nine characters already."""
    table = _table(list(dict.fromkeys(_ids(messages))))
    if not table:
        return messages
    return [_renamed(message, table) for message in messages]


def _ids(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        for call in _calls(message):
            if isinstance(call, Mapping) and isinstance(call.get("id"), str):
                yield call["id"]
        if isinstance(message.get("tool_call_id"), str):
            yield message["tool_call_id"]


def _calls(message: Mapping[str, Any]) -> Sequence[Any]:
    calls = message.get("tool_calls")
    return calls if isinstance(calls, list | tuple) else ()


def _table(ids: Sequence[str]) -> dict[str, str]:
    """Nine characters for each id that has others."""
    taken = {one for one in ids if _NINE.fullmatch(one)}
    table = {}
    for one in ids:
        if one in taken:
            continue
        attempt = 0
        while (short := _short(one, attempt)) in taken:
            attempt += 1
        taken.add(short)
        table[str(one)] = short
    return table


def _short(one: str, attempt: int) -> str:
    digest = hashlib.sha256(f"{attempt}:{one}".encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:16], "big")
    characters = []
    for _ in range(9):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(characters)


def _renamed(message: Mapping[str, Any], table: Mapping[str, str]) -> Mapping[str, Any]:
    renamed = dict(message)
    if isinstance(message.get("tool_call_id"), str):
        renamed["tool_call_id"] = table.get(message["tool_call_id"], message["tool_call_id"])
    if _calls(message):
        renamed["tool_calls"] = [
            {**call, "id": table.get(call["id"], call["id"])}
            if isinstance(call, Mapping) and isinstance(call.get("id"), str)
            else call
            for call in _calls(message)
        ]
    return renamed
