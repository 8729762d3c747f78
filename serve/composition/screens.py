"""The screens that prompts and answers pass, from the settings, in their order.

::

    prompt ── masking ── engine ── masking ── answer
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serve.config import Config
from serve.governance.screening import Screen, Screens
from serve.observe.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """The screens of a server.

    Attributes:
        reloads: each reads the file of one of them again, changed or not.
    """

    screens: Screens
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
    screens: list[Screen] = []
    if config.masking_file is not None:
        # Only where it is asked for: it makes a table of all characters, and imports RE2.
        from serve.composition.masking import open_masking  # noqa: PLC0415

        screens.append(open_masking(config.masking_file, metrics, reloads))
    return Screening(screens=Screens(screens), reloads=tuple(reloads))
