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
