"""transformers, through compressed-tensors, reads every scheme as the numbers that were stored."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from models.refs import QuantScheme
from models.store import DEMO_WEIGHTS
from quantize.plan import Wish
from tests.quantize.models import dequantised
from tests.quantize.test_run import run

pytestmark = pytest.mark.filterwarnings("ignore")  # of compressed-tensors' own


@pytest.mark.parametrize(
    ("scheme", "has_head"),
    [
        (QuantScheme.INT8, True),
        (QuantScheme.INT8_WEIGHT_ONLY, False),
        (QuantScheme.INT4, False),
        (QuantScheme.FP8, False),
    ],
)
def test_transformers_reads_the_same_numbers(tmp_path, scheme, has_head):
    made = run(DEMO_WEIGHTS, tmp_path / "x", wish=Wish(scheme=scheme, has_head=has_head))
    model = AutoModelForCausalLM.from_pretrained(made.path, dtype=torch.bfloat16)
    with torch.inference_mode():
        logits = model(torch.arange(40, 48).unsqueeze(0)).logits
    assert torch.isfinite(logits).all()
    found = model.state_dict()  # dequantised by the first forward
    wanted = dequantised(made.path)
    assert ("lm_head.weight" in wanted) == has_head
    assert len(wanted) == 42 + has_head
    for name, weight in wanted.items():
        assert torch.equal(found[name], weight.bfloat16()), name
