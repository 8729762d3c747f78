"""The content filter's file: TOML, read whole, and refused whole where a line cannot be meant::

    version = "2026-11-29"             named with each hit

    [[rules]]
    name = "weapons"
    category = "illicit/violent"       one of /v1/moderations', or one of your own
    words = ["pipe bomb", "土制炸弹"]
    patterns = ["detonat(e|or)s?"]     RE2, of at most 256 characters
    action = "block"                   or "count": told in metrics and records, and nothing else
    on = ["input", "output"]           either, or both as where it is not given
    whole_words = true                 "bad" is not in "badge"; never asked of Chinese
    tenant = "clinic"                  for that tenant alone; for everyone where it is not given

    [tenants.lab]
    default_rules = false              only its own rules are for this tenant

docs/content-filter.md explains each field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

from serve.errors import StartupError
from serve.governance.file_tables import Table, digest_of, read_document
from serve.governance.filtering.folding import folded
from serve.governance.filtering.rules import CATEGORIES, Direction, Rule, RuleSet
from serve.governance.filtering.widths import any_of, compiled

MAX_RULES: Final = 1000
MAX_WORDS: Final = 100_000
MAX_WORD_CHARS: Final = 64
MAX_PATTERNS: Final = 64
"""For each rule: each pattern is a pass of its own over the text."""
MAX_PATTERN_CHARS: Final = 512

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CATEGORY = re.compile(r"[a-z][a-z0-9-]{0,31}(/[a-z][a-z0-9-]{0,31})?")
_FIELDS = (
    *("name", "version", "category", "words", "patterns", "action", "on", "whole_words"),
    "tenant",
)
_KIND = "Content filter file"


def read_filter(path: Path) -> RuleSet:
    """Read a content filter's file.

    Raises:
        StartupError: it cannot be read, or a line of it cannot be meant.
    """
    document = read_document(path, _KIND)
    try:
        return parse_filter(document)
    except StartupError as error:
        raise StartupError(f"{_KIND} {path}: {error}") from None


def parse_filter(document: Mapping[str, Any]) -> RuleSet:
    """The rules of a file's content. Raises StartupError."""
    top = Table("the top of the file", document, ("version", "rules", "tenants"))
    version = _name(top, "version", needed=True)
    tables = document.get("rules", [])
    if not isinstance(tables, list) or not tables:
        raise StartupError("[[rules]]: there are none: write [[rules]] before each.")
    if len(tables) > MAX_RULES:
        raise StartupError(f"[[rules]]: there are {len(tables)}: at most {MAX_RULES}.")
    rules: list[Rule] = []
    for number, table in enumerate(tables, start=1):
        rules.append(_rule(number, table, version, {rule.name for rule in rules}))
    try:
        any_of([pattern for rule in rules for pattern in rule.patterns])
    except ValueError as error:
        raise StartupError(f"[[rules]]: {error}.") from None
    own = {rule.category: None for rule in rules if rule.category not in CATEGORIES}
    without = _tenants_without_default(top.inner("tenants"), rules)
    return RuleSet(
        version=version,
        rules=tuple(rules),
        digest=digest_of(document),
        without_default=without,
        categories=(*CATEGORIES, *own),
    )


def _rule(number: int, table: object, version: str, taken: set[str]) -> Rule:
    place = f"[[rules]] no. {number}"
    if isinstance(table, Mapping) and isinstance(table.get("name"), str):
        place += f", {table['name'][:64]!r}"
    fields = Table(place, table, _FIELDS)
    name = _name(fields, "name", needed=True)
    if name in taken:
        fields.refuse("another rule has the same name: errors and metrics tell them by it")
    words = fields.texts("words", MAX_WORDS, MAX_WORD_CHARS)
    patterns = fields.texts("patterns", MAX_PATTERNS, MAX_PATTERN_CHARS)
    if not (words or patterns):
        fields.refuse("it looks for nothing: give words or patterns")
    for word in words:
        if not folded(word):
            fields.refuse(f"the word {word!r} has no character that is seen")
    for pattern in patterns:
        try:
            compiled(pattern)
        except ValueError as error:
            fields.refuse(f"the pattern {pattern!r} cannot be used: {error}")
    is_whole = fields.flag("whole_words")
    return Rule(
        name=name,
        version=_name(fields, "version", needed=False) or version,
        category=_category(fields),
        action=cast("Any", fields.one_of("action", ("block", "count")) or "block"),
        words=words,
        patterns=patterns,
        is_whole=True if is_whole is None else is_whole,
        on=_directions(fields),
        tenant=fields.text("tenant"),
    )


def _name(fields: Table, name: str, *, needed: bool) -> str:
    value = fields.text(name)
    if value is None and not needed:
        return ""
    if value is None or not _NAME.fullmatch(value):
        fields.refuse(f"a {name} is needed: up to 64 letters, digits, dots, dashes and underscores")
    return value


def _category(fields: Table) -> str:
    category = fields.text("category")
    if category is None or not _CATEGORY.fullmatch(category):
        fields.refuse(
            f"category is {category!r}: one of {', '.join(CATEGORIES)}, or one of your own, of "
            "small letters, digits and dashes, with one slash at most"
        )
    if category not in CATEGORIES and (likely := get_close_matches(category, CATEGORIES, 1, 0.9)):
        fields.refuse(f"category is {category!r}: did you mean {likely[0]}?")
    return category


def _directions(fields: Table) -> frozenset[Direction]:
    given = fields.texts("on", 2, 16)
    allowed: tuple[Direction, ...] = ("input", "output")
    for direction in given:
        if direction not in allowed:
            fields.refuse(f"on has {direction!r}: it takes 'input' and 'output', one or the two")
    return frozenset(cast("tuple[Direction, ...]", given) or allowed)


def _tenants_without_default(tables: Mapping[str, Any], rules: list[Rule]) -> frozenset[str]:
    without = set()
    for name, table in tables.items():
        fields = Table(f'[tenants."{name}"]', table, ("default_rules",))
        if fields.flag("default_rules") is False:
            without.add(name)
            continue
        if not any(rule.tenant == name for rule in rules):
            fields.refuse("it says nothing: default_rules = false, or rules of that tenant's own")
    return frozenset(without)
