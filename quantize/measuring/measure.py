"""The model before and after over the same texts: how far apart their next tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from models.progress import Progress
from models.quality import Better, Quality, TextFigures
from quantize.formats.forms import Linear
from quantize.measuring import rounding
from quantize.measuring import windows as windows_
from quantize.measuring.head import Comparison, Rows
from quantize.measuring.matrices import Folder
from quantize.measuring.network import Network
from quantize.measuring.products import Advance, rounded, streamed
from quantize.measuring.texts import Text
from quantize.measuring.windows import Window
from quantize.protocol import Quantizer

ACTIVATION_BYTES = 400_000_000
"""The most float32 activations that are held at once, but for those of a single window."""
_HELD = 4
"""Tensors as wide as the widest layer: a gate, its other factor, their product, that rounded."""
_HEAD_TILE = 2048
"""Rows of the vocabulary at a time: their logits of all positions are held, of both models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A measurement of one model.

    Attributes:
        full: the folder of the full weights.
        quantised: that of the quantised ones.
        layers: what is quantised in it.
        quantizer: how.
        texts: that both read.
    """

    full: Path
    quantised: Path
    layers: Sequence[Linear]
    quantizer: Quantizer
    texts: Sequence[Text]

    def run(self, progress: Progress, better: Better | None) -> Quality:
        """Measure. Reads every weight of both folders once for each batch of windows.

        Args:
            progress: told of the phase ``measure``, in bytes.
            better: for the result.

        Raises:
            QuantizeError: transformers does not know the model, a weight is missing, or what comes
                out is no number.
            OptionError: a text is too short.
            OSError: something cannot be read.
        """
        network = Network(self.full)
        windows = windows_.of_texts(self.full, self.texts, network.num_positions)
        batches = [*windows_.batches(windows, batch_tokens(network.widest))]
        with (
            Folder(self.full) as full,
            Folder(self.quantised, self.layers, self.quantizer) as quantised,
        ):
            total = network.read_bytes(full) + network.read_bytes(quantised)
            progress.phase("measure", total * len(batches))
            rows = [
                window_rows
                for batch in batches
                for window_rows in self._compare(network, full, quantised, batch, progress.advance)
            ]
            return self._quality(rows, windows, full.num_weights, better)

    def _compare(
        self,
        network: Network,
        full: Folder,
        quantised: Folder,
        batch: list[Window],
        advance: Advance,
    ) -> list[Rows]:
        """The rows of each window."""
        tokens = windows_.padded(batch)
        by_engine = rounding.of_scheme(self.quantizer.scheme)
        hidden = [
            _predicting(network.forward(folder, tokens, streamed(folder, how, advance)), batch)
            for folder, how in ((full, None), (quantised, by_engine))
        ]
        following = [token for window in batch for token in window.tokens[window.first + 1 :]]
        rows = _heads(network, (full, quantised), hidden, by_engine, torch.tensor(following))
        for folder in (full, quantised):
            advance(network.head_of(folder)[1].num_bytes)
        return rows.split([window.num_predicted for window in batch])

    def _quality(
        self,
        rows: Sequence[Rows],
        windows: Sequence[Window],
        num_weights: int,
        better: Better | None,
    ) -> Quality:
        of_texts = [
            TextFigures(
                name=text.name,
                sha256=text.sha256,
                **asdict(_of_text(number, rows, windows).figures()),
            )
            for number, text in enumerate(self.texts)
        ]
        return Quality(
            **asdict(Rows.joined(rows).figures()),
            num_weights=num_weights,
            texts=tuple(of_texts),
            better=better,
        )


def _of_text(number: int, rows: Sequence[Rows], windows: Sequence[Window]) -> Rows:
    """The positions of one text, in order."""
    return Rows.joined(
        [part for part, window in zip(rows, windows, strict=True) if window.text == number]
    )


def batch_tokens(widest: int) -> int:
    """Tokens that go together through a model whose widest layer has so many inputs or outputs."""
    return min(windows_.BATCH_TOKENS, ACTIVATION_BYTES // (_HELD * 4 * widest))


def _predicting(hidden: torch.Tensor, batch: Sequence[Window]) -> torch.Tensor:
    """The states that say what comes next, ``[n, hidden]``, window after window."""
    return torch.cat(
        [
            states[window.first : len(window.tokens) - 1]
            for states, window in zip(hidden, batch, strict=True)
        ]
    )


def _heads(
    network: Network,
    folders: tuple[Folder, Folder],
    hidden: Sequence[torch.Tensor],
    by_engine: rounding.Rounding | None,
    following: torch.Tensor,
) -> Rows:
    """Both models' distributions compared."""
    full, quantised = (network.head_of(folder)[1] for folder in folders)
    inputs = hidden[0], rounded(hidden[1], quantised, by_engine)
    comparison = Comparison(following)
    with torch.inference_mode():
        for begin in range(0, full.num_out, _HEAD_TILE):
            end = min(begin + _HEAD_TILE, full.num_out)
            base, other = (
                network.logits(states @ matrix.rows(begin, end).T)
                for states, matrix in zip(inputs, (full, quantised), strict=True)
            )
            comparison.add(begin, base, other)
        return comparison.rows()
