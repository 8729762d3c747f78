"""The matchers of one state of the rules: for each tenant and direction, made when first asked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, get_args

from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Direction, RuleSet
from serve.governance.filtering.word_parts import SharedParts

INLINE_WORDS: Final = 2000
"""Automatons of more words are made on a thread."""


class Matchers:
    """Matchers of a rules file. Tenants and directions of the same rules share one.

    Args:
        rules: the file's.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self._shared = SharedParts()
        self._made: dict[tuple[bool, tuple[int, ...]], Matcher] = {}
        self._coming: dict[tuple[bool, tuple[int, ...]], asyncio.Task[Matcher]] = {}

    def prepare(self) -> None:
        """Make those of tenants without rules of their own: nobody waits for them then."""
        for direction in get_args(Direction):
            own = tuple(self.rules.of("", direction))
            key = False, tuple(map(id, own))
            if key not in self._made:
                self._made[key] = Matcher(own, shared=self._shared)

    async def of(self, tenant: str, direction: Direction | None) -> Matcher:
        """The rules of a tenant and a direction; None is both, and blocks nothing.

        Whoever asks while it is made waits for the same one.
        """
        only_counts = direction is None
        own = tuple(self.rules.of(tenant, direction))
        key = only_counts, tuple(map(id, own))
        if (made := self._made.get(key)) is not None:
            return made
        make = partial(Matcher, own, only_counts=only_counts, shared=self._shared)
        if sum(len(rule.words) for rule in own) <= INLINE_WORDS:
            found = self._made[key] = make()
            return found
        if key not in self._coming:
            self._coming[key] = asyncio.create_task(asyncio.to_thread(make))
        try:
            self._made[key] = await asyncio.shield(self._coming[key])
        finally:
            if (task := self._coming.get(key)) is not None and task.done():
                del self._coming[key]
        return self._made[key]
