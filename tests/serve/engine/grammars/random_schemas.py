"""Random JSON schemas: of every keyword that completions are held to, nested, with references.

Not every one has a valid instance, and some hold what is refused: whoever uses them takes a refusal
for an answer.
"""

from __future__ import annotations

import random
import string
from typing import Any

JsonObject = dict[str, Any]

MOST_DEPTH = 4
_PATTERNS = ("^[a-z]{2,5}$", "[0-9]+", "^(red|green|blue)$", r"^\d{3}-\d{2}$", "^[^ ]+$", "a|b")
_FORMATS = ("date", "time", "date-time", "uuid", "email", "ipv4", "hostname", "nonesuch")


def random_schema(source: random.Random) -> Any:
    """A schema, most often of an object."""
    names = [f"Part{index}" for index in range(source.randrange(3))]
    schema = _object(source, 0, names) if source.random() < 0.7 else _any(source, 0, names)
    if names and isinstance(schema, dict):
        schema["$defs"] = {name: _part(source, names) for name in names}
    if isinstance(schema, dict) and source.random() < 0.1:
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _part(source: random.Random, names: list[str]) -> Any:
    """What is referred to, and no mere reference: that may be to itself."""
    return source.choice([_object, _array, _string, _enum])(source, 2, names)


def _any(source: random.Random, depth: int, names: list[str]) -> Any:
    kinds = [_string, _number, _integer, _constant, _enum, _boolean]
    if depth < MOST_DEPTH:
        kinds += [_object, _array, _union, _object, _array, _joined]
    if names and depth > 0 and source.random() < 0.15:
        return {"$ref": f"#/$defs/{source.choice(names)}"}
    if source.random() < 0.02:
        return source.choice([True, {}])
    schema: JsonObject = source.choice(kinds)(source, depth, names)
    if source.random() < 0.2:
        schema["description"] = _word(source)
    if source.random() < 0.03:
        schema[source.choice(["uniqueItems", "not", "x-unknown", "contains"])] = True
    return schema


def _word(source: random.Random) -> str:
    if source.random() < 0.1:
        return source.choice(
            ["größe", "名", 'quote"d', "back\\slash", "tab\t", "a/b", "~", "😀", ""]
        )
    return "".join(source.choices(string.ascii_lowercase, k=source.randrange(1, 9)))


def _object(source: random.Random, depth: int, names: list[str]) -> JsonObject:
    properties = {_word(source): _any(source, depth + 1, names) for _ in range(source.randrange(5))}
    schema: JsonObject = {"type": "object", "properties": properties}
    if source.random() < 0.8:
        schema["required"] = [name for name in properties if source.random() < 0.6]
    if source.random() < 0.7:
        schema["additionalProperties"] = source.choice([False, False, True, {"type": "integer"}])
    if source.random() < 0.05:
        schema["minProperties"] = source.randrange(3)
    return schema


def _array(source: random.Random, depth: int, names: list[str]) -> JsonObject:
    schema: JsonObject = {"type": "array", "items": _any(source, depth + 1, names)}
    if source.random() < 0.3:
        schema["prefixItems"] = [_any(source, depth + 1, names)]
    if source.random() < 0.3:
        schema["minItems"] = source.randrange(3)
    if source.random() < 0.7:
        schema["maxItems"] = source.randrange(1, 5)
    return schema


def _union(source: random.Random, depth: int, names: list[str]) -> JsonObject:
    options = [_any(source, depth + 1, names) for _ in range(source.randrange(1, 4))]
    return {source.choice(["anyOf", "anyOf", "oneOf"]): options}


def _joined(source: random.Random, depth: int, names: list[str]) -> JsonObject:
    return {"allOf": [_object(source, depth + 1, names) for _ in range(source.randrange(1, 3))]}


def _string(source: random.Random, _depth: int, _names: list[str]) -> JsonObject:
    schema: JsonObject = {"type": source.choice(["string", "string", ["string", "null"]])}
    match source.randrange(6):
        case 0:
            schema["pattern"] = source.choice(_PATTERNS)
        case 1:
            schema["format"] = source.choice(_FORMATS)
        case 2:
            schema["maxLength"] = source.randrange(10)
        case 3:
            schema["minLength"] = source.randrange(6)
            schema["maxLength"] = source.randrange(12)
    return schema


def _number(source: random.Random, _depth: int, _names: list[str]) -> JsonObject:
    schema: JsonObject = {"type": "number"}
    if source.random() < 0.5:
        schema["minimum"] = round(source.uniform(-100, 100), source.randrange(3))
    if source.random() < 0.5:
        schema[source.choice(["maximum", "exclusiveMaximum"])] = round(source.uniform(0, 200), 1)
    return schema


def _integer(source: random.Random, _depth: int, _names: list[str]) -> JsonObject:
    schema: JsonObject = {"type": "integer"}
    if source.random() < 0.6:
        schema["minimum"] = source.randrange(-1000, 1000)
    if source.random() < 0.6:
        schema["maximum"] = source.randrange(-100, 5000)
    if source.random() < 0.1:
        schema["multipleOf"] = source.randrange(1, 9)
    return schema


def _constant(source: random.Random, _depth: int, _names: list[str]) -> JsonObject:
    return {"const": source.choice([_word(source), 7, 1.5, None, True, [1, "a"], {"a": 1}])}


def _enum(source: random.Random, _depth: int, _names: list[str]) -> JsonObject:
    return {"enum": [_word(source) for _ in range(source.randrange(1, 5))]}


def _boolean(source: random.Random, _depth: int, _names: list[str]) -> JsonObject:
    return {"type": source.choice(["boolean", "null", ["boolean", "null"]])}
