"""Replacements: what stands in a hit's place by its rule, and who is told of the hit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from serve.governance.masking.detector import Found, Spelling
from serve.governance.masking.detectors.forms import compact
from serve.governance.masking.pseudonyms import MAX_CHARS, SHAPE, Pseudonyms
from serve.governance.masking.rules import Rule, RuleSet
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import BlockedError

Told = Callable[[Rule], None]
"""Called for each hit with its rule, and never with what was hit."""


class PseudonymShape:
    """A detector of words in the form of a pseudonym (a Detector)."""

    name = "pseudonym"
    label = "PSEUDONYM"
    spelling: Spelling = "exact"
    has_digit = True

    def found(self, text: str, begin: int, end: int) -> Iterator[Found]:
        """See Detector."""
        at = begin
        while (match := SHAPE.search(text, at)) is not None and match.start() < end:
            yield Found(*match.span(), *match.span())
            at = match.start() + 1

    def pending(self, text: str, begin: int) -> int:
        """See Detector."""
        at = text.rfind("<", max(begin, len(text) - MAX_CHARS))
        return len(text) if at < 0 or ">" in text[at:] else at


SHAPES = PseudonymShape()


class Replacing:
    """Replaces hits by a tenant's rules (a Replace).

    Args:
        rules: of the tenant.
        pseudonyms: of the request or the choice.
        told: of each hit.
    """

    def __init__(self, rules: RuleSet, pseudonyms: Pseudonyms, told: Told) -> None:
        self._rules = {detector.name: rule for rule in rules.rules for detector in rule.detectors}
        self._pseudonyms = pseudonyms
        self._told = told

    def __call__(self, hit: Hit, key: str, value: str) -> str | None:
        """See Replace."""
        if hit.detector is SHAPES:
            self._pseudonyms.reserve(value)
            return None
        rule = self._rules[hit.detector.name]
        self._told(rule)
        if rule.action == "block":
            raise BlockedError(rule.name)
        if rule.action == "count":
            return None
        label = hit.detector.label
        if rule.action == "mask":
            return f"[{label}]"
        return self._pseudonyms.of(label, _same(hit.detector.spelling, key, value), value)


def scanner_of(rules: RuleSet, *, of_answers: bool = False) -> Scanner:
    """The scanner for a tenant's rules.

    Args:
        of_answers: where something gets a pseudonym, words that look like one are looked for, too.
    """
    own = [detector for rule in rules.rules for detector in rule.detectors]
    return Scanner([SHAPES, *own] if of_answers and rules.pseudonymises else own)


def _same(spelling: Spelling, key: str, value: str) -> str:
    """A text that is equal for spellings of one value."""
    if spelling == "exact":
        return value
    return compact(key) if spelling == "compact" else key.casefold()
