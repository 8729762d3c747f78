"""Grammars that are meant to hurt, by the name of what they try."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from serve.engine.grammars.grammar import Grammar

JsonObject = dict[str, Any]


def schema(value: Any) -> Grammar:
    return Grammar(kind="json_schema", text=value if isinstance(value, str) else json.dumps(value))


def regex(text: str) -> Grammar:
    return Grammar(kind="regex", text=text)


def lark(text: str) -> Grammar:
    return Grammar(kind="lark", text=text)


def nested(depth: int) -> str:
    return '{"type":"array","items":' * depth + "{}" + "}" * depth


def _both(index: int) -> str:
    return f"(a|b)*{'ab'[index % 2]}(a|b){{{index}}}"


def _chain(length: int, link: Callable[[JsonObject, int], JsonObject]) -> JsonObject:
    """A schema of definitions of which each refers to the next one."""
    definitions = {f"a{n}": link({"$ref": f"#/$defs/a{n + 1}"}, n) for n in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{length}": {"type": "string"}}}


def _in_unions(levels: int) -> Callable[[JsonObject, int], JsonObject]:
    def link(schema: JsonObject, _number: int) -> JsonObject:
        for _ in range(levels):
            schema = {"anyOf": [schema]}
        return schema

    return link


def _nested_unions(depth: int) -> JsonObject:
    part: JsonObject = {"type": "string", "pattern": _both(0)}
    for number in range(1, depth):
        part = {"pattern": _both(number), "anyOf": [part]}
    return part


def _joined(place: Callable[[JsonObject], JsonObject]) -> Grammar:
    parts = [place({"type": "string", "pattern": _both(n)}) for n in range(16)]
    return schema({"allOf": parts})


_RULES = "\n".join(f'r{n}: "a" r{n + 1}' for n in range(9_000))

REFUSED: dict[str, Grammar] = {
    "nested 100,000 deep": schema(nested(100_000)),
    "nested 1,000 deep": schema(nested(1_000)),
    "nested as deep as is read": schema(nested(70)),
    "a text of 1 MB": schema({"description": "x" * 1_000_000}),
    "20,000 values": schema({"enum": [f"value-{index}" for index in range(20_000)]}),
    "5,000 properties": schema({"properties": {f"p{index}": {} for index in range(5_000)}}),
    "a union of 5,000 objects": schema(
        {"anyOf": [{"properties": {f"p{n}": {"const": n}}} for n in range(5_000)]}
    ),
    "a million items": schema({"type": "array", "items": {}, "maxItems": 1_000_000}),
    "a product of unions": schema(
        {
            "allOf": [
                {"anyOf": [{"properties": {f"a{n}{m}": {"type": "string"}}} for m in range(2)]}
                for n in range(20)
            ]
        }
    ),
    "patterns that are joined": schema({"allOf": [{"pattern": _both(n)} for n in range(16)]}),
    "patterns joined by references": schema(
        {
            "allOf": [{"$ref": f"#/$defs/p{n}"} for n in range(16)],
            "$defs": {f"p{n}": {"type": "string", "pattern": _both(n)} for n in range(16)},
        }
    ),
    "patterns beside references": schema(_chain(16, lambda link, n: {**link, "pattern": _both(n)})),
    "patterns beside unions": schema(_nested_unions(16)),
    "patterns of one property": _joined(lambda part: {"properties": {"a": part}}),
    "patterns of one property, beside references": schema(
        _chain(16, lambda link, n: {**link, "properties": {"a": {"pattern": _both(n)}}})
    ),
    "patterns of one item": _joined(lambda part: {"prefixItems": [part]}),
    "patterns of items": _joined(lambda part: {"items": part}),
    "patterns of other properties": _joined(lambda part: {"additionalProperties": part}),
    "900 patterns of properties": schema(
        {"patternProperties": {f"^a{n}(x|y)*$": {} for n in range(900)}}
    ),
    "references in a circle": schema(
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    ),
    "a part that is only itself": schema(
        {
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "required": ["a"],
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}},
        }
    ),
    "joined by many, over and over": schema(
        {
            "properties": {f"p{n}": {"allOf": [{"$ref": "#/$defs/a0"}]} for n in range(900)},
            "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}]} for n in range(900)},
        }
    ),
    "a reference to the network": schema({"$ref": "http://127.0.0.1:1/schema.json"}),
    "a reference to a file": schema({"$ref": "file:///etc/passwd"}),
    "no instance: false": schema("false"),
    "no instance: an empty enum": schema({"enum": []}),
    "no instance: bounds that cross": schema({"type": "integer", "minimum": 5, "maximum": 4}),
    "look-around": schema({"type": "string", "pattern": "^(?=a)b$"}),
    "references back": schema({"type": "string", "pattern": r"(a)\1"}),
    "half a character, escaped": schema('{"const": "\\ud800"}'),
    "half a character": schema('{"const": "\ud800"}'),
    "half a character in a choice": Grammar(kind="choice", choices=("\udfff",)),
    "options that ignore keywords": schema({"uniqueItems": True, "x-guidance": {"lenient": True}}),
    "a number beyond floats": schema({"type": "number", "minimum": -1e300, "maximum": 1e300}),
    "20,000 choices": Grammar(kind="choice", choices=tuple(map(str, range(20_000)))),
    "a regex that matches nothing": regex(r"[^\s\S]"),
    "a regex of 20,000 characters": regex("a" * 20_000),
    "an open group": regex("(a"),
    "a regex with look-behind": regex("(?<=a)b"),
    "Lark that intersects": lark("start: A\nA: " + " & ".join(f"/{_both(n)}/" for n in range(16))),
    "Lark that only refers to itself": lark("start: start"),
    "Lark without a start": lark('other: "a"'),
    "Lark with a schema of a million items": lark('start: %json {"maxItems": 1000000}'),
    "Lark with a token that is not there": lark("start: <nonesuch>"),
    "GBNF of open brackets": lark("root ::= " + "(" * 5_000),
    "GBNF nested deeply": lark("root ::= " + "(" * 3_000 + '"a"' + ")" * 3_000),
    "GBNF that is long": lark("root ::= " + " | ".join(f'"a{n}"' for n in range(20_000))),
    "GBNF of a rule that is not there": lark("root ::= nonesuch"),
}
"""Each is refused."""

TAKEN: dict[str, Grammar] = {
    "a text of 10^9 characters": schema({"type": "string", "minLength": 10**9}),
    "a text of at most 10^9": schema({"type": "string", "maxLength": 10**9}),
    "an exponential automaton": schema({"type": "string", "pattern": "(a|b)*a(a|b){40}"}),
    "repetitions of repetitions": regex("((((a{1,300}){1,300}){1,300}){1,300}){1,300}"),
    "a backtracker's end": regex("(a+)+(b|bb)*(c|cc|ccc)*d"),
    "automata that multiply": regex("(.*a.{300}b.*c.{300})+"),
    "1,000 automata": regex("|".join(f"(.*{n}.*)" for n in range(1_000))),
    "10,000 items": schema({"type": "array", "items": {"type": "string"}, "maxItems": 10_000}),
    "1,000 properties": schema({"properties": {f"p{n}": {"type": "string"} for n in range(1_000)}}),
    "5,000 values": schema({"enum": [f"value-{n}" for n in range(5_000)]}),
    "an object without an end": schema(
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {
                    "type": "object",
                    "properties": {"a": {"$ref": "#/$defs/a"}},
                    "required": ["a"],
                    "additionalProperties": False,
                }
            },
        }
    ),
    "references that multiply": schema(
        {
            "$ref": "#/$defs/a0",
            "$defs": {
                **{
                    f"a{n}": {
                        "type": "object",
                        "properties": {x: {"$ref": f"#/$defs/a{n + 1}"} for x in "xy"},
                        "required": ["x", "y"],
                    }
                    for n in range(40)
                },
                "a40": {"type": "string"},
            },
        }
    ),
    "2,000 references in a row": schema(_chain(2_000, lambda link, _: {"anyOf": [link, {}]})),
    "references nested deeply": schema(_chain(200, _in_unions(25))),
    "properties nested by references": schema(
        _chain(1_000, lambda link, _: {"properties": {"a": link}, "required": ["a"]})
    ),
    "1,000 unions joined in a row": schema(_chain(1_000, lambda link, _: {"allOf": [link]})),
    "9,000 rules in a row": lark(f'start: r0\n{_RULES}\nr9000: "z"'),
    "an ambiguous rule": lark('start: s\ns: s s | "a" | "b"'),
}
"""Each is compiled, and holds a completion to it."""
