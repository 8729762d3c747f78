"""Deriving a model's dialect from its chat template: sentinels go in, and the literals around them
come out.

The idea of comparing renderings is llama.cpp's; here the template itself runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serve.pipeline.model_dialects.call_forms import (
    Form,
    ReadForm,
    common_prefix,
    common_suffix,
    forms,
    numbered,
)
from serve.pipeline.model_dialects.dialect import (
    NAME_MARK,
    CallSyntax,
    ModelDialect,
    ReasoningSyntax,
    TaggedCall,
)
from serve.pipeline.model_dialects.probing import (
    CONTENT,
    FIRST,
    KEYS,
    NUMBER,
    SECOND,
    THOUGHT,
    VALUES,
    Probe,
    calls,
)
from serve.pipeline.model_dialects.verifying import holds_sentinels, reads_back

THINK_TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("◁think▷", "◁/think▷"),
)
"""Tags that a template may cut out of its history without ever writing them."""
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_text")
_BOTH = dict(zip(KEYS, VALUES, strict=True))


def derive(probe: Probe, source: str) -> ModelDialect:
    """The dialect of a template; its parts are None where it says nothing of them.

    Args:
        source: the template's own text, in which tags are looked for that no rendering shows.
    """
    reasoning = _reasoning(probe, source)
    opened, closed = _content(probe, reasoning)
    if reasoning is not None and opened and reasoning.close.endswith(opened):
        close = reasoning.close.removesuffix(opened)
        reasoning = replace(reasoning, close=close) if close.strip() else reasoning
    found = ModelDialect(
        name="template",
        source="derived",
        reasoning=reasoning,
        calls=_calls(probe, reasoning),
        content_open=opened,
        content_close=closed,
    )
    return _verified(found, probe)


def _verified(found: ModelDialect, probe: Probe) -> ModelDialect:
    """The dialect without the parts that hold words of ours, or do not read back what the template
    has rendered: a wrong dialect is worse than none.
    """
    if holds_sentinels(found.content_open) or holds_sentinels(found.content_close):
        found = replace(found, content_open="", content_close="")
    if found.reasoning is not None and holds_sentinels(found.reasoning):
        found = replace(found, reasoning=None)
    if found.calls is not None and not reads_back(found, probe, [_BOTH], [_BOTH, _BOTH]):
        found = replace(found, calls=None)
    return found


def _reasoning(probe: Probe, source: str) -> ReasoningSyntax | None:
    thoughts = dict.fromkeys(THOUGHT_FIELDS, THOUGHT)
    opening = probe.opening()
    turns = (({"content": CONTENT}, CONTENT), (calls(_BOTH), FIRST))
    for turn, behind_it in turns:  # some write reasoning before calls alone
        text = probe.answer({**turn, **thoughts}, behind_it)
        if text is None or not 0 <= text.find(THOUGHT) < text.find(behind_it):
            continue
        before, behind = text[: text.find(behind_it)].split(THOUGHT, 1)
        if behind_it == FIRST:
            behind = _closing(behind, probe)
        if not before.strip():
            last = probe.last_atom()  # of a prompt that has opened the reasoning, or closed it
            before = (opening or (last if last.strip() != behind.strip() else "")) + before
        if before.strip() and behind.strip():
            return ReasoningSyntax(open=before.lstrip(), close=behind)
    for opened, closed in THINK_TAGS:
        if closed in source or opening.strip().endswith(opened):
            return ReasoningSyntax(open=f"{opened}\n", close=f"\n{closed}\n\n")
    return None


def _closing(behind: str, probe: Probe) -> str:
    """The literal that closes reasoning, of what stands between it and a call's name."""
    plain = probe.answer(calls(_BOTH), FIRST) or ""
    opened = plain[: plain.find(FIRST)] if FIRST in plain else ""
    return behind[: len(behind) - len(common_suffix(behind, opened, probe.names))]


def _content(probe: Probe, reasoning: ReasoningSyntax | None) -> tuple[str, str]:
    """Literals around content; nothing where there is but white space."""
    thoughts = {} if reasoning is None else dict.fromkeys(THOUGHT_FIELDS, THOUGHT)
    text = probe.answer({"content": CONTENT, **thoughts}, CONTENT)
    plain = probe.answer({"content": CONTENT}, CONTENT)
    if text is None or plain is None or CONTENT not in text:
        return "", ""
    before, behind = text.split(CONTENT, 1)
    if reasoning is not None and THOUGHT in before:
        before = common_suffix(before, plain.split(CONTENT, 1)[0], probe.names)
    for _, closed in THINK_TAGS:
        before = before[before.rfind(closed) + len(closed) :] if closed in before else before
    opened = before.lstrip() if before.strip() else ""
    return opened, behind.rstrip() if behind.strip() else ""


