"""Prompts that were computed of late, by owner: what a new prompt's beginning is looked up in.

An owner is the salt of the prefix cache with the adapter; nothing is ever compared between two. The
room is counted in tokens. Where it is full the tenant that has the most gives way, its least
recently used prompt first: nobody can push out all others.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from serve.pipeline.prefix.parts import Answer, Parts

MAX_TOKENS: Final = 4_000_000
"""16 MB of ids; 61 contexts of 64k."""
PROMPT_TOKENS: Final = 512
"""What a prompt costs beside its ids, in tokens of four bytes: its parts and the objects."""
MAX_PROMPTS: Final = 32
"""Most prompts of one owner, all of which a new one is compared with."""
MAX_ANSWERS: Final = 8
_SIZE = array("I").itemsize


def packed(token_ids: Sequence[int]) -> bytes:
    """Ids as bytes, which compare and are searched in C."""
    return array("I", token_ids).tobytes()


@dataclass(slots=True, eq=False)
class KnownAnswer:
    """An answer behind a prompt.

    Attributes:
        ids: packed, of the tokens that were computed: the last one never is.
        parts: None where it never came to its end.
    """

    ids: bytes
    parts: Answer | None = None


@dataclass(slots=True, eq=False)
class KnownPrompt:
    """A prompt that was computed.

    Attributes:
        ids: packed.
        answers: the newest ones, oldest first.
    """

    ids: bytes
    parts: Parts
    answers: list[KnownAnswer] = field(default_factory=list)

    @property
    def num_tokens(self) -> int:
        """Tokens that it counts for."""
        num_bytes = len(self.ids) + sum(len(answer.ids) for answer in self.answers)
        return num_bytes // _SIZE + PROMPT_TOKENS


@dataclass(frozen=True, slots=True)
class Match:
    """The longest prefix of a prompt that is known, and of what.

    Attributes:
        num_tokens: of the prefix.
        answer: the one that the prefix leads into, or ends at the beginning of, if there is one.
        is_whole: whether all that is known there is in the prefix.
    """

    num_tokens: int
    prompt: KnownPrompt
    answer: KnownAnswer | None
    is_whole: bool


@dataclass(slots=True)
class _Tenant:
    num_tokens: int = 0
    prompts: OrderedDict[int, tuple[str, KnownPrompt]] = field(default_factory=OrderedDict)


class KnownPrompts:
    """The prompts of all owners.

    Args:
        max_tokens: most tokens of all prompts and answers together.
    """

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens
        self._num_tokens = 0
        self._tenants: dict[str, _Tenant] = {}
        self._owners: dict[str, list[KnownPrompt]] = {}

    @property
    def num_tokens(self) -> int:
        """Tokens of all that is kept, as they are counted."""
        return self._num_tokens

    def longest(self, owner: str, ids: bytes) -> Match | None:
        """The longest prefix of a prompt among an owner's; None where no token of it is known."""
        best: Match | None = None
        for prompt in reversed(self._owners.get(owner, [])):
            match = _match(prompt, ids)
            if match.num_tokens > (best.num_tokens if best else 0):
                best = match
        return best

    def add(self, tenant: str, owner: str, ids: bytes, parts: Parts) -> KnownPrompt:
        """Remember a prompt that is computed. Those that it only continues are forgotten."""
        prompts = self._owners.setdefault(owner, [])
        for old in list(prompts):
            if old.ids == ids:
                self._remove(tenant, owner, old)
                self._insert(tenant, owner, old)
                return old
            if ids.startswith(old.ids) and _is_continued(old, ids):
                self._remove(tenant, owner, old)
        if len(prompts) >= MAX_PROMPTS:
            self._remove(tenant, owner, prompts[0])
        made = KnownPrompt(ids, parts)
        self._insert(tenant, owner, made)
        self._make_room()
        return made

    def answered(self, tenant: str, prompt: KnownPrompt, answer: KnownAnswer) -> None:
        """Remember an answer to a prompt, if the prompt is still known."""
        holder = self._tenants.get(tenant)
        if holder is None or id(prompt) not in holder.prompts:
            return
        before = prompt.num_tokens
        prompt.answers = [*prompt.answers[1 - MAX_ANSWERS :], answer]
        holder.num_tokens += prompt.num_tokens - before
        self._num_tokens += prompt.num_tokens - before
        self._make_room()

    def _insert(self, tenant: str, owner: str, prompt: KnownPrompt) -> None:
        holder = self._tenants.setdefault(tenant, _Tenant())
        holder.prompts[id(prompt)] = (owner, prompt)
        holder.num_tokens += prompt.num_tokens
        self._num_tokens += prompt.num_tokens
        self._owners.setdefault(owner, []).append(prompt)

    def _remove(self, tenant: str, owner: str, prompt: KnownPrompt) -> None:
        holder = self._tenants[tenant]
        del holder.prompts[id(prompt)]
        holder.num_tokens -= prompt.num_tokens
        self._num_tokens -= prompt.num_tokens
        prompts = self._owners[owner]
        prompts.remove(prompt)
        if not prompts:
            del self._owners[owner]
        if not holder.prompts:
            del self._tenants[tenant]

    def _make_room(self) -> None:
        while self._num_tokens > self._max_tokens:
            tenant = max(self._tenants, key=lambda name: self._tenants[name].num_tokens)
            owner, oldest = next(iter(self._tenants[tenant].prompts.values()))
            self._remove(tenant, owner, oldest)


def _match(prompt: KnownPrompt, ids: bytes) -> Match:
    num_tokens = common(prompt.ids, ids)
    size = len(prompt.ids)
    if num_tokens * _SIZE < size:
        return Match(num_tokens, prompt, None, is_whole=False)
    rest = ids[size:]
    best: KnownAnswer | None = None
    num_more = -1
    for answer in reversed(prompt.answers):
        num = common(answer.ids, rest)
        if num > num_more:
            best, num_more = answer, num
    if best is None:
        return Match(num_tokens, prompt, None, is_whole=True)
    is_whole = num_more * _SIZE == len(best.ids)
    return Match(num_tokens + num_more, prompt, best, is_whole=is_whole)


def _is_continued(old: KnownPrompt, ids: bytes) -> bool:
    """Whether a prompt goes on where an older one, with its one answer, ends."""
    rest = ids[len(old.ids) :]
    return len(old.answers) < 2 and all(rest.startswith(answer.ids) for answer in old.answers)


def common(left: bytes, right: bytes) -> int:
    """The number of packed ids that two begin with."""
    low, high = 0, min(len(left), len(right)) // _SIZE
    if left[: high * _SIZE] == right[: high * _SIZE]:
        return high
    while high - low > 1:  # the first ``low`` are equal, the first ``high`` are not
        middle = (low + high) // 2
        if left[low * _SIZE : middle * _SIZE] == right[low * _SIZE : middle * _SIZE]:
            low = middle
        else:
            high = middle
    return low


def has_in_common(old: bytes, new: bytes, start: int) -> bool:
    """Whether a run of 16 ids that an old prompt has behind a place is in a new one, too.

    Eight runs are tried, spread evenly: a text that goes on as before is found by any of them.

    Args:
        start: the place, in ids.
    """
    run = 16
    num_behind = len(old) // _SIZE - start
    if num_behind < run:
        return False
    behind = new[start * _SIZE :]
    for turn in range(1, 9):
        at = start + (num_behind - run) * turn // 8
        if behind.find(old[at * _SIZE : (at + run) * _SIZE]) >= 0:
            return True
    return False
