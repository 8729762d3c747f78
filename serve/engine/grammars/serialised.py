"""A grammar in llguidance's one JSON form, which both engines take.

vLLM gets it as a grammar of its own backend ``guidance``, the transformers engine compiles it: so
the same request is held to the same language on either.
"""

from __future__ import annotations

import json
import re
from typing import Any

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

from serve.engine.grammars import bounds, json_schema, structural, wording
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.refusal import GrammarRefused
from serve.engine.grammars.structural import literal

JsonObject = dict[str, Any]

_HALF_CHARACTER = (
    "The grammar holds half of a surrogate pair, which is no character. Send whole characters."
)
_INLINE = re.compile(r"%json\s*(?=\{)")
_LITERALS = re.compile(r'"(?:\\.|[^"\\\n])*"|/(?:\\.|[^/\\\n])*/|//[^\n]*|#[^\n]*')
_GBNF = re.compile(
    r"^[ \t]*[A-Za-z][\w-]*[ \t]*::=", re.MULTILINE
)  # no \s: quadratic in blank lines


def serialised(grammar: Grammar) -> str:
    """The JSON text that ``llguidance.LLMatcher`` takes.

    Raises:
        GrammarRefused: a text is none of its kind, or beyond the bounds. Whether the language is
            there and has a text in it is found out by compiling.
    """
    parts = _all_parts(grammar)
    _check_sizes(grammar, parts)
    main, entries = _entries(grammar)
    for name, part in parts:
        own, more = _entries(part)
        entries += [{"name": name, **own}, *more]
    try:
        text = json.dumps({"grammars": [main, *entries]}, ensure_ascii=False, allow_nan=False)
    except ValueError:  # 1e999 is read as infinity
        raise GrammarRefused(wording.TOO_LARGE_NUMBER) from None
    if not _is_unicode(text):
        raise GrammarRefused(_HALF_CHARACTER)
    return text


def _all_parts(grammar: Grammar) -> list[tuple[str, Grammar]]:
    """Parts, and theirs; names are one space for all."""
    found: list[tuple[str, Grammar]] = []
    for name, part in grammar.parts:
        found += [(name, part), *_all_parts(part)]
    return found


def _check_sizes(grammar: Grammar, parts: list[tuple[str, Grammar]]) -> None:
    size = sum(
        len(one.text) + sum(map(len, one.choices))
        for one in (grammar, *(part for _, part in parts))
    )
    if size > bounds.MAX_TEXT:
        raise GrammarRefused(
            f"The grammar has {size} characters; at most {bounds.MAX_TEXT} are taken. "
            "Make it shorter."
        )
    if len(parts) > bounds.MAX_PARTS:
        raise GrammarRefused(
            f"The grammar has {len(parts)} parts; at most {bounds.MAX_PARTS} are taken."
        )
    for one in (grammar, *(part for _, part in parts)):
        if len(one.choices) > bounds.MAX_CHOICES:
            raise GrammarRefused(
                f"There are {len(one.choices)} choices; at most {bounds.MAX_CHOICES} are taken."
            )
        if one.kind == "regex" and len(one.text) > bounds.MAX_REGEX:
            raise GrammarRefused(
                f"The regular expression has {len(one.text)} characters; at most "
                f"{bounds.MAX_REGEX} are taken."
            )
        if not all(map(_is_unicode, (one.text, *one.choices))):
            raise GrammarRefused(_HALF_CHARACTER)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entries(grammar: Grammar) -> tuple[JsonObject, list[JsonObject]]:
    """A grammar's own entry, and those that it refers to beside its parts."""
    if grammar.kind == "structural":
        return structural.entries(grammar.text)
    return _entry(grammar), []


def _entry(grammar: Grammar) -> JsonObject:
    match grammar.kind:
        case "json_schema":
            schema = json_schema.prepared(
                json_schema.read(grammar.text), is_closed=grammar.is_closed
            )
            return {"json_schema": _with_options(schema, grammar)}
        case "regex":
            return {"lark_grammar": f"start: /{regex_to_lark(grammar.text, use_ascii='')}/"}
        case "choice":
            return {"lark_grammar": f"start: {' | '.join(map(literal, grammar.choices))}"}
        case "lark":
            return {"lark_grammar": _lark(grammar.text)}
        case "structural":
            return {}


def _lark(text: str) -> str:
    """Lark, or llama.cpp's GBNF turned into it: that has ``::=`` where Lark has a colon."""
    if not _GBNF.search(text):
        num_operators = sum(map(_LITERALS.sub("", text).count, "&~"))
        if num_operators > bounds.MAX_INTERSECTIONS:
            raise GrammarRefused(
                f"The grammar has {num_operators} operators & and ~; at most "
                f"{bounds.MAX_INTERSECTIONS} are taken."
            )
        _check_inline_schemas(text)
        return text
    if len(text) > bounds.MAX_GBNF:
        raise GrammarRefused(
            f"The grammar (GBNF) has {len(text)} characters; at most {bounds.MAX_GBNF} are taken. "
            "Write it in Lark, or make it shorter."
        )
    try:
        converted: str = gbnf_to_lark(text)
    except RecursionError:
        raise GrammarRefused("The grammar (GBNF) is nested too deeply. Make it flatter.") from None
    except GbnfToLarkError as error:
        reason, _, place = str(error).partition(" at line ")
        where = f" at line {place.split(',')[0]}" if place else ""
        raise GrammarRefused(f"The grammar (GBNF) cannot be read{where}: {reason[:120]}.") from None
    except Exception as error:  # noqa: BLE001 - llguidance's own converter raises bare Exception
        reason = str(error)[:120] or type(error).__name__
        raise GrammarRefused(f"The grammar (GBNF) cannot be read: {reason}.") from None
    return converted


def _check_inline_schemas(text: str) -> None:
    """Hold schemas within a Lark text (``%json {...}``) to the bounds of a schema."""
    decoder = json.JSONDecoder()
    for place in _INLINE.finditer(text):
        try:
            schema, _ = decoder.raw_decode(text, place.end())
        except RecursionError:
            raise GrammarRefused("A schema in the grammar is nested too deeply.") from None
        except ValueError:
            continue  # llguidance will say what is wrong, and where
        json_schema.read(json.dumps(schema))


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
