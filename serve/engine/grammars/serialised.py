"""A grammar in llguidance's one JSON form, which both engines take.

vLLM gets it as a grammar of its own backend ``guidance``, the transformers engine compiles it: so
the same request is held to the same language on either.
"""

from __future__ import annotations

import json
from typing import Any

from serve.engine.grammars.grammar import Grammar

JsonObject = dict[str, Any]


def serialised(grammar: Grammar) -> str:
    """The JSON text that ``llguidance.LLMatcher`` takes; nothing in it is checked.

    Raises:
        ValueError: a schema is not JSON, or a structural form is none.
    """
    main = _entry(grammar)
    parts = [{"name": name, **_entry(part)} for name, part in _all_parts(grammar)]
    return json.dumps({"grammars": [main, *parts]}, ensure_ascii=False)


def _all_parts(grammar: Grammar) -> list[tuple[str, Grammar]]:
    """Parts, and theirs; names are one space for all."""
    found: list[tuple[str, Grammar]] = []
    for name, part in grammar.parts:
        found += [(name, part), *_all_parts(part)]
    return found


def _entry(grammar: Grammar) -> JsonObject:
    match grammar.kind:
        case "json_schema":
            return {"json_schema": _with_options(json.loads(grammar.text), grammar)}
        case "regex":
            return {"lark_grammar": f"start: /{_in_slashes(grammar.text)}/"}
        case "choice":
            options = " | ".join(json.dumps(text, ensure_ascii=False) for text in grammar.choices)
            return {"lark_grammar": f"start: {options}"}
        case "lark":
            return {"lark_grammar": grammar.text}
        case "structural":
            raise NotImplementedError


def _with_options(schema: Any, grammar: Grammar) -> Any:
    options: JsonObject = {}
    if grammar.is_compact:
        options["whitespace_flexible"] = False
    if grammar.whitespace is not None:
        options["whitespace_pattern"] = grammar.whitespace
    if not options:
        return schema
    wrapped: JsonObject = schema if isinstance(schema, dict) else {"allOf": [schema]}
    return {**wrapped, "x-guidance": {**options, **wrapped.get("x-guidance", {})}}


def _in_slashes(pattern: str) -> str:
    return pattern.replace("/", "\\/")
