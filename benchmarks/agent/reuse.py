"""Reuse of prompts: what could have been reused, what was, and how time to first token grew.

A turn's prompt begins with the prompt of the turn before and, where the template lets it, with
what the model answered. All of that was computed a moment ago, but for the answer's last token.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

EARLY, LATE = (2, 4), 3
"""Turns whose times to first token are compared: numbers 2 to 4, and the last three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One turn as it was played.

    Attributes:
        conversation: its name.
        number: of the turn in it, from 1.
        first_token_s: time to first token, by the server's metrics where it has them; else, where
            nothing is held back, that to the first event of the stream.
        cached_tokens: of the prompt, as the server tells them; None where it does not.
        num_calls: tools that the answer called.
        is_kept_whole: the next prompt has all of the answer.
        prompt_ids: the server's own where it tells them, else by the model's template.
        output_ids: the server's own; None where it does not tell them.
    """

    conversation: str
    number: int
    first_token_s: float
    first_event_s: float
    first_text_s: float | None
    total_s: float
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    finish_reason: str
    num_calls: int
    is_kept_whole: bool
    prompt_ids: Sequence[int]
    output_ids: Sequence[int] | None

    def as_json(self) -> dict[str, Any]:
        """All but the token ids."""
        values = asdict(self)
        del values["prompt_ids"], values["output_ids"]
        return values


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """The number of tokens with which both begin."""
    for place, (ours, theirs) in enumerate(zip(one, other, strict=False)):
        if ours != theirs:
            return place
    return min(len(one), len(other))


def reusable(before: Played, now: Played) -> int:
    """Tokens of a prompt that were computed for the turn before it in the same conversation.

    Without the answer's own ids it is taken to be in the history token by token: no more could be
    reused than this.
    """
    if before.output_ids is not None:
        return common_prefix(now.prompt_ids, [*before.prompt_ids, *before.output_ids[:-1]])
    shared = common_prefix(now.prompt_ids, before.prompt_ids)
    if shared < len(before.prompt_ids) or not before.is_kept_whole:
        return shared
    return min(shared + max(before.completion_tokens - 1, 0), len(now.prompt_ids) - 1)


def pairs(turns: Sequence[Played]) -> Iterator[tuple[Played, Played]]:
    """Each turn but a conversation's first, behind the one before it in that conversation."""
    for name in dict.fromkeys(turn.conversation for turn in turns):
        yield from pairwise(turn for turn in turns if turn.conversation == name)


def share_reused(turns: Sequence[Played]) -> float | None:
    """Reused tokens over reusable ones, of all turns but the first; None where no server tells.

    Tokens that were cached beyond what the conversation itself has in common do not count.
    """
    could, did = 0, 0
    for before, now in pairs(turns):
        if now.cached_tokens is None:
            return None
        limit = reusable(before, now)
        could += limit
        did += min(now.cached_tokens, limit)
    return did / could if could else None


def figures(turns: Sequence[Played]) -> Mapping[str, float | None]:
    """Figures of all turns that were played in one go on one server.

    - ``share_reused``: of the tokens that could be reused;
    - ``ttft_early_ms``, ``ttft_late_ms``: medians of turns 2 to 4 and of the last three;
    - ``ttft_growth``: the latter as a multiple of the former;
    - ``ttft_ms_p50``: over turns from the second on; ``ttft_first_ms``: of the first ones;
    - ``total_s``: seconds of all turns together;
    - ``tokens_computed``: prompt tokens that were not cached, where told;
    - ``num_cut_answers``: answers with a call that was cut off and so is not in the history;
    - ``num_unlike_prompts``: prompts that the server counts otherwise than the model's template.
    """
    last = max(turn.number for turn in turns)
    later = [turn for turn in turns if turn.number > 1]
    early = [turn for turn in turns if EARLY[0] <= turn.number <= EARLY[1]]
    late = [turn for turn in later if turn.number > last - LATE]
    told = [turn.cached_tokens for turn in turns if turn.cached_tokens is not None]
    prompt_tokens = sum(turn.prompt_tokens for turn in turns)
    early_ms, late_ms = _ttft_ms(early), _ttft_ms(late)
    return {
        "share_reused": share_reused(turns),
        "ttft_first_ms": _ttft_ms([turn for turn in turns if turn.number == 1]),
        "ttft_early_ms": early_ms,
        "ttft_late_ms": late_ms,
        "ttft_growth": late_ms / early_ms if early_ms and late_ms is not None else None,
        "ttft_ms_p50": _ttft_ms(later),
        "total_s": sum(turn.total_s for turn in turns),
        "prompt_tokens": prompt_tokens,
        "tokens_computed": prompt_tokens - sum(told) if len(told) == len(turns) else None,
        "completion_tokens": sum(turn.completion_tokens for turn in turns),
        "last_prompt_tokens": max(turn.prompt_tokens for turn in turns),
        "num_calls": sum(turn.num_calls for turn in turns),
        "num_cut_answers": sum(not turn.is_kept_whole for turn in turns),
        "num_unlike_prompts": sum(turn.prompt_tokens != len(turn.prompt_ids) for turn in turns),
    }


def _ttft_ms(turns: Sequence[Played]) -> float | None:
    return statistics.median(1e3 * turn.first_token_s for turn in turns) if turns else None
