"""The rules in force: the limits file's, read again when it changes, and those of keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serve import timeline
from serve.errors import StartupError
from serve.governance.limits.existence import Known
from serve.governance.limits.limits_file import limit_of_key, read_rules
from serve.governance.limits.rules import Limit, Rules
from serve.governance.principal import Principal

log = logging.getLogger(__name__)

RELOAD_INTERVAL_S = 1.0

KeyLimits = Callable[[str], Mapping[str, Any] | None]
"""The limits that are stored with the key of an id; None where it has none, or is none of ours."""


def no_key_limits(_key_id: str) -> None:
    """Limits of keys on a server whose keys have none."""


class RulesInForce:
    """Rules that follow a file.

    A change is noticed by the first request after it, at most a second late, or by a scrape. A new
    file that cannot be used is logged as an error and the rules known so far stay.

    Args:
        path: of the limits file; None has no rules but those of keys.
        known: all that exists, asked each time the file is read.
        on_rules: told of all rules that come into force.
        clock: monotonic seconds.

    Raises:
        StartupError: the file cannot be used.
    """

    def __init__(
        self,
        path: Path | None,
        known: Callable[[], Known],
        *,
        key_limits: KeyLimits = no_key_limits,
        on_rules: Callable[[Rules], None] = lambda _rules: None,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._path = path
        self._known = known
        self._key_limits = key_limits
        self._on_rules = on_rules
        self._clock = clock
        self._signature = self._signed()
        self._rules = self._read()
        self._checked_at = clock()
        self._of_keys: dict[str, tuple[Mapping[str, Any], Limit]] = {}
        self.is_in_force = True

    @property
    def rules(self) -> Rules:
        """The rules as they are now."""
        if self._clock() - self._checked_at >= RELOAD_INTERVAL_S:
            self.follow()
        return self._rules

    def limits_for(self, rules: Rules, principal: Principal) -> tuple[Limit, ...]:
        """All limits that may be for a caller; those of its key come first.

        Raises:
            StartupError: what is stored with the key are no limits.
        """
        stored = self._key_limits(principal.key_id)
        if not stored:
            return rules.limits
        known = self._of_keys.get(principal.key_id)
        if known is None or known[0] != stored:
            if len(self._of_keys) >= 10_000:  # keys that are gone
                self._of_keys.clear()
            known = self._of_keys[principal.key_id] = (stored, limit_of_key(stored))
        return (known[1], *rules.limits)

    def follow(self) -> None:
        """Read the file again if it has changed since the last look."""
        self._checked_at = self._clock()
        signature = self._signed()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._rules = self._read()
        except StartupError as error:
            self.is_in_force = False
            log.error("limits not reloaded, the ones known stay in force: %s", error)  # noqa: TRY400
        else:
            self.is_in_force = True
            log.info("limits reloaded: %d limits", len(self._rules.limits))

    def _read(self) -> Rules:
        known = self._known()
        rules = Rules(aliases=known.aliases)
        if self._path is not None:
            rules = read_rules(self._path, known)
        self._on_rules(rules)
        return rules

    def _signed(self) -> tuple[int, ...] | None:
        """A value that changes when the file does; None where it is not there."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)
