"""Log lines without personal data and secrets: a second net below the rule that none holds text."""

from __future__ import annotations

from serve.governance.masking.detectors.catalogue import DETECTORS, GROUPS
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import masked

MAX_CHARS = 4096
"""Characters of a line that are looked at; the rest is left out."""
_SCANNER = Scanner(
    detector for name in (*GROUPS["secrets"], *GROUPS["personal"]) for detector in DETECTORS[name]
)


def masked_line(text: str) -> str:
    """A log line's text with labels in the place of personal data and secrets.

    Addresses of machines stay: an operator looks for them.
    """
    cut = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."
    return masked(cut, _SCANNER, _label)


def _label(hit: Hit, _key: str, _value: str) -> str:
    return f"[{hit.detector.label}]"
