"""The masking file: TOML, read whole, and refused whole where one line of it cannot be meant::

    version = "7"                      for verdicts; the file's digest where it is not given

    [default]                          for every tenant without a table of its own
    mask = ["personal"]                detectors, groups of them, and patterns of this file
    pseudonymise = ["email", "employee"]
    block = ["secrets"]
    count = ["ip"]
    where = "both"                     or "prompts", or "answers"

    [tenants.research]                 what it names is as it says, the rest as by default
    off = ["email"]

    [patterns.employee]
    pattern = 'EMP[0-9]{6}'            RE2
    max_chars = 9                      most characters of a match
    label = "EMPLOYEE"                 the word for it in masked text

docs/masking.md explains each field.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from models import plain_file
from serve.errors import StartupError
from serve.governance.limits.fields import Fields
from serve.governance.masking.custom import (
    MAX_MATCH_CHARS,
    MAX_PATTERN_CHARS,
    BadPatternError,
    CustomDetector,
    compiled,
)
from serve.governance.masking.detector import Detector
from serve.governance.masking.detectors.catalogue import DETECTORS, GROUPS
from serve.governance.masking.normalised import table
from serve.governance.masking.pseudonyms import MAX_LABEL_CHARS
from serve.governance.masking.rules import ACTIONS, Action, Rule, Rules, RuleSet
from serve.suggestion import near

MAX_FILE_BYTES = 1 << 20
MAX_PATTERNS = 100
MAX_TENANTS = 1000

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LABEL = re.compile(rf"[A-Z][A-Z0-9_]{{0,{MAX_LABEL_CHARS - 1}}}")
_SIDES = {"both": (True, True), "prompts": (True, False), "answers": (False, True)}
_OWN_NAMES = {detector.name for all_ in DETECTORS.values() for detector in all_} | {"pseudonym"}


class _Table(Fields):
    """A table with lists of names."""

    def names(self, name: str) -> list[str]:
        """A list of strings; empty where it is not given. Raises StartupError."""
        value = self._table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.refuse(f"{name} is {value!r}: a list of strings is needed")
        return value


Chosen = dict[str, Action]
"""The action for each detector or pattern that a table names."""


def read_rules(path: Path) -> Rules:
    """Read a masking file.

    Raises:
        StartupError: it cannot be read, or a line of it cannot be meant.
    """
    try:
        text = plain_file.read_text(path, MAX_FILE_BYTES, may_be_link=True)
    except FileNotFoundError:
        raise StartupError(f"Masking file {path} is not there.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartupError(f"Masking file {path} cannot be used: {reason}") from None
    try:
        return parse_rules(text)
    except StartupError as error:
        raise StartupError(f"Masking file {path}: {error}") from None


def parse_rules(text: str) -> Rules:
    """The rules of a masking file's text.

    Raises:
        StartupError: it is no TOML, or a line of it cannot be meant.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise StartupError(f"it is no TOML: {error}") from None
    top = Fields("the top of the file", document, ("version", "default", "tenants", "patterns"))
    if "default" not in document and "tenants" not in document:
        top.refuse("it masks nothing: give [default], or a table for a tenant")
    table()  # made once for the process, in a quarter of a second
    digest = hashlib.sha256(text.encode()).hexdigest()
    patterns = _patterns(document.get("patterns", {}))
    chosen, sides = _table("[default]", document.get("default", {}), patterns, {}, "both")
    tenants = {}
    for name, fields in _named(document.get("tenants", {}), "[tenants]", MAX_TENANTS):
        place = f'[tenants."{name}"]'
        tenants[name] = _set(*_table(place, fields, patterns, chosen, sides), patterns)
    _check_used(patterns, [_set(chosen, sides, patterns), *tenants.values()])
    return Rules(
        version=top.text("version") or digest[:12],
        digest=digest,
        default=_set(chosen, sides, patterns),
        tenants=tenants,
    )


def _patterns(tables: object) -> dict[str, CustomDetector]:
    return {
        name: _pattern(name, fields) for name, fields in _named(tables, "[patterns]", MAX_PATTERNS)
    }


