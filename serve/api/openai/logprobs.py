r"""Log-probabilities as OpenAI's JSON, of chats and of completions.

Tokens that are parts of characters have no text of their own. A chat has their exact bytes beside a
text with U+FFFD; completions, which name a token by its text alone, spell it ``bytes:`` and its
bytes (``bytes:\xf0\x9f``), as OpenAI's own do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from serve.pipeline.events import TokenText

LOWEST_LOGPROB = -9999.0
"""OpenAI's word for "very unlikely": JSON has no minus infinity."""


def chat_logprobs(tokens: Sequence[TokenText], *, by_id: bool = False) -> dict[str, Any]:
    """``logprobs`` of a chat's choice or of one of its chunks.

    Args:
        by_id: tokens are named ``token_id:`` and their id (vLLM's return_tokens_as_token_ids).
    """
    content = [
        {
            **_token(token, by_id=by_id),
            "top_logprobs": [_token(other, by_id=by_id) for other in token.top],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def text_logprobs(tokens: Sequence[TokenText], *, by_id: bool = False) -> dict[str, Any]:
    """``logprobs`` of a completion's choice or of one of its chunks.

    Offsets count characters from the start of the choice's text, over all its chunks. That of a
    part of a character is the character's. A prompt's first token has no log-probabilities.

    Args:
        by_id: tokens are named ``token_id:`` and their id.
    """
    name = _id_name if by_id else _spelt
    return {
        "text_offset": [token.offset for token in tokens],
        "token_logprobs": [_told(token.logprob) for token in tokens],
        "tokens": [name(token) for token in tokens],
        "top_logprobs": [
            None if token.logprob is None else _by_name(token, by_id=by_id) for token in tokens
        ],
    }


def prompt_logprobs(tokens: Sequence[TokenText]) -> list[dict[str, Any] | None]:
    """VLLM's ``prompt_logprobs``: for each token of a prompt itself and the likeliest at its place.

    Ranks count from 1, the likeliest; the first token has none of it.
    """
    return [None if token.logprob is None else _ranked(token) for token in tokens]


def _ranked(token: TokenText) -> dict[str, Any]:
    ranked = {str(token.token_id): _decoded(token, token.rank)}
    for rank, other in enumerate(token.top, start=1):
        ranked.setdefault(str(other.token_id), _decoded(other, rank))
    return ranked


def _decoded(token: TokenText, rank: int | None) -> dict[str, Any]:
    return {"logprob": _finite(token.logprob), "rank": rank, "decoded_token": token.text}


def _token(token: TokenText, *, by_id: bool) -> dict[str, Any]:
    text = _id_name(token) if by_id else token.text
    return {"token": text, "logprob": _finite(token.logprob), "bytes": list(token.raw)}


def _by_name(token: TokenText, *, by_id: bool) -> dict[str, float]:
    """The most likely tokens at a token's place and, where it is none of them, the token itself."""
    named = {_id_name(token) if by_id else _spelt(token): _finite(token.logprob)}
    others: dict[str, float] = {}
    is_among = False
    for other in token.top:
        if not is_among and _is_same(token, other):
            is_among = True
            others |= named
        else:
            taken = named.keys() | others.keys()
            name = _id_name(other) if by_id else _free_name(other, taken)
            others[name] = _finite(other.logprob)
    return others | named


def _id_name(token: TokenText) -> str:
    return f"token_id:{token.token_id}"


def _is_same(token: TokenText, other: TokenText) -> bool:
    if token.token_id is None or other.token_id is None:
        return (token.text, token.raw) == (other.text, other.raw)
    return token.token_id == other.token_id


def _spelt(token: TokenText) -> str:
    """A token's text; ``bytes:`` and its bytes where it is a part of a character."""
    try:
        return token.raw.decode() or token.text
    except UnicodeDecodeError:
        return _in_bytes(token)


def _in_bytes(token: TokenText) -> str:
    return "bytes:" + "".join(
        chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in token.raw
    )


def _free_name(token: TokenText, taken: Collection[str]) -> str:
    """A token's name in an object that already has names: no two tokens become one."""
    name = _spelt(token)
    if name in taken or not name:
        name = _in_bytes(token)
    if name in taken or not token.raw:
        name = token.text or f"token_id:{token.token_id}"
    number = 2
    unnumbered = name = name if name not in taken else f"token_id:{token.token_id}"
    while name in taken:
        name, number = f"{unnumbered}#{number}", number + 1
    return name


def _told(logprob: float | None) -> float | None:
    return None if logprob is None else _finite(logprob)


def _finite(logprob: float | None) -> float:
    if logprob is None:
        return LOWEST_LOGPROB
    return max(LOWEST_LOGPROB, logprob) if math.isfinite(logprob) else LOWEST_LOGPROB
