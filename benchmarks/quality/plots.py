"""Two charts as one PNG, drawn with Pillow: nothing more than a report needs.

Left, the weights with the largest error; right, how the KL divergence is spread over the tokens, on
a logarithmic axis, because it goes over many powers of ten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN = 1500, 640, 60
_LABELS, _FIGURES = 330, 90
_INK, _BAR, _MARK = "#222222", "#3465a4", "#c4342d"
_FLOOR, _CEILING = -10, 1
"""Decades of the KL axis; what lies beyond is in the outermost bar."""
_BINS = 44
_WORST = 20


def draw(
    path: Path,
    *,
    title: str,
    worst: Sequence[tuple[str, float]],
    kl: Sequence[float],
    mean_kl: float | None,
) -> None:
    """Write the PNG.

    Args:
        path: of the file.
        title: above both.
        worst: weights and their relative squared errors, the largest first; at most 20 are drawn.
        kl: of every token, in nats; may be empty.
        mean_kl: marked with a line; None where there is none.

    Raises:
        OSError: it cannot be written.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    font, large = ImageFont.load_default(15), ImageFont.load_default(20)
    pen.text((MARGIN, 14), title, _INK, large)
    middle = WIDTH // 2
    _bars(pen, font, (MARGIN, 90, middle - 30, HEIGHT - MARGIN), worst[:_WORST])
    _histogram(pen, font, (middle + 60, 90, WIDTH - MARGIN, HEIGHT - MARGIN), kl, mean_kl)
    image.save(path, "PNG", optimize=True)


def bins(kl: Sequence[float]) -> list[int]:
    """Numbers of tokens in each of the bars, which are equally wide in log10."""
    counts = [0] * _BINS
    for value in kl:
        decades = math.log10(value) if value > 0 else _FLOOR
        at = int((decades - _FLOOR) / (_CEILING - _FLOOR) * _BINS)
        counts[min(max(at, 0), _BINS - 1)] += 1
    return counts


def _bars(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    frame: tuple[int, int, int, int],
    worst: Sequence[tuple[str, float]],
) -> None:
    left, top, right, bottom = frame
    pen.text((left, top - 30), "relative squared error of the worst weights", _INK, font)
    drawn = [(name, value) for name, value in worst if value > 0]
    if not drawn:
        pen.text((left, top), "none", _INK, font)
        return
    start, largest = left + _LABELS, drawn[0][1]
    step = (bottom - top) / max(len(drawn), 8)
    for number, (name, value) in enumerate(drawn):
        y = top + step * (number + 0.5)
        # The end of a name says which weight it is.
        shown = name if len(name) <= 38 else "..." + name[-35:]
        pen.text((start - 8, y), shown, _INK, font, anchor="rm")
        end = start + (right - start - _FIGURES) * value / largest
        pen.rectangle((start, y - step * 0.35, end, y + step * 0.35), _BAR)
        pen.text((end + 8, y), f"{value:.2e}", _INK, font, anchor="lm")


def _histogram(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    frame: tuple[int, int, int, int],
    kl: Sequence[float],
    mean_kl: float | None,
) -> None:
    left, top, right, bottom = frame
    pen.text((left, top - 30), "KL divergence per token, nats (share of tokens)", _INK, font)
    if not kl:
        pen.text((left, top), "this engine gives no whole distributions", _INK, font)
        return
    counts = bins(kl)
    largest = max(counts)
    width = (right - left) / _BINS
    for number, count in enumerate(counts):
        x, height = left + number * width, (bottom - top) * count / largest
        if count:
            pen.rectangle((x + 1, bottom - height, x + width - 1, bottom), _BAR)
    pen.line((left, bottom, right, bottom), _INK)
    for decade in range(_FLOOR, _CEILING + 1):
        x = left + (right - left) * (decade - _FLOOR) / (_CEILING - _FLOOR)
        label = f"<=1e{decade}" if decade == _FLOOR else f"1e{decade}"
        pen.text((x, bottom + 8), label, _INK, font, anchor="ma")
    note = f"highest bar: {largest / len(kl):.1%} of {len(kl):,} tokens"
    pen.text((right, top), note, _INK, font, anchor="ra")
    if mean_kl is not None and mean_kl > 0:
        place = min(max(math.log10(mean_kl), _FLOOR), _CEILING)
        x = left + (right - left) * (place - _FLOOR) / (_CEILING - _FLOOR)
        pen.line((x, top + 24, x, bottom), _MARK, 2)
        pen.text((x + 6, top + 24), f"mean {mean_kl:.2e}", _MARK, font)
