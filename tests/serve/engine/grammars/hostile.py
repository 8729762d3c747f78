"""Grammars that are meant to hurt, by the name of what they try."""

from __future__ import annotations

import json
from typing import Any

from serve.engine.grammars.grammar import Grammar


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
    "an ambiguous rule": lark('start: s\ns: s s | "a" | "b"'),
}
"""Each is compiled, and holds a completion to it."""
