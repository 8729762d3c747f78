"""transformers, through compressed-tensors, reads every scheme as the numbers that were stored.

But for a quantised embedding: it dequantises linear layers alone. Our engine reads that itself.
"""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from models.refs import QuantScheme
from models.store import DEMO_WEIGHTS
from quantize.plan.scheme_plan import QuantOptions
from quantize.plan.tables import Width
from tests.quantize.models import dequantised
from tests.quantize.write.test_run import run

pytestmark = pytest.mark.filterwarnings("ignore")  # of compressed-tensors' own


@pytest.mark.parametrize(
    ("scheme", "head"),
    [
        (QuantScheme.INT8, Width.EIGHT),
        (QuantScheme.INT8_WEIGHT_ONLY, Width.FULL),
        (QuantScheme.INT8_W8A8, Width.EIGHT),
        (QuantScheme.INT4, Width.EIGHT),
        (QuantScheme.FP8, Width.FULL),
    ],
)
def test_transformers_reads_the_same_numbers(tmp_path, scheme, head):
    options = QuantOptions(scheme=scheme, head=head, embeddings=Width.FULL)
    made = run(DEMO_WEIGHTS, tmp_path / "x", options=options)
    model = AutoModelForCausalLM.from_pretrained(made.path, dtype=torch.bfloat16)
    with torch.inference_mode():
        logits = model(torch.arange(40, 48).unsqueeze(0)).logits
    assert torch.isfinite(logits).all()
    found = model.state_dict()  # dequantised by the first forward
    wanted = dequantised(made.path)
    assert len(wanted) == 42 + (head is Width.EIGHT)
    for name, weight in wanted.items():
        assert torch.equal(found[name], weight.bfloat16()), name
