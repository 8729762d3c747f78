"""The network's first weights depend on the seed alone; attention stays inside a document."""

from __future__ import annotations

import numpy as np
import torch

from models.demo import corpus, network, packing, train
from tests.models.demo.tiny import LENGTH, RECIPE, tokenizer

SMALL = network.Shape(hidden=32, layers=2, heads=1, kv_heads=1, intermediate=64)


def batch() -> tuple[packing.Rows, network.Batch]:
    rows = packing.pack(corpus.shard(0, "main", 60), tokenizer(), LENGTH, "s")
    return rows, train.batch_at(rows, 0, RECIPE)


def model_of(shape: network.Shape, seed: int = 1) -> network.Qwen2ForCausalLM:
    return network.build(shape, tokenizer().get_vocab_size(), 2, 0, seed=seed)


def test_documents_in_a_row_do_not_see_each_other() -> None:
    model = model_of(RECIPE.shape)
    rows, first = batch()
    row, second = 0, int(np.flatnonzero(rows.documents[0] == 1)[0])
    changed = first.ids.clone()
    changed[row, :second] = 5
    flat = [i for i in first.picked.tolist() if second <= i < LENGTH]
    picked = torch.tensor([i for i in flat if rows.documents[0][i] == 1])
    targets = first.ids.reshape(-1)[picked + 1]
    before = network.packed_loss(model, first._replace(picked=picked, targets=targets))
    after = network.packed_loss(model, first._replace(ids=changed, picked=picked, targets=targets))
    assert len(picked) > 0
    assert torch.equal(before, after)


def test_no_token_sees_those_that_follow() -> None:
    model = model_of(SMALL)
    _, first = batch()
    picked, targets = torch.tensor([3]), first.ids[0, 4:5]
    changed = first.ids.clone()
    changed[0, 4:] = 5
    before = network.packed_loss(model, first._replace(picked=picked, targets=targets))
    after = network.packed_loss(model, first._replace(ids=changed, picked=picked, targets=targets))
    assert torch.equal(before, after)


def test_padded_places_cost_nothing() -> None:
    model = model_of(SMALL)
    _, first = batch()
    is_real = first.targets != -100
    alone = first._replace(picked=first.picked[is_real], targets=first.targets[is_real])
    assert not is_real.all()
    torch.testing.assert_close(network.packed_loss(model, first), network.packed_loss(model, alone))


def test_equal_seeds_make_equal_weights() -> None:
    def flat(seed: int) -> torch.Tensor:
        return torch.cat([w.detach().flatten() for w in model_of(SMALL, seed).parameters()])

    assert torch.equal(flat(3), flat(3))
    assert not torch.equal(flat(3), flat(4))


def test_what_is_added_to_the_residual_begins_smaller() -> None:
    layer = model_of(SMALL).model.layers[0]
    inner, outer = layer.self_attn.q_proj.weight.std(), layer.self_attn.o_proj.weight.std()
    torch.testing.assert_close(outer / inner, torch.tensor(0.5), rtol=0.1, atol=0)  # 1 / sqrt(4)


def test_the_head_is_the_embedding() -> None:
    model = model_of(SMALL)
    assert model.lm_head.weight is model.model.embed_tokens.weight
