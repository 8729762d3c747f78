"""The content filter: a screen of prompts and answers by rules, and what moderations answer from.

It fails closed. What it could not look at, for a defect of its own or for want of time, does not
pass; metric and log say so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from serve.errors import ContentFiltered, ContentFilterFailed
from serve.governance.around import around, candidates_of
from serve.governance.filtering.edges import Edges, edges_of
from serve.governance.filtering.matchers import Matchers
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.prompt_texts import PromptText, has_tokens, texts_of
from serve.governance.filtering.rules import Direction, Rule
from serve.governance.filtering.scanning import hits_of
from serve.governance.filtering.stage import FilterStage, HeldIds
from serve.governance.moderating import Moderation
from serve.governance.principal import Principal
from serve.governance.screening import Screened
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation
from serve.pipeline.stages import Stage

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
INLINE_CHARS: Final = 4096
"""Longer texts are looked at on a thread: the event loop goes on."""


class FilterMetrics(Protocol):
    """Figures of the filter (serve.observe.metrics.Metrics)."""

    def content_filter_hit(self, rule: str, direction: str, action: str) -> None: ...
    def content_filter_failed(self, direction: str) -> None: ...


class ContentFilter:
    """Rules for what prompts and answers may say (a Screen and a Moderator).

    Args:
        matchers: of the rules in force; a request keeps its own, whatever comes into force.
        timeout_s: most seconds for the texts of one request.
    """

    def __init__(
        self,
        matchers: Callable[[], Matchers],
        metrics: FilterMetrics,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._matchers = matchers
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def screen(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Screened:
        """The generation, with the stages that its answer passes.

        Raises:
            ContentFiltered: a rule blocks its prompt.
            ContentFilterFailed: it cannot be looked at.
        """
        matchers = self._matchers()
        rules = matchers.rules
        before = await self._matcher(matchers, principal.tenant, "input")
        behind = await self._matcher(matchers, principal.tenant, "output")
        if before.rules:
            await self._check(before, record, generation)
        if not behind.rules:
            return Screened(generation=generation)

        is_json = generation.format is not None and generation.format.kind == "json_schema"

        edges = await self._edges(behind, generation, is_json=is_json)
        per_prompt = candidates_of(generation)

        def stages(index: int) -> Sequence[Stage]:
            return [
                FilterStage(
                    index,
                    behind,
                    has_json=is_json,
                    edges=edges[index // per_prompt],
                    on_hit=lambda rule: self._note(record, rule, "output"),
                    on_failure=lambda: self._metrics.content_filter_failed("output"),
                )
            ]

        def held_ids(index: int) -> Sequence[Stage]:
            return [HeldIds(index)]

        holds = generation.shows_token_ids and behind.blocks
        return Screened(
            generation=generation,
            stages=stages,
            last_stages=held_ids if holds else None,
            rules=f"content filter {rules.digest}" if rules.digest else None,
        )

    async def moderate(
        self, principal: Principal, record: RequestRecord, texts: Sequence[str]
    ) -> tuple[str, list[Moderation]]:
        """The rules' version, and what those of the caller's tenant find in either direction.

        Raises:
            ContentFilterFailed: they cannot be looked at.
        """
        matchers = self._matchers()
        rules = matchers.rules
        matcher = await self._matcher(matchers, principal.tenant, None)
        told = [PromptText("input", text) for text in texts]
        found = await self._looked_at(matcher, told, "moderation")
        for rule in dict.fromkeys(rule for _, hit in found for rule in hit):
            self._note(record, rule, "moderation")
        return rules.version, [
            Moderation(
                categories=rules.categories,
                flagged=frozenset(rule.category for rule in hit),
                rules=tuple(f"{rule.name}@{rule.version}" for rule in hit),
            )
            for _, hit in found
        ]

    async def _check(self, matcher: Matcher, record: RequestRecord, generation: Generation) -> None:
        if matcher.blocks and has_tokens(generation):
            raise ContentFiltered(
                "The prompt is token ids, which this server's content filter cannot read: send "
                "text.",
                param="prompt",
            )
        texts = texts_of(generation)
        found = await self._looked_at(matcher, texts, "input")
        for rule in dict.fromkeys(rule for _, counted in found for rule in counted):
            self._note(record, rule, "input")
        for text, (blocking, _) in zip(texts, found, strict=True):
            if blocking is not None:
                self._note(record, blocking, "input")
                raise _refusal(blocking, text)

    async def _looked_at(
        self, matcher: Matcher, texts: Sequence[PromptText], direction: str
    ) -> list[tuple[Rule | None, list[Rule]]]:
        """The hits of each text. Raises ContentFilterFailed: whatever fails, nothing passes."""

        def look() -> list[tuple[Rule | None, list[Rule]]]:
            return [hits_of(matcher, one.text, has_escapes=one.has_escapes) for one in texts]

        num_chars = sum(len(one.text) for one in texts)
        return await self._done(look, num_chars, direction)

    async def _edges(
        self, matcher: Matcher, generation: Generation, *, is_json: bool
    ) -> list[Edges]:
        """The edges of each prompt's answers. Raises ContentFilterFailed."""
        texts = [around(prompt) for prompt in generation.prompts]

        def look() -> list[Edges]:
            num_chars = matcher.longest + 1
            return [edges_of(text, num_chars, has_escapes=is_json) for text in texts]

        num_chars = sum(len(text.before) + len(text.after) for text in texts)
        return await self._done(look, num_chars, "output")

    async def _done(self, look: Callable[[], T], num_chars: int, direction: str) -> T:
        """Look at texts of so many characters: whatever fails, nothing passes.

        Raises:
            ContentFilterFailed: it failed, or took too long.
        """
        try:
            if num_chars <= INLINE_CHARS:
                return look()
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.to_thread(look)
        except Exception as error:  # noqa: BLE001 - whatever it is: nothing passes that was not filtered
            raise self._failure(error, direction) from None

    def _failure(self, error: Exception, direction: str) -> ContentFilterFailed:
        """Tell metric and log of a failure. Returns the client's error."""
        log.error("content filter failed, the request is refused", exc_info=error)
        self._metrics.content_filter_failed(direction)
        told = "took too long" if isinstance(error, TimeoutError) else "failed"
        return ContentFilterFailed(f"The content filter {told} on this request, so it is refused.")

    def _note(self, record: RequestRecord, rule: Rule, direction: str) -> None:
        """Write down a hit: in the record, in figures and in the log, and no text of it."""
        self._metrics.content_filter_hit(rule.name, direction, rule.action)
        if rule.verdict not in record.verdicts:
            record.verdicts.append(rule.verdict)
        log.info(
            "content filter hit",
            extra={
                "request_id": record.request_id,
                "rule": rule.name,
                "rule_version": rule.version,
                "direction": direction,
                "action": rule.action,
            },
        )

    async def _matcher(
        self, matchers: Matchers, tenant: str, direction: Direction | None
    ) -> Matcher:
        try:
            return await matchers.of(tenant, direction)
        except Exception as error:  # noqa: BLE001 - the same
            raise self._failure(error, direction or "moderation") from None


def _refusal(rule: Rule, text: PromptText) -> ContentFiltered:
    return ContentFiltered(
        f"The rule '{rule.name}' of the content filter, version {rule.version}, blocks this "
        f"request: {text.param} has what it looks for ({rule.category}). Leave that out, or ask "
        "the operator.",
        param=text.param,
    )
