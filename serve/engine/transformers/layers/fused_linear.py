"""Layers that read the same rows, computed as one: q, k and v; gate and up.

A decode step is a few hundred small operations; one product over the rows' shared reading instead
of three takes away a good part of them, and quantises rows once. transformers' models call each
projection by its own name, so each name keeps a module, a ``Part``: the first that is called with
some rows computes all, and the others find their columns. Rows are recognised by identity. A model
that hands its projections different tensors gets right answers, only no gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of projections of the same rows, as transformers' models of the Llama kind have them."""


class _Taken:
    """The wide layer's last result, until every part has taken its columns."""

    def __init__(self, num_parts: int) -> None:
        self._num_parts = num_parts
        self._left = 0
        self._rows: torch.Tensor | None = None
        self._result: torch.Tensor | None = None

    def columns(self, wide: nn.Module, rows: torch.Tensor, part: slice) -> torch.Tensor:
        if self._result is None or self._rows is not rows:
            self._rows, self._result, self._left = rows, wide(rows), self._num_parts
        columns = self._result[..., part]
        self._left -= 1
        if not self._left:
            self._rows = self._result = None
        return columns


class Part(nn.Module):
    """Stands in for one of the layers. The first of them owns the wide one, as ``wide``."""

    def __init__(self, first: Part | None, taken: _Taken, columns: slice) -> None:
        super().__init__()
        self._first = (first or self,)  # in a tuple, so that it is no submodule of this one
        self._taken = taken
        self._columns = columns

    @property
    def whole(self) -> nn.Module:
        """The wide layer, whatever has taken its place since."""
        return self._first[0].get_submodule("wide")

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., columns]
        return self._taken.columns(self.whole, x, self._columns)


def install(model: nn.Module, names: Sequence[str], widths: Sequence[int], wide: nn.Module) -> None:
    """Put parts of ``wide``, of these many outputs, in the places of the layers ``names``."""
    taken, start = _Taken(len(names)), 0
    first: Part | None = None
    for name, width in zip(names, widths, strict=True):
        part = Part(first, taken, slice(start, start + width))
        if first is None:
            first = part
            first.add_module("wide", wide)
        model.set_submodule(name, part)
        start += width


def groups(names: Sequence[str]) -> Iterator[list[str]]:
    """The layers' names, siblings together, in the order of their first."""
    left = dict.fromkeys(names)
    for name in names:
        if name not in left:
            continue
        parent, _, leaf = name.rpartition(".")
        siblings = next((group for group in SIBLINGS if leaf in group), (leaf,))
        full = [f"{parent}.{sibling}" if parent else sibling for sibling in siblings]
        found = full if all(sibling in left for sibling in full) else [name]
        for sibling in found:
            del left[sibling]
        yield found


def fuse(model: nn.Module) -> int:
    """Fuse the plain ``nn.Linear`` siblings of a model in place; returns how many groups."""
    layers = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    num = 0
    for names in groups(list(layers)):
        group = [layers.pop(name) for name in names]  # freed as soon as they are joined
        if len(group) == 1 or not _alike(group):
            continue
        wide = nn.Linear(group[0].in_features, 1, bias=False, device="meta")
        wide.weight = _joined([layer.weight for layer in group])
        wide.out_features = len(wide.weight)
        if group[0].bias is not None:
            wide.bias = _joined([layer.bias for layer in group])
        install(model, names, [layer.out_features for layer in group], wide)
        num += 1
    return num


def _alike(group: Sequence[nn.Linear]) -> bool:
    first = group[0]
    return all(
        layer.in_features == first.in_features
        and layer.weight.dtype is first.weight.dtype
        and (layer.bias is None) == (first.bias is None)
        for layer in group
    )


def _joined(parts: Sequence[torch.Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.cat([part.detach() for part in parts]), requires_grad=False)
