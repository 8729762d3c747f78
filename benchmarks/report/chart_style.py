"""The style of all charts: colours, sizes of text, and the frame."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Chart: TypeAlias = Callable[["Axes"], None]
OURS = (*("#0b3d91", "#2f6fd0", "#7fb0f5", "#00a0a0", "#00645f", "#5fd0c8", "#4b3fb0", "#9a90e8"),)
THEIRS = (
    *("#b85c00", "#e0a14f", "#8a8a8a", "#5f8f5f", "#a05f8f", "#c9b037", "#7a3b12", "#444444"),
    *("#9fc79f", "#d9a3c9", "#c43d3d", "#7d7440"),
)
INK, GRID = "#222222", "#dddddd"
SMALL, TITLE = 9.0, 11.0
"""Points of text; nothing is smaller than the first."""
_TITLE_WIDTH = 80


def tints(names: Sequence[str]) -> dict[str, str]:
    """A colour for each system: ours are blue."""
    ours = [name for name in names if name.startswith("intramural")]
    others = [name for name in names if name not in ours]
    return {
        **{name: OURS[at % len(OURS)] for at, name in enumerate(ours)},
        **{name: THEIRS[at % len(THEIRS)] for at, name in enumerate(others)},
    }


def finish(axes: Axes, title: str) -> None:
    """The title, the grid, and the legend beside the data."""
    axes.set_title(
        textwrap.fill(title, _TITLE_WIDTH), fontsize=TITLE, color=INK, loc="left", parse_math=False
    )
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=SMALL)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