def _calls(probe: Probe, reasoning: ReasoningSyntax | None) -> CallSyntax | None:
    one = _without_reasoning(probe.answer(calls(_BOTH), *VALUES, FIRST), reasoning)
    if one is None or FIRST not in one:
        return None
    two = _without_reasoning(probe.answer(calls(_BOTH, _BOTH), *VALUES, SECOND), reasoning)
    for read in forms(probe.names):
        form = read(one, FIRST)
        if form is None:
            continue
        pair = None if two is None else _pair(two, read)
        outer = _around(one, form, two or "", pair, probe)
        form = numbered(form, pair[1] if pair else None)
        body = form.body
        if isinstance(body, TaggedCall):
            body = _with_other_types(probe, body)
        return CallSyntax(
            body=body,
            pieces=form.pieces,
            lead=_lead(probe, outer),
            **outer,
            **_separators(one),
        )
    return None


def _without_reasoning(text: str | None, reasoning: ReasoningSyntax | None) -> str | None:
    """An answer without the empty reasoning that a template may write before it, and without white
    space at its end.
    """
    if text is None:
        return None
    if reasoning is not None:
        closed = reasoning.close.strip()
        at = text.rfind(closed, 0, text.find(FIRST))
        if at >= 0:
            text = text[at + len(closed) :].lstrip()
    return text.rstrip()


def _pair(two: str, read: ReadForm) -> tuple[Form, Form] | None:
    """Both calls of a turn, in one text; None where a template writes one alone."""
    first = read(two, FIRST)
    second = None if first is None else read(two[first.end :], SECOND)
    if first is None or second is None:
        return None
    shift = first.end
    return first, replace(second, start=second.start + shift, end=second.end + shift)


def _around(
    one: str, form: Form, two: str, pair: tuple[Form, Form] | None, probe: Probe
) -> dict[str, str]:
    """The literals around a call, and between two."""
    before, behind = one[: form.start], one[form.end :]
    if pair is None:
        return {"section_open": "", "open": before, "close": behind.replace(FIRST, NAME_MARK)}
    first, second = pair
    before = two[: first.start]
    between = two[first.end : second.start].replace(FIRST, NAME_MARK)
    behind = two[second.end :].replace(SECOND, NAME_MARK)
    opened = common_suffix(before, between, probe.names)
    rest = between[: len(between) - len(opened)]
    closed = common_prefix(rest, behind, probe.names)
    return {
        "section_open": before[: len(before) - len(opened)],
        "open": opened,
        "close": closed,
        "separator": rest[len(closed) :],
        "section_close": behind[len(closed) :],
    }


def _with_other_types(probe: Probe, body: TaggedCall) -> TaggedCall:
    """The body, with what stands before a value that is no text, where it is something else."""
    text = probe.answer(calls({KEYS[0]: NUMBER, KEYS[1]: VALUES[1]}), *VALUES, FIRST)
    if text is None or KEYS[0] not in text or str(NUMBER) not in text:
        return body
    key_end = text.split(KEYS[0], 1)[1].split(str(NUMBER), 1)[0]
    return body if key_end == body.key_end else replace(body, key_end_other=key_end)


def _lead(probe: Probe, outer: Mapping[str, str]) -> str:
    """The text that the template writes between content and the first call: white space most
    often.
    """
    text = probe.answer(calls(_BOTH, content=CONTENT), *VALUES, FIRST)
    if text is None or CONTENT not in text:
        return ""
    behind = text.split(CONTENT, 1)[1]
    trigger = (outer["section_open"] + outer["open"]).strip()
    if not trigger:
        return behind[: len(behind) - len(behind.lstrip())]
    return behind.partition(trigger)[0] if trigger in behind else ""


def _separators(text: str) -> dict[str, Any]:
    """The separators of JSON as the template writes them."""
    match = re.search(rf'"{KEYS[0]}"(\s*:\s*)"{VALUES[0]}"(\s*,\s*)"{KEYS[1]}"', text)
    if match is None:
        return {}
    return {"key_separator": match[1], "item_separator": match[2]}
