"""Reading one tool call, from where its literals begin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from serve.pipeline.model_dialects.dialect import (
    CallSyntax,
    JsonCall,
    JsonPath,
    NamedCall,
    TaggedCall,
)
from serve.pipeline.model_dialects.reading import MalformedError, Reader, Wait
from serve.pipeline.model_dialects.values import json_of, quoted_value

MAX_NAME_CHARS = 256
MAX_KEY_CHARS = 1024
_FACTS = ("type", "id")
"""Keys that a call without its tag may have beside its name and arguments."""


class ToldCall:
    """One call, told to somebody as it is read.

    Args:
        tell: takes the name, once and first, and more of the arguments' text.
        only: the tools of which it has to name one, and then hold nothing but a call: for calls
            that nothing but their form tells from text. None where they are told by more.

    Attributes:
        name: None until it is known.
    """

    def __init__(
        self, tell: Callable[[str | None, str], None], only: Collection[str] | None = None
    ) -> None:
        self._tell = tell
        self.only = only
        self._waiting: list[str] = []
        self.name: str | None = None
        self.is_told = False
        self.has_arguments = False

    def call(self, name: str) -> None:
        """Take the name. Raises MalformedError where it is none of those that it may be."""
        if self.only is not None and name not in self.only:
            raise MalformedError
        self.name = name

    def argue(self, text: str) -> None:
        """Add to the arguments; what comes before the name waits for it."""
        self.has_arguments = True
        if self.name is None:
            self._waiting.append(text)
            return
        self._open()
        if text:
            self._tell(None, text)

    def finish(self) -> None:
        """Tell what is left. Raises MalformedError where there is no name."""
        if not self.name:
            raise MalformedError
        self._open()

    def _open(self) -> None:
        if self.is_told or self.name is None:
            return
        self.is_told = True
        self._tell(self.name, "".join(self._waiting))
        self._waiting.clear()


def read_call(reader: Reader, syntax: CallSyntax, call: ToldCall, tools: Tools) -> Wait[None]:
    """Read a call and the literals around it; the place is behind it then.

    Args:
        tools: schemas of the arguments, by the name of the tool.

    Raises:
        MalformedError: it is none; or it is broken: then ``call.is_told`` says whether some of it
            has been told already.
    """
    yield from reader.expect(syntax.open)
    body = syntax.body
    match body:
        case JsonCall():
            yield from _json_call(reader, body, call)
        case NamedCall():
            yield from _named_call(reader, body, call)
        case TaggedCall():
            yield from _tagged_call(reader, syntax, body, call, tools)
    call.finish()
    if syntax.close.strip():
        yield from reader.match_as_far(syntax.close)


Tools = Mapping[str, Mapping[str, Any] | None]


def _json_call(reader: Reader, body: JsonCall, call: ToldCall) -> Wait[None]:
    if (yield from reader.skip_space()) != "{":
        raise MalformedError
    yield from _object(reader, body, call, ())
    if call.only is not None and not call.has_arguments:
        raise MalformedError
    if call.name is not None and not call.has_arguments:
        call.argue("{}")


def _object(reader: Reader, body: JsonCall, call: ToldCall, path: JsonPath) -> Wait[None]:
    reader.at += 1  # the brace
    while (character := (yield from reader.skip_space())) != "}":
        if character == ",":
            reader.at += 1
            continue
        if character != '"':
            raise MalformedError
        key = _decoded((yield from reader.string()))
        if (yield from reader.skip_space()) != ":":
            raise MalformedError
        reader.at += 1
        first = yield from reader.skip_space()
        here = (*path, key)
        if here == body.name:
            if first != '"':
                raise MalformedError
            call.call(_decoded((yield from reader.string())))
        elif here == body.arguments:
            yield from _arguments(reader, call, first)
        elif first == "{" and here in (body.name[: len(here)], body.arguments[: len(here)]):
            yield from _object(reader, body, call, here)
        elif call.only is not None and key not in _FACTS:
            raise MalformedError
        else:
            yield from reader.raw_value(_ignore)
    reader.at += 1


def _arguments(reader: Reader, call: ToldCall, first: str) -> Wait[None]:
    """Arguments as an object, or as a string that holds one."""
    if first == '"':
        call.argue(_decoded((yield from reader.string())))
    elif first == "n":
        yield from reader.raw_value(_ignore)
        call.argue("{}")
    else:
        yield from reader.raw_value(call.argue)


def _named_call(reader: Reader, body: NamedCall, call: ToldCall) -> Wait[None]:
    if body.name_open is not None:
        yield from reader.until([body.name_open.strip()], MAX_NAME_CHARS)
    call.call((yield from _name(reader, body.name_end)))
    if body.id_end is not None:
        mark = reader.at
        try:
            yield from reader.until([body.id_end.strip()], MAX_NAME_CHARS)
        except MalformedError:
            reader.at = mark
    if (yield from reader.skip_space()) != "{":
        raise MalformedError
    yield from reader.raw_value(call.argue)


def _name(reader: Reader, end: str) -> Wait[str]:
    """A function's name up to a literal; up to white space or a brace where that is all."""
    stop = end.strip()
    if stop:
        name, _ = yield from reader.until([stop], MAX_NAME_CHARS)
    else:
        yield from reader.skip_space()
        name = ""
        while not (character := (yield from reader.peek())).isspace() and character != "{":
            name += character
            reader.at += 1
            if len(name) > MAX_NAME_CHARS:
                raise MalformedError
    name = name.strip()
    if not name or any(character.isspace() or character in '{}"<>' for character in name):
        raise MalformedError
    return name


