"""Outlines of the callers that came of late: who asks twice has its accounts named once."""

from __future__ import annotations

from dataclasses import dataclass

from serve.governance.limits.accounts import Outline, outline_of
from serve.governance.limits.rules import Limit, Rules
from serve.governance.principal import Principal

MAX_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    rules: Rules
    limits: tuple[Limit, ...]
    from_ms: int
    outline: Outline


class Outlines:
    """Outlines by caller and model, for as long as its limits and the day are the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], _Kept] = {}

    def outline(
        self,
        rules: Rules,
        limits: tuple[Limit, ...],
        principal: Principal,
        model: str,
        *,
        now_ms: int,
    ) -> Outline:
        """The outline as ``outline_of`` makes it now."""
        name = (principal.tenant, principal.owner, principal.key_id, model)
        kept = self._kept.get(name)
        if (
            kept is not None
            and kept.rules is rules
            and kept.limits == limits
            and kept.from_ms <= now_ms < kept.outline.until_ms
        ):
            return kept.outline
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        outline = outline_of(rules, limits, principal, model, now_ms=now_ms)
        self._kept[name] = _Kept(rules, limits, now_ms, outline)
        return outline
