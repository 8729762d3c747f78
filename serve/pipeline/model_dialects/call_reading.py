"""Reading one tool call, from where its literals begin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from serve.pipeline.model_dialects.dialect import (
    KEY_MARK,
    NAME_MARK,
    CallSyntax,
    JsonCall,
    JsonPath,
    NamedCall,
    TaggedCall,
)
from serve.pipeline.model_dialects.reading import EndedError, MalformedError, Reader, Wait
from serve.pipeline.model_dialects.values import json_of, quoted_value

MAX_NAME_CHARS = 256
MAX_KEY_CHARS = 1024
_NO_NAME = re.compile(r"[\s{}\"<>]")
"""What no function's name holds."""
_NO_KEY = re.compile(r"[\s()\[\]{}\"',<>]")
"""What no key holds that has nothing before it."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Marks (marks.py), and what is no character at all: a model can write one by an escape."""
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
        is_told: whether it has been told of.
        has_arguments: whether something of them has come.
        is_whole: whether all of its arguments have come.
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
        self.is_whole = False

    def call(self, name: str) -> None:
        """Take the name. Raises MalformedError where it is none of those that it may be."""
        if _SURROGATE.search(name) or (self.only is not None and name not in self.only):
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
    call.is_whole = True
    call.finish()
    if syntax.close.strip():
        yield from reader.match_close(syntax.close)


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
        elif here == body.arguments and not call.has_arguments:
            yield from _arguments(reader, call, first)
            call.is_whole = True
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
        call.argue(_decoded((yield from reader.string())) or "{}")
    elif first == "n":
        yield from reader.raw_value(_ignore)
        call.argue("{}")
    else:
        yield from reader.raw_value(call.argue)


def _named_call(reader: Reader, body: NamedCall, call: ToldCall) -> Wait[None]:
    if body.name_open is not None:
        yield from reader.until([body.name_open.strip()], MAX_NAME_CHARS)
    head, again = _around_name(body.name_end)
    call.call((yield from _name(reader, head)))
    yield from reader.expect(again.replace(NAME_MARK, call.name or ""))
    if body.id_end is not None:
        mark = reader.place
        try:
            yield from reader.until([body.id_end.strip()], MAX_NAME_CHARS)
        except MalformedError:
            reader.return_to(mark)
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
    if not name or _NO_NAME.search(name):
        raise MalformedError
    return name


def _tagged_call(
    reader: Reader,
    syntax: CallSyntax,
    body: TaggedCall,
    call: ToldCall,
    tools: Tools,
) -> Wait[None]:
    name_end, again = _around_name(body.name_end)
    closed, _ = _around_name(syntax.close)
    ends = [text for text in (name_end, body.key_open, closed) if text.strip()]
    name, end = yield from reader.until([text.strip() for text in ends], MAX_NAME_CHARS)
    name = name.strip()
    if not name or _NO_NAME.search(name):
        raise MalformedError
    call.call(name)
    if end != name_end.strip():
        reader.at -= len(end)
    yield from reader.expect(again.replace(NAME_MARK, name))
    schema = tools.get(name) or {}
    is_first = True
    while (yield from _is_argument(reader, syntax, body)):
        key, value = yield from _argument(reader, body, schema)
        call.argue(f"{'{' if is_first else ', '}{json.dumps(key, ensure_ascii=False)}: {value}")
        is_first = False
        yield from reader.match(body.separator)
    call.argue("{}" if is_first else "}")


def _is_argument(reader: Reader, syntax: CallSyntax, body: TaggedCall) -> Wait[bool]:
    """Whether an argument follows. Raises EndedError where the text ends within what comes."""
    mark = reader.place
    closed = _around_name(syntax.close)[0]
    is_closed = bool(closed.strip()) and (yield from reader.match(closed))
    reader.return_to(mark)
    if is_closed:
        return False
    if body.key_open.strip():
        if (yield from reader.match(body.key_open)):
            return True
        if reader.ends_within(body.key_open):
            raise EndedError
        return False
    yield from reader.skip_space()
    return True


def _argument(reader: Reader, body: TaggedCall, schema: Mapping[str, Any]) -> Wait[tuple[str, str]]:
    """An argument's key and its value as JSON."""
    key_ends = [end for end in (body.key_end, body.key_end_other) if end is not None]
    key, end = yield from reader.until([end.strip() or end for end in key_ends], MAX_KEY_CHARS)
    key = key.strip()
    if not body.key_open.strip() and _NO_KEY.search(key):
        raise MalformedError
    value_end = body.value_end.replace(KEY_MARK, key)
    is_other = body.key_end_other is not None and end == body.key_end_other.strip()
    key_end = body.key_end_other if is_other and body.key_end_other else body.key_end
    if body.quote:
        written = yield from quoted_value(reader, body.quote)
        yield from reader.match(value_end)
        return key, json_of(written, schema, key, quote=body.quote)
    yield from reader.skip_exactly(_tail(key_end) if key_end.strip() else "")
    value, _ = yield from reader.until([value_end, value_end.strip()])
    kind = None if body.key_end_other is None else not is_other
    return key, json_of(value, schema, key, is_text=kind)


def closed_by(syntax: CallSyntax, call: ToldCall) -> str:
    """The literal behind a call."""
    return syntax.close.replace(NAME_MARK, call.name or "")


def _around_name(literal: str) -> tuple[str, str]:
    """A literal up to where the name stands in it, and from there on."""
    head = literal.partition(NAME_MARK)[0]
    return head, literal[len(head) :]


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
