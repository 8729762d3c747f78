"""The filter's stages: the one that ends a choice at the first hit, and the one for token ids."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from serve.errors import ContentFilterFailed
from serve.governance.filtering.edges import NO_EDGES, Edges
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.scanning import Scanner
from serve.governance.filtering.told_tokens import ToldTokens
from serve.pipeline.events import ChoiceEvent, Finished, TextDelta, TokenIds, ToolCallDelta

log = logging.getLogger(__name__)

_CUT = ("content_filter", "error")
FAILED = "The content filter failed on this answer, so no more of it is sent."


class FilterStage:
    """Ends a choice where a rule hits its content, reasoning or tool arguments (a Stage).

    Each of them is a text of its own: what was held of one is released where another begins.

    Args:
        has_json: the content is JSON, in which escapes are read as what they stand for.
        edges: of content and reasoning: which of the two goes on from what stands before is not
            known.
        on_hit: told of each rule that hits; of one that counts, once for each choice.
        on_failure: told where the filter fails; the choice ends by an error then.
    """

    def __init__(
        self,
        index: int,
        matcher: Matcher,
        *,
        has_json: bool = False,
        edges: Edges = NO_EDGES,
        on_hit: Callable[[Rule], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._index = index
        self._matcher = matcher
        self._has_json = has_json
        self._edges = edges
        self._on_hit = on_hit
        self._on_failure = on_failure
        self._scanners: dict[str | int, Scanner] = {}
        self._last: ChoiceEvent | None = None  # whose text is held
        self._tokens = ToldTokens()
        self._told: list[ChoiceEvent] = []
        self._counted: set[Rule] = set()

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events up to the first hit, and ``Finished("content_filter")`` if there is one."""
        self._told = []
        try:
            for event in events:
                rule = self._blocked_at(event)
                if rule is not None:
                    self._on_hit(rule)
                    self._told.append(Finished(index=self._index, reason="content_filter"))
                    break
        except Exception:  # whatever it is: nothing passes that was not filtered
            log.exception("content filter failed, the answer is ended")
            self._on_failure()
            failed = Finished(index=self._index, reason="error", error=ContentFilterFailed(FAILED))
            return [failed]
        return self._told

    def _blocked_at(self, event: ChoiceEvent) -> Rule | None:
        """Tell what may be told of an event. Returns the rule that ends the choice in it."""
        if isinstance(event, TokenIds):
            self._told.append(event)
            return None
        if isinstance(event, TextDelta) and not event.text:
            self._tokens.take(event)
            self._tell_text(event, "")
            return None
        key = _key(event)
        if self._last is not None and _key(self._last) != key:
            rule = self._paused(is_end=isinstance(event, Finished))
            if rule is not None:
                return rule
        if isinstance(event, TextDelta):
            self._tokens.take(event)
            return self._scanned(event, event.text)
        if isinstance(event, ToolCallDelta):
            if event.name is not None or event.call_id is not None:
                self._told.append(replace(event, arguments=""))
            return self._scanned(event, event.arguments) if event.arguments else None
        self._tell_text(None, "", is_end=True)
        self._told.append(event)
        return None

    def _scanned(self, event: TextDelta | ToolCallDelta, text: str) -> Rule | None:
        scanner = self._scanner(event)
        self._last = event
        self._tell_text(event, scanner.feed(text))
        self._count(scanner)
        return scanner.blocked_by

    def _paused(self, *, is_end: bool) -> Rule | None:
        """Release what is held of the text that ends."""
        last, self._last = self._last, None
        if last is None:
            return None
        scanner = self._scanner(last)
        self._tell_text(last, scanner.finish() if is_end else scanner.pause())
        self._count(scanner)
        return scanner.blocked_by

    def _tell_text(self, event: ChoiceEvent | None, text: str, *, is_end: bool = False) -> None:
        if isinstance(event, ToolCallDelta):
            if text:
                self._told.append(replace(event, call_id=None, name=None, arguments=text))
            return
        tokens = self._tokens.rest() if is_end else self._tokens.told(len(text))
        if text or tokens:
            channel = event.channel if isinstance(event, TextDelta) else "content"
            self._told.append(
                TextDelta(index=self._index, text=text, channel=channel, logprobs=tokens)
            )

    def _scanner(self, event: ChoiceEvent) -> Scanner:
        key = _key(event)
        if key not in self._scanners:
            has_escapes = isinstance(key, int) or (self._has_json and key == "content")
            edges = NO_EDGES if isinstance(key, int) else self._edges
            self._scanners[key] = Scanner(self._matcher, has_escapes=has_escapes, edges=edges)
        return self._scanners[key]

    def _count(self, scanner: Scanner) -> None:
        for rule in scanner.counted:
            if rule not in self._counted:
                self._counted.add(rule)
                self._on_hit(rule)


class HeldIds:
    """Holds the ids of a choice's tokens to its end; one that the filter cut has none (a Stage).

    Ids name tokens, and come before the text that they stand for.
    """

    def __init__(self, index: int) -> None:
        self._index = index
        self._ids: list[int] = []

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """The events, with all ids before the end."""
        told: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TokenIds):
                self._ids += event.token_ids
                continue
            is_whole = isinstance(event, Finished) and event.reason not in _CUT
            if is_whole and self._ids:
                told.append(TokenIds(index=self._index, token_ids=tuple(self._ids)))
            told.append(event)
        return told


def _key(event: ChoiceEvent) -> str | int:
    """The text that an event is of: a channel, or the number of a call; none at the end."""
    if isinstance(event, TextDelta):
        return event.channel
    return event.call if isinstance(event, ToolCallDelta) else ""