def _tagged_call(
    reader: Reader,
    syntax: CallSyntax,
    body: TaggedCall,
    call: ToldCall,
    tools: Tools,
) -> Wait[None]:
    ends = [text for text in (body.name_end, body.key_open, syntax.close) if text.strip()]
    name, end = yield from reader.until([text.strip() for text in ends], MAX_NAME_CHARS)
    name = name.strip()
    if not name or any(character.isspace() or character in '{}"<>' for character in name):
        raise MalformedError
    call.call(name)
    if end != body.name_end.strip():
        reader.at -= len(end)
    schema = tools.get(name) or {}
    is_first = True
    while (yield from _is_argument(reader, syntax, body)):
        key, value = yield from _argument(reader, body, schema)
        call.argue(f"{'{' if is_first else ', '}{json.dumps(key, ensure_ascii=False)}: {value}")
        is_first = False
        yield from reader.match(body.separator)
    call.argue("{}" if is_first else "}")


def _is_argument(reader: Reader, syntax: CallSyntax, body: TaggedCall) -> Wait[bool]:
    if body.key_open.strip():
        return (yield from reader.match(body.key_open))
    mark = reader.at
    is_closed = yield from reader.match(syntax.close)
    reader.at = mark
    yield from reader.skip_space()
    return not is_closed


def _argument(reader: Reader, body: TaggedCall, schema: Mapping[str, Any]) -> Wait[tuple[str, str]]:
    """An argument's key and its value as JSON."""
    key_ends = [end for end in (body.key_end, body.key_end_other) if end is not None]
    key, end = yield from reader.until([end.strip() for end in key_ends], MAX_KEY_CHARS)
    key = key.strip()
    is_other = body.key_end_other is not None and end == body.key_end_other.strip()
    if body.quote:
        written = yield from quoted_value(reader, body.quote)
        yield from reader.match(body.value_end)
        return key, json_of(written, schema, key, quote=body.quote)
    yield from _skip_exactly(reader, _tail(body.key_end))
    core = body.value_end.strip()
    ends = [body.value_end, core] if core != body.value_end else [core]
    value, _ = yield from reader.until(ends, sys.maxsize)
    kind = None if body.key_end_other is None else not is_other
    return key, json_of(value, schema, key, is_text=kind)


def _skip_exactly(reader: Reader, space: str) -> Wait[None]:
    """Read white space as far as it is that of a literal."""
    for character in space:
        if (yield from reader.peek()) != character:
            return
        reader.at += 1


def _tail(literal: str) -> str:
    """The white space at a literal's end."""
    return literal[len(literal.rstrip()) :]


def _decoded(text: str) -> str:
    """The text of a JSON string; without its escapes undone where they are none."""
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return text[1:-1]
    return value if isinstance(value, str) else text


def _ignore(_text: str) -> None:
    pass
