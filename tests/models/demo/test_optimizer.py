"""Muon's updates are orthogonal, and each parameter is given to the optimizer that is for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.demo import network, optimizer


def test_the_update_is_orthogonal() -> None:
    made = optimizer.orthogonalise(torch.randn(2, 24, 8, generator=torch.manual_seed(0)))
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_wide_matrix_is_treated_as_its_transpose() -> None:
    tall = torch.randn(2, 24, 8, generator=torch.manual_seed(0))
    wide = optimizer.orthogonalise(tall.transpose(-2, -1))
    torch.testing.assert_close(wide.transpose(-2, -1), optimizer.orthogonalise(tall))


def test_no_gradient_makes_no_update() -> None:
    assert not optimizer.orthogonalise(torch.zeros(1, 4, 4)).any()
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer.Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(4, 4))


def test_the_size_of_a_step_is_the_rate_whatever_the_gradients_size() -> None:
    steps = []
    for scale in (1e-4, 1e4):
        weight = nn.Parameter(torch.zeros(8, 8))
        weight.grad = scale * torch.randn(8, 8, generator=torch.manual_seed(1))
        optimizer.Muon([weight], lr=0.1).step()
        steps.append(weight.detach().clone())
    torch.testing.assert_close(steps[0], steps[1], rtol=0.01, atol=0.001)
    assert torch.linalg.svdvals(steps[0]).max() < 0.15


def test_decay_shrinks_a_weight_in_proportion_to_the_rate() -> None:
    weight = nn.Parameter(torch.full((2, 2), 4.0))
    weight.grad = torch.zeros(2, 2)
    optimizer.Muon([weight], lr=0.5, weight_decay=0.5).step()
    assert torch.equal(weight.detach(), torch.full((2, 2), 3.0))


def test_a_closure_is_refused() -> None:
    with pytest.raises(ValueError, match="takes no closure"):
        optimizer.Muon([nn.Parameter(torch.ones(2, 2))], lr=0.1).step(lambda: 0.0)


def test_matrices_go_to_muon_and_the_rest_to_adamw_each_once() -> None:
    shape = network.Shape(hidden=32, layers=1, heads=1, kv_heads=1, intermediate=64)
    model = network.build(shape, 64, 2, 0, seed=1)
    muon, adam = optimizer.optimizers(model, 0.1, 0.2)
    matrices, others = (
        {id(weight) for group in each.param_groups for weight in group["params"]}
        for each in (muon, adam)
    )
    assert id(model.model.embed_tokens.weight) in others
    assert id(model.model.layers[0].mlp.up_proj.weight) in matrices
    assert id(model.model.layers[0].self_attn.q_proj.bias) in others
    assert matrices.isdisjoint(others)
    assert matrices | others == {id(weight) for weight in model.parameters()}
