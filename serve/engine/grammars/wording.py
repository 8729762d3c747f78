"""Reasons for which a grammar is refused, in our words. llguidance's own are of its insides."""

from __future__ import annotations

import re
from typing import Any

from serve.engine.grammars import json_schema
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.subschemas import subschemas

TOO_LARGE = "The grammar is too large, or too intricate, to be compiled. Make it smaller."
TOO_LARGE_NUMBER = "The schema has a number that is too large to be one of JSON's usual ones."
TOO_SLOW = "The grammar takes too long to be compiled. Simplify it."
EMPTY = "No text is of this grammar's language, so there is nothing to generate."
_ONE_OF = (
    "has a oneOf whose alternatives are not known to exclude each other. Write anyOf, make one "
    "required property of each a const that no other has, or set "
    '"x-guidance": {"coerce_one_of": true} beside it to have it taken as anyOf.'
)
_LARGE = ("too big", "too large", "fuel exhausted", "too many", "recursion limit", "too deeply")
_KEYS = re.compile(r"Unimplemented keys: \[(.*)\]")
_RANGE = re.compile(r"m(?:in|ax)=Some\((-?\d+)\)")
_PLACE = re.compile(r"^(?:at )?(\d+)\((\d+)\): (.*)", re.DOTALL)
_MOST_REASON = 160


def refusal(message: str, grammar: Grammar) -> str:
    """The text for a client, from the text of llguidance's error."""
    if any(sign in message for sign in _LARGE) and "regex parse error" not in message:
        return TOO_LARGE
    schema = _schema(grammar)
    if schema is not None:
        return _of_schema(message, schema)
    return _of_text(message, grammar)


def _schema(grammar: Grammar) -> Any:
    if grammar.kind != "json_schema":
        return None
    return json_schema.read(grammar.text)


def _of_schema(message: str, schema: Any) -> str:
    keys = _KEYS.search(message)
    if keys is not None:
        names = [name.strip().strip('"') for name in keys[1].split(",")]
        where = _where(schema, lambda part: any(name in part for name in names))
        return (
            f"{where} has {', '.join(names)}, which completions cannot be held to. Leave it out, "
            "or say the same with other keywords."
        )
    if message.startswith("oneOf constraints"):
        return f"{_where(schema, lambda part: 'oneOf' in part)} {_ONE_OF}"
    if message.startswith(("Unable to determine if regex is empty", "can't determine if")):
        where = _where(schema, lambda part: "pattern" in part or "patternProperties" in part)
        return f"{where} has a pattern, with bounds or others beside it, that is too intricate."
    if message.startswith("Unsatisfiable schema"):
        reason = _first_line(message.partition(":")[2])
        if reason.startswith("Regex is empty"):  # and then the expression, as llguidance has it
            reason = "no text has a pattern, or a format, with all that stands beside it"
        return f"No JSON is valid under the schema: {reason}."
    if "Failed to generate regex for" in message:
        ends = [int(end) for end in _RANGE.findall(message)]
        if len(ends) == 2 and ends[0] > ends[1]:
            return "No JSON is valid under the schema: no integer lies between its bounds."
        return "The schema has a minimum or maximum that is too large or too exact."
    if "regex" in message or "look-around" in message or "lookarounds" in message:
        where = _where(schema, lambda part: "pattern" in part or "patternProperties" in part)
        return f"{where} has a pattern that cannot be used: {_regex_reason(message)}."
    if message.startswith("number out of range"):
        return TOO_LARGE_NUMBER
    if message.startswith("Resource") and not _has_reference(schema):
        return "The schema's $schema names no draft that is known. Leave it out."
    if "Default retriever" in message or "registry" in message or "ointer" in message:
        where = _where(schema, lambda part: "$ref" in part)
        return f"{where} has a $ref to what the schema does not hold. Put it under $defs."
    return f"The schema cannot be used: {_first_line(message)}."


def _has_reference(schema: Any) -> bool:
    return any("$ref" in part for _, part in subschemas(schema))


def _of_text(message: str, grammar: Grammar) -> str:
    if grammar.kind == "regex":
        return f"The regular expression cannot be used: {_regex_reason(message)}."
    if "unknown special token" in message:
        name = re.search(r'unknown special token: "([^"]{1,60})', message)
        shown = name[1] if name else "one that it names"
        return f"The grammar names a special token that this model does not have: {shown}"
    place = _PLACE.match(message)
    if place is not None:
        line, column, reason = place.groups()
        if "regex" in reason:
            reason = f"invalid regular expression: {_regex_reason(reason)}"
        where = f" at line {line}, column {column}" if grammar.kind == "lark" else ""
        return f"The grammar is wrong{where}: {_first_line(reason)}."
    return f"The grammar cannot be used: {_first_line(message)}."


def _regex_reason(message: str) -> str:
    if "look" in message:
        return "look-around (as (?=...), \\b) is not supported"
    if "backreference" in message:
        return "references back (as \\1) are not supported"
    told = re.search(r"error: ([^\n]+)", message)
    return _first_line(told[1] if told else message)


def _first_line(text: str) -> str:
    """A short reason, without what comes after it: positions and states of the parser."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "it is not valid")
    line = line.split("(at ")[0].strip().rstrip(".;:")
    return line if len(line) <= _MOST_REASON else f"{line[:_MOST_REASON]}..."


def _where(schema: Any, matches: Any) -> str:
    for path, part in subschemas(schema):
        if matches(part):
            return path
    return "The schema"
