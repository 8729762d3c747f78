"""The screens that prompts and answers pass, from the settings, in their order.

::

    prompt ── presets ── masking ── content filter ── engine
    answer ◀─ presets' rules ◀─ masking ◀─ content filter ◀─┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serve.config import Config
from serve.governance.followed_file import FollowedFile, on_a_thread
from serve.governance.moderating import Moderator
from serve.governance.presets.preset_rules import PresetRules, built_in
from serve.governance.presets.presets import Presets
from serve.governance.screening import Screen, Screens
from serve.observe.metrics import Metrics

if TYPE_CHECKING:  # a server without a content filter needs none of its libraries
    from serve.governance.filtering.content_filter import ContentFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """The screens of a server.

    Attributes:
        moderator: the content filter; None where there is none.
        reloads: each reads the file of one of them again, changed or not.
    """

    screens: Screens
    moderator: Moderator | None
    reloads: tuple[Callable[[], None], ...]

    def reload(self) -> None:
        """Read their files again."""
        for reload in self.reloads:
            reload()


def open_screens(config: Config, metrics: Metrics) -> Screening:
    """The screens.

    Raises:
        StartupError: one of their files cannot be used.
    """
    reloads: list[Callable[[], None]] = []
    screens: list[Screen] = [_presets(config.presets_file, metrics, reloads)]
    if config.masking_file is not None:
        # Only where it is asked for: it makes a table of all characters, and imports RE2.
        from serve.composition.masking import open_masking  # noqa: PLC0415

        screens.append(open_masking(config.masking_file, metrics, reloads))
    content_filter = None
    if config.content_filter_file is not None:
        content_filter = _content_filter(config.content_filter_file, metrics, reloads)
        screens.append(content_filter)
    return Screening(screens=Screens(screens), moderator=content_filter, reloads=tuple(reloads))


def _presets(path: Path | None, metrics: Metrics, reloads: list[Callable[[], None]]) -> Presets:
    if path is None:
        return Presets(built_in, metrics)
    from serve.governance.presets.presets_file import read_presets  # noqa: PLC0415

    def read(path: Path) -> PresetRules:
        rules = read_presets(path)
        for name, answers in rules.answers.items():
            if answers.must_match is not None:
                metrics.answer_rule_known(name)
        return rules

    file = FollowedFile(path, read, "presets")
    metrics.attach_rules_file("presets_file_usable", lambda: file.is_in_force)
    reloads.append(lambda: file.follow(always=True))
    return Presets(lambda: file.content, metrics)


def _content_filter(
    path: Path, metrics: Metrics, reloads: list[Callable[[], None]]
) -> ContentFilter:
    from serve.governance.filtering.content_filter import ContentFilter  # noqa: PLC0415
    from serve.governance.filtering.filter_file import read_filter  # noqa: PLC0415
    from serve.governance.filtering.matchers import Matchers  # noqa: PLC0415

    def read(path: Path) -> Matchers:
        rules = read_filter(path)
        matchers = Matchers(rules)
        matchers.prepare()
        for rule in rules.rules:
            metrics.content_filter_known(rule.name, sorted(rule.on), rule.action)
        return matchers

    # A long list of words takes a second: the rules before it are in force meanwhile.
    file = FollowedFile(path, read, "content filter", start=on_a_thread)
    metrics.attach_rules_file("content_filter_file_usable", lambda: file.is_in_force)
    reloads.append(lambda: file.follow(always=True))
    return ContentFilter(lambda: file.content, metrics)
