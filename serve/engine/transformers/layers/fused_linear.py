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


class _LastResult:
    """The wide layer's last result, until every part has taken its columns."""

    def __init__(self, num_parts: int) -> None:
        self._num_parts = num_parts
        self._num_left = 0
        self._rows: torch.Tensor | None = None
        self._result: torch.Tensor | None = None

    def columns(self, wide: nn.Module, rows: torch.Tensor, part: slice) -> torch.Tensor:
        if self._result is None or self._rows is not rows:
            self._rows, self._result, self._num_left = rows, wide(rows), self._num_parts
        columns = self._result[..., part]
        self._num_left -= 1
        if not self._num_left:
            self._rows = self._result = None
        return columns


class Part(nn.Module):
    """Stand-in for one of the layers. The first of them owns the wide one, as ``wide``."""

    def __init__(self, first: Part | None, last: _LastResult, columns: slice) -> None:
        super().__init__()
        self._first = (first or self,)  # in a tuple, so that it is no submodule of this one
        self._last = last
        self._columns = columns

    @property
    def whole(self) -> nn.Module:
        """The wide layer, whatever has taken its place since."""
        return self._first[0].get_submodule("wide")

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., columns]
        return self._last.columns(self.whole, x, self._columns)


def install(model: nn.Module, names: Sequence[str], widths: Sequence[int], wide: nn.Module) -> None:
    """Put parts of ``wide``, of these many outputs, in the places of the layers ``names``."""
    last, start = _LastResult(len(names)), 0
    first: Part | None = None
    for name, width in zip(names, widths, strict=True):
        part = Part(first, last, slice(start, start + width))
        if first is None:
            first = part
            first.add_module("wide", wide)
        model.set_submodule(name, part)
        start += width


def groups(names: Sequence[str]) -> Iterator[list[str]]:
    """The layers' names, siblings together, in the order of their first."""
    remaining = set(names)
    for name in names:
        if name not in remaining:
            continue
        parent, _, leaf = name.rpartition(".")
        siblings = next((leaves for leaves in SIBLINGS if leaf in leaves), (leaf,))
        group = [f"{parent}.{sibling}" if parent else sibling for sibling in siblings]
        if not remaining.issuperset(group):
            group = [name]
        remaining.difference_update(group)
        yield group


def fuse(model: nn.Module) -> int:
    """Fuse the plain ``nn.Linear`` siblings of a model in place; returns how many groups."""
    layers = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    num_groups = 0
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
        num_groups += 1
    return num_groups


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
