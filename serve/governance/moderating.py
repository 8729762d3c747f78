"""Moderation: what rules find in a text that somebody asks about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from serve.governance.principal import Principal
from serve.observe.record import RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """The findings of rules in one text.

    Attributes:
        categories: of the rules, those of OpenAI first.
        flagged: of these, the ones that a rule hit.
        rules: that hit, each ``<rule>@<version>``.
    """

    categories: tuple[str, ...]
    flagged: frozenset[str]
    rules: tuple[str, ...]


class Moderator(Protocol):
    """Rules for texts, which answer for them."""

    async def moderate(
        self, principal: Principal, record: RequestRecord, texts: Sequence[str]
    ) -> tuple[str, list[Moderation]]:
        """The rules' version, and what those of the caller's tenant find in each text.

        Raises:
            RequestError: the texts cannot be looked at.
        """
        ...
