"""What lm-eval is told, beside what transformers computes with the same model."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.clients.served import Served
from tests.clients.table import CALLS

NATS_A_TOKEN = 0.15
"""How far bfloat16 of another kernel and batch may be away."""
LOGLIKELIHOODS = (
    "loglikelihood",
    "loglikelihood_in_batches",
    "loglikelihood_concurrent",
    "loglikelihood_of_text",
)


class Reference:
    """The model in float32, by transformers alone."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def of_tokens(self, context: list[int], continuation: list[int]) -> tuple[float, float]:
        """The log-likelihood of a continuation, and the least margin of its tokens.

        Returns:
            The sum in nats, and the smallest difference, over the continuation's tokens, between
            its logit and the best other one: above 0 where greedy decoding would write it.
        """
        ids = torch.tensor([context + continuation])
        with torch.inference_mode():
            logits = self.model(ids).logits[0, len(context) - 1 : -1]
        wanted = torch.tensor(continuation)[:, None]
        chosen = logits.log_softmax(-1).gather(1, wanted)
        others = logits.scatter(1, wanted, -torch.inf).amax(1)
        return float(chosen.sum()), float((logits.gather(1, wanted)[:, 0] - others).min())

    def of_pair(self, context: str, continuation: str) -> tuple[float, float, int]:
        """As lm-eval cuts the tokens of both together: and their number."""
        whole = self.tokenizer(context + continuation).input_ids
        length = len(self.tokenizer(context).input_ids)
        return (*self.of_tokens(whole[:length], whole[length:]), len(whole) - length)


@pytest.fixture(scope="module")
def reference(tooled_folder: Path) -> Reference:
    return Reference(tooled_folder)


def pairs() -> list[list[str]]:
    """Those of the client's calls, read without its library."""
    tree = ast.parse((CALLS / "lm_eval.py").read_text("utf-8"))
    (value,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAIRS"
    ]
    found: list[list[str]] = ast.literal_eval(value)
    return found


@pytest.mark.parametrize("call", LOGLIKELIHOODS)
def test_loglikelihoods_are_the_models_own(real: Served, reference: Reference, call: str) -> None:
    real.check("lm_eval", call)
    for pair, (value, is_greedy) in zip(pairs(), real.of("lm_eval")[call].value, strict=True):
        expected, margin, num_tokens = reference.of_pair(*pair)
        assert value == pytest.approx(expected, abs=NATS_A_TOKEN * num_tokens), pair
        if abs(margin) > NATS_A_TOKEN:
            assert is_greedy == (margin > 0), pair


def test_rolling_loglikelihood_is_the_models_own(real: Served, reference: Reference) -> None:
    """It begins with the token that begins a text; where there is none, that which ends one."""
    real.check("lm_eval", "loglikelihood_rolling")
    told = real.of("lm_eval")["loglikelihood_rolling"].value
    tokenizer = reference.tokenizer
    ids = tokenizer(told["text"], add_special_tokens=False).input_ids
    has_first = tokenizer.bos_token_id is not None
    first = tokenizer.bos_token_id if has_first else tokenizer.eos_token_id
    expected, _ = reference.of_tokens([first], ids)
    assert told["value"] == pytest.approx(expected, abs=NATS_A_TOKEN * len(ids))
