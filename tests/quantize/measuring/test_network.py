"""The forward that reads each weight when it is reached, against transformers' own."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from quantize.measuring.matrices import Folder
from quantize.measuring.network import Network
from quantize.measuring.products import streamed
from tests.tiny_models import ARCHITECTURES, write_tiny_model


@pytest.mark.parametrize("architecture", [*ARCHITECTURES])
def test_hidden_states_and_logits_are_the_models_own(tmp_path, architecture):
    path = write_tiny_model(tmp_path / "m", architecture, num_hidden_layers=2)
    tokens = torch.arange(3, 99).view(2, 48)
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, attn_implementation="eager"
        )
        wanted = model(input_ids=tokens).logits
    network = Network(path)
    with Folder(path) as folder:
        read = []
        hidden = network.forward(folder, tokens, streamed(folder, None, read.append))
        name, head = network.head_of(folder)
        logits = network.logits(hidden @ head.rows(0, head.num_out).T)
        assert sum(read) + head.num_bytes == network.read_bytes(folder)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-3)
    assert name == ("model.embed_tokens" if model.config.tie_word_embeddings else "lm_head")


def test_the_second_half_of_the_windows_may_have_another_embedding(tmp_path):
    path = write_tiny_model(tmp_path / "m")
    other = write_tiny_model(tmp_path / "other", seed=1)
    network = Network(path)
    tokens = torch.arange(3, 51).view(2, 24)
    with Folder(path) as folder, Folder(other) as beside:
        multiply = streamed(folder, None, lambda _: None)
        alone = network.forward(folder, tokens, multiply)
        both = network.forward(folder, tokens.repeat(2, 1), multiply, beside=beside)
        swapped = network.forward(beside, tokens, multiply)
    torch.testing.assert_close(both[:2], alone)
    assert not torch.allclose(both[2:], alone, atol=0.1)
    torch.testing.assert_close(both[2:], swapped, atol=1e-4, rtol=1e-4)
