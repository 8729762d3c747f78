"""The cause for which a prompt left the longest known prefix, and the part where it did.

::

    what the engine took is less than was computed before      evicted, or bypassed where the
                                                               request may not take all of it
    no prompt of this owner has anything to do with it         never_seen
    a part differs, and it stands where the prompts part       tools_changed  system_changed
                                                               history_edited
    no part differs, or it stands elsewhere                    template_changed
    nothing that was known could have been used                hit

A name is given only where two witnesses agree: the part is another one in both requests, and the
template writes it where their tokens part. Otherwise the template itself is named, with the token
and the nearest part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serve.pipeline.events import CacheExplained
from serve.pipeline.prefix.known import Match, has_in_common
from serve.pipeline.prefix.parts import Answer, Message, Parts
from serve.pipeline.prefix.placing import Part, Places, gap
from serve.timeline import CacheCause

SHARED_TOKENS: Final = 64
"""So many at the beginning are no chance: templates begin with fewer of their own, most of them."""
NEAR_CHARS: Final = 160
"""Most characters of the template's own between the token where prompts part and the part that is
another one: a head of a turn, or of the tools."""
TEMPLATE, SETTINGS, TEXT = Part("chat_template"), Part("chat_template_kwargs"), Part("prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that is known of one prompt.

    Attributes:
        number: which of the request's, from 0.
        ids: packed.
        match: None where nothing is known.
        block_size: tokens of which the engine takes all or none.
        places: None for what is no chat.
        is_bypassed: the engine was not to take any of it.
        is_choosy: the engine was not to take what answers have filled, or any of it.
    """

    number: int
    parts: Parts
    ids: bytes
    num_tokens: int
    match: Match | None
    cached_tokens: int
    block_size: int
    places: Places | None
    is_bypassed: bool = False
    is_choosy: bool = False

    @property
    def known_tokens(self) -> int:
        return self.match.num_tokens if self.match else 0


def explain(found: Found, *, names_all: bool) -> CacheExplained:
    """The explanation of one prompt.

    Args:
        names_all: give ``at`` and ``near`` where only more renderings tell them.
    """
    told = _unparted(found, names_all=names_all)
    if told is not None or found.match is None:
        return told or _told(found, "never_seen", 0)
    cause, part = _parting(found, found.match)
    return _told(found, cause, found.known_tokens, part, names_all=names_all)


def explain_plainly(found: Found) -> CacheExplained | None:
    """The cause and the token without a rendering, for who asked for no more; None if that does not
    tell. Most prompts are new behind what is known, and cost nothing more.
    """
    told = _unparted(found, names_all=False)
    if told is not None or found.match is None:
        return told
    cause = _plain_cause(found.parts, found, found.match)
    return None if cause is None else _told(found, cause, found.known_tokens)


def _unparted(found: Found, *, names_all: bool) -> CacheExplained | None:
    """The explanation of a prompt that did not part from what is known; None of one that did."""
    known, cached = found.known_tokens, found.cached_tokens
    usable = min(known, found.num_tokens - 1) // found.block_size * found.block_size
    if found.is_bypassed:
        return _told(found, "bypassed", 0)
    if cached > known:
        return _told(found, "hit", cached)
    if cached < usable:
        cause: CacheCause = "bypassed" if found.is_choosy else "evicted"
        return _told(found, cause, cached, None, names_all=names_all)
    match = found.match
    if match is None:
        first = next(iter(_all_parts(found.parts)), None)
        return _told(found, "never_seen", 0, first)
    if match.is_whole or known >= found.num_tokens:
        return _told(found, "hit", known)
    return None


def _plain_cause(new: Parts, found: Found, match: Match) -> CacheCause | None:
    """The cause where digests alone leave no doubt: one new message, or nothing in common."""
    old = match.prompt.parts
    is_alike = has_in_common(match.prompt.ids, found.ids, match.num_tokens)
    if is_alike or not (new.is_chat and old.is_chat) or new.settings != old.settings:
        return None
    if (new.tools, new.system) != (old.tools, old.system):
        part = Part("tools") if new.tools != old.tools else Part("messages")
        return None if _is_kin(new, old, part, match.num_tokens) else "never_seen"
    number = _first_unequal(new.history, old.history)
    if number == len(new.history) - 1:
        num_behind = found.num_tokens - match.num_tokens
        if num_behind > new.history[-1].num_bytes + NEAR_CHARS:
            return None  # something before it is another one, too
        return "hit" if number or new.system or new.tools else "never_seen"
    return None if number or new.telling & old.telling else "never_seen"


def _told(
    found: Found,
    cause: CacheCause,
    token: int,
    part: Part | None = None,
    *,
    names_all: bool = False,
) -> CacheExplained:
    near = None
    if names_all and found.places is not None and cause != "hit" and part in {None, TEMPLATE}:
        at, nearest = found.places.at(token)
        part = part or at or TEMPLATE
        near = nearest if part == TEMPLATE else None
    return CacheExplained(
        prompt=found.number,
        cause=cause,
        token=token,
        at=None if part is None else str(part),
        near=None if near is None else str(near),
        prompt_tokens=found.num_tokens,
        known_tokens=max(found.known_tokens, found.cached_tokens),
        cached_tokens=found.cached_tokens,
    )


