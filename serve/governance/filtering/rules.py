"""Rules of the content filter: for whom, on what, and what is done. Pure values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

Direction = Literal["input", "output"]
Action = Literal["block", "count"]

CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""Those of OpenAI's moderations, which each answer lists. A rules file may have more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of the rules file.

    Attributes:
        version: of the file, or the rule's own.
        words: as they are written; matched folded.
        patterns: RE2's, matched in the folded text.
        is_whole: a word is one only where no letter or digit stands beside it.
        on: the directions that it looks at.
        tenant: for whom; None is for everyone.
    """

    name: str
    version: str
    category: str
    action: Action = "block"
    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    is_whole: bool = False
    on: frozenset[Direction] = frozenset({"input", "output"})
    tenant: str | None = None

    @property
    def verdict(self) -> str:
        """The words of a record for a hit."""
        return f"filter:{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """All that a rules file says.

    Attributes:
        digest: of all that the file says.
        without_default: tenants for which only their own rules hold.
    """

    version: str
    rules: tuple[Rule, ...]
    digest: str = ""
    without_default: frozenset[str] = frozenset()
    categories: tuple[str, ...] = field(default=CATEGORIES)

    @property
    def tenants(self) -> frozenset[str]:
        """Those that have rules of their own, or only their own."""
        return self.without_default | {rule.tenant for rule in self.rules if rule.tenant}

    def of(self, tenant: str, direction: Direction | None = None) -> Iterator[Rule]:
        """The rules for a tenant, in order; None is either direction."""
        for rule in self.rules:
            is_for = rule.tenant == tenant or (
                rule.tenant is None and tenant not in self.without_default
            )
            if is_for and (direction is None or direction in rule.on):
                yield rule