def _pattern(name: str, given: object) -> CustomDetector:
    fields = Fields(f"[patterns.{name}]", given, ("pattern", "max_chars", "label"))
    if not _NAME.fullmatch(name):
        fields.refuse("its name is not of small letters, digits and underscores, 32 at most")
    if name in _OWN_NAMES or name in GROUPS:
        fields.refuse(f"{name!r} is a detector already: give it another name")
    max_chars = fields.count("max_chars", MAX_MATCH_CHARS)
    label = fields.text("label") or name.upper()
    if not _LABEL.fullmatch(label):
        fields.refuse(
            f"label is {label!r}: capital letters, digits and underscores, {MAX_LABEL_CHARS} at "
            "most"
        )
    pattern = given.get("pattern") if isinstance(given, Mapping) else None
    if not isinstance(pattern, str) or not pattern:
        fields.refuse("a pattern is needed: a string, in RE2's syntax")
    if len(pattern) > MAX_PATTERN_CHARS:
        fields.refuse(f"pattern has {len(pattern)} characters: at most {MAX_PATTERN_CHARS}")
    if max_chars is None:
        fields.refuse(
            "max_chars is needed: the most characters of a match, for a stream is held back so far"
        )
    try:
        regexp = compiled(pattern)
    except BadPatternError as error:
        fields.refuse(f"pattern cannot be used: {error}")
    return CustomDetector(name=name, label=label, regexp=regexp, max_chars=max_chars)


def _table(
    place: str,
    given: object,
    patterns: Mapping[str, CustomDetector],
    default: Chosen,
    default_sides: str,
) -> tuple[Chosen, str]:
    """The actions of a table, over those of the default one, and where they apply."""
    fields = _Table(place, given, (*ACTIONS, "off", "where"))
    known = (*DETECTORS, *GROUPS, *patterns)
    named: dict[str, Action | None] = {}
    for action, becomes in (*zip(ACTIONS, ACTIONS, strict=True), ("off", None)):
        for name in fields.names(action):
            if name not in known:
                fields.refuse(
                    f"{action} names {name!r}, which is no detector, group or pattern."
                    f"{near(name, known)} Known: {', '.join(known)}"
                )
            if name in named:
                fields.refuse(f"{name!r} is named twice: one thing becomes of it")
            named[name] = becomes
    sides = fields.text("where") or default_sides
    if sides not in _SIDES:
        fields.refuse(f'where is {sides!r}: "both", "prompts" or "answers"')
    chosen: dict[str, Action | None] = dict(default)
    for name, value in sorted(named.items(), key=lambda item: item[0] not in GROUPS):
        chosen |= dict.fromkeys(GROUPS.get(name, (name,)), value)  # groups first, then single ones
    return {name: value for name, value in chosen.items() if value is not None}, sides


def _set(chosen: Chosen, sides: str, patterns: Mapping[str, CustomDetector]) -> RuleSet:
    """The rules in order: the operator's patterns first, for they know their own data best."""
    detectors: dict[str, tuple[Detector, ...]] = {name: (each,) for name, each in patterns.items()}
    detectors |= DETECTORS
    rules = tuple(
        Rule(name=name, action=chosen[name], detectors=own)
        for name, own in detectors.items()
        if name in chosen
    )
    prompts, answers = _SIDES[sides]
    return RuleSet(rules=rules, prompts=prompts, answers=answers)


def _check_used(patterns: Mapping[str, CustomDetector], sets: list[RuleSet]) -> None:
    used = {rule.name for each in sets for rule in each.rules}
    for name in patterns:
        if name not in used:
            raise StartupError(f"[patterns.{name}]: no table names it: say what becomes of it.")


def _named(tables: object, place: str, most: int) -> list[tuple[str, object]]:
    if not isinstance(tables, Mapping):
        raise StartupError(f"{place}: is not a table of tables.")
    if len(tables) > most:
        raise StartupError(f"{place}: there are {len(tables)}: at most {most}.")
    return list(tables.items())