def _parting(found: Found, match: Match) -> tuple[CacheCause, Part | None]:
    """The cause and the part where a prompt parts from what is known."""
    new, old = found.parts, match.prompt.parts
    is_alike = has_in_common(match.prompt.ids, found.ids, match.num_tokens)
    if not (new.is_chat and old.is_chat) or found.places is None:
        if is_alike:
            return "history_edited", TEXT
        return ("hit", None) if match.num_tokens >= SHARED_TOKENS else ("never_seen", TEXT)
    places = found.places
    if not places.ends_behind(places.of_token(match.num_tokens)[0]):
        return "hit", None  # behind it is what opens the answer, and nothing else
    own = match.answer.parts if match.answer else None
    part = _nearest(list(_differences(new, old, own, places)), new, old, match.num_tokens, places)
    if part is None or part == TEMPLATE:
        return "template_changed", TEMPLATE
    if part.kind == "messages" and (part.index or 0) >= new.num_system:
        number = (part.index or 0) - new.num_system
        has_known = number > 0 or bool(new.system or new.tools)
        if has_known and number == len(new.history) - 1 and not is_alike:
            return "hit", None  # it is the last message: all before it was known
        is_kin = number > 0 or is_alike or bool(new.telling & old.telling)
        return ("history_edited" if is_kin else "never_seen"), part
    if not (is_alike or _is_kin(new, old, part, match.num_tokens)):
        return "never_seen", part
    if part == SETTINGS:
        return "template_changed", part
    return ("tools_changed" if part.kind == "tools" else "system_changed"), part


def _is_kin(new: Parts, old: Parts, part: Part, num_tokens: int) -> bool:
    """Whether prompts whose tools, system prompts or settings differ have to do with each other."""
    if num_tokens >= SHARED_TOKENS or new.telling & old.telling:
        return True
    has_tools = bool(set(new.tools) & set(old.tools))
    return has_tools or (part.kind == "tools" and bool(new.system) and new.system == old.system)


def _differences(new: Parts, old: Parts, answer: Answer | None, places: Places) -> Iterator[Part]:
    """The first tool, message of the system's and other message that differ, and the settings."""
    if new.settings != old.settings:
        yield SETTINGS
    if new.tools != old.tools:
        yield Part("tools", _first_unequal(new.tools, old.tools))
    if new.system != old.system:
        number = _first_unequal(new.system, old.system)
        if number < len(new.system):
            before = old.system[number] if number < len(old.system) else None
            yield Part("messages", number, _field(new.system[number], before))
        else:
            yield Part("system prompt")
    for number, message in enumerate(new.history):
        part = Part("messages", new.num_system + number)
        if number < len(old.history):
            if message != old.history[number]:
                yield Part(part.kind, part.index, _field(message, old.history[number]))
                return
        elif number == len(old.history) and answer is not None:
            field = _field_of_answer(message, answer)
            if field == "reasoning_content" and field not in message.fields:
                field = field if places.writes_thought(part.index or 0) else None
            if field is not None:
                yield Part(part.kind, part.index, field)
            return
        else:
            return


def _field(new: Message, old: Message | None) -> str:
    """The first field in which two messages differ, in the order in which most templates write."""
    if old is None or new.role != old.role:
        return "content" if "content" in new.fields else ""
    names = dict.fromkeys(["reasoning_content", "content", *new.fields, *old.fields])
    return next((name for name in names if new.fields.get(name) != old.fields.get(name)), "")


def _field_of_answer(message: Message, answer: Answer) -> str | None:
    """The field in which a message is another one than the answer that it stands for."""
    if message.role != "assistant":
        return ""
    if message.fields.get("reasoning_content", 0) != answer.reasoning:
        has_said_the_same = message.content == answer.content and message.calls == answer.calls
        if "reasoning_content" in message.fields or has_said_the_same:
            return "reasoning_content"
    if message.content != answer.content:
        return "content"
    return "tool_calls" if message.calls != answer.calls else None


def _nearest(parts: list[Part], new: Parts, old: Parts, token: int, places: Places) -> Part | None:
    """The part that stands where the prompts part; TEMPLATE where none of them does."""
    if not parts:
        return None
    place = places.of_token(token)
    gaps: list[tuple[int, int, Part]] = []
    for order, part in enumerate(parts):
        region = None if part.index is None else places.of_part(part)
        if region is not None:
            is_first_tool = part.kind == "tools" and not (new.tools and old.tools)
            far = gap(region, place)
            is_before = region[1] <= place[0]
            if far <= NEAR_CHARS or (is_first_tool and not is_before):
                gaps.append((far, order, part))
        elif not _is_there(part, new):
            gaps.append((NEAR_CHARS, order, part))
    return min(gaps)[2] if gaps else TEMPLATE


def _is_there(part: Part, new: Parts) -> bool:
    """Whether a prompt has a part, so that the template would have written it."""
    if part.index is None:
        return False
    if part.kind == "tools":
        return part.index < len(new.tools)
    message = new.messages[part.index]
    return not part.field or part.field in message.fields


def _first_unequal(left: tuple[object, ...], right: tuple[object, ...]) -> int:
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return number
    return min(len(left), len(right))


def _all_parts(parts: Parts) -> Iterator[Part]:
    if not parts.is_chat:
        yield TEXT
    elif parts.messages:
        yield Part("messages", 0)
