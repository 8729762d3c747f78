"""A trial of rules on a text: what they would make of it, and where they hit."""

from __future__ import annotations

from dataclasses import dataclass

from serve.governance.masking.normalised import normalise
from serve.governance.masking.pseudonyms import SHAPE, Pseudonyms
from serve.governance.masking.replacing import Replacing, scanner_of
from serve.governance.masking.rules import Action, Rule, RuleSet
from serve.governance.masking.scan import Hit
from serve.governance.masking.stream import BlockedError, masked
from serve.governance.text_place import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One hit.

    Attributes:
        line: from 1.
        column: from 1, in characters.
        size: characters of the data as it was written.
        value: the data; for whoever asks to see it.
    """

    rule: str
    action: Action
    line: int
    column: int
    size: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The text that rules make of one; a label stands where they would block it.

    Attributes:
        hits: in order.
    """

    text: str
    hits: tuple[Place, ...]

    @property
    def blocked_by(self) -> str | None:
        """The first rule that would refuse the text."""
        return next((hit.rule for hit in self.hits if hit.action == "block"), None)


def tried(text: str, rules: RuleSet) -> Trial:
    """The trial of a text."""
    scanner = scanner_of(rules)
    replacing = Replacing(rules, Pseudonyms(SHAPE.findall(text)), lambda _rule: None)

    def replaced(hit: Hit, key: str, value: str) -> str | None:
        try:
            return replacing(hit, key, value)
        except BlockedError:
            return f"[{hit.detector.label}]"

    reading = normalise(text)
    hits, _ = scanner.scan(reading.text, 0, is_last=True)
    rule_of = {detector.name: rule for rule in rules.rules for detector in rule.detectors}
    lines = Lines(text)
    places = tuple(
        _place(
            text,
            lines,
            rule_of[hit.detector.name],
            reading.start(hit.found.value_start),
            reading.end(hit.found.value_end),
        )
        for hit in hits
    )
    return Trial(text=masked(text, scanner, replaced), hits=places)


def _place(text: str, lines: Lines, rule: Rule, start: int, end: int) -> Place:
    line, column = lines.place(start)
    return Place(
        rule=rule.name,
        action=rule.action,
        line=line,
        column=column,
        size=end - start,
        value=text[start:end],
    )
