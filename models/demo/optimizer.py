"""Muon for the matrices, AdamW for the rest.

Muon is momentum whose update is made orthogonal by a Newton-Schulz iteration (Keller Jordan, "Muon:
An optimizer for hidden layers in neural networks", 2024; the quintic coefficients are that post's).
Matrices of equal shape are stacked and orthogonalised together, which is what makes it cheap on a
CPU.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(updates: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Push the singular values of every matrix in a stack [N, R, C] towards 1."""
    a, b, c = QUINTIC
    tall = updates.shape[-2] > updates.shape[-1]
    x = updates.transpose(-2, -1) if tall else updates
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(-2, -1)
        x = a * x + (b * gram + c * gram @ gram) @ x
    update: torch.Tensor = x.transpose(-2, -1) if tall else x
    return update


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonal updates, for two-dimensional weights only."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply one update.

        Raises:
            ValueError: If a closure is given; it is not supported.
        """
        if closure is not None:
            raise ValueError("Muon takes no closure: call backward() before step().")
        for group in self.param_groups:
            stacks: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    stacks[weight.shape].append(weight)
            for shape, weights in stacks.items():
                self._step_stack(group, shape, weights)

    def _step_stack(
        self, group: dict[str, Any], shape: torch.Size, weights: list[nn.Parameter]
    ) -> None:
        beta = group["momentum"]
        updates = []
        for weight in weights:
            gradient = weight.grad
            assert gradient is not None  # noqa: S101 - step() stacks only those that have one
            state = self.state[weight]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(gradient, 1 - beta)
            updates.append(gradient.lerp(state["momentum"], beta))
        lr = group["lr"]
        scale = lr * math.sqrt(max(1.0, shape[0] / shape[1]))
        for weight, update in zip(weights, orthogonalise(torch.stack(updates)), strict=True):
            weight.mul_(1 - lr * group["weight_decay"])
            weight.add_(update, alpha=-scale)


def optimizers(
    model: nn.Module, matrix_lr: float, other_lr: float
) -> tuple[Muon, torch.optim.AdamW]:
    """Split the parameters: hidden matrices to Muon; embeddings, norms and biases to AdamW."""
    matrices = [w for n, w in model.named_parameters() if w.ndim == 2 and "embed" not in n]
    others = [w for n, w in model.named_parameters() if w.ndim < 2 or "embed" in n]
    return (
        Muon(matrices, lr=matrix_lr, weight_decay=0.01),
        torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.98), weight_decay=0.0),
    )
