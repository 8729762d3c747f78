"""Verifying a derived dialect: it holds nothing of the probes, and reads back what they gave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from serve.pipeline.events import Finished, TextDelta, ToolCallDelta
from serve.pipeline.model_dialects.dialect import ModelDialect, texts_of
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.model_dialects.probing import (
    CONTENT,
    FIRST,
    IDS,
    KEYS,
    NUMBER,
    SECOND,
    THOUGHT,
    USER,
    VALUES,
    Probe,
    calls,
)

_SENTINELS = (USER, CONTENT, THOUGHT, FIRST, SECOND, *KEYS, *VALUES, *IDS, str(NUMBER))


def holds_sentinels(value: Any) -> bool:
    """Whether a literal of a dialect, or of a part of one, has a word of ours in it."""
    return any(word in text for text in texts_of(value) for word in _SENTINELS)


def reads_back(found: ModelDialect, probe: Probe, *turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether calls are read as they were meant, in what the template renders of them.

    Args:
        turns: the arguments of the calls of each turn; what a template does not render in full is
            not asked.
    """
    if holds_sentinels(found.calls):
        return False
    for arguments in turns:
        text = probe.answer(calls(*arguments), *VALUES, *(FIRST, SECOND)[: len(arguments)])
        names = [FIRST, SECOND][: len(arguments)]
        if text is None or not all(name in text for name in names):
            continue
        if _read(found, text) != list(zip(names, arguments, strict=True)):
            return False
    return True


def _read(found: ModelDialect, text: str) -> list[tuple[str, Any]]:
    """The calls in a text by their names, with their arguments."""
    parser = AnswerParser(index=0, dialect=found, tools={FIRST: None, SECOND: None})
    told: list[tuple[str, list[str]]] = []
    events = [
        *parser.feed([TextDelta(index=0, text=text)]),
        *parser.feed([Finished(index=0, reason="stop")]),
    ]
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.name is not None:
                told.append((event.name, []))
            told[-1][1].append(event.arguments)
    return [(name, _loaded("".join(parts))) for name, parts in told]


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
