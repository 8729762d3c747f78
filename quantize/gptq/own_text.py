"""Text that a model writes itself: the text that is at hand wherever the model is.

Liu et al. (LLM-QAT, 2023) found data of a model's own sampling as good as that it was trained on.
Openings in English, Chinese and code begin each sample, so that all three are there; what follows
is drawn from the model's distribution as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from quantize.errors import QuantizeError

NEW_TOKENS = 240
_BATCH = 16
_SEED = 20_251_128

OPENINGS = (
    "The history of the town began when",
    "在中国历史上，",
    "def quicksort(items):\n",
    "On Monday morning the committee met to discuss",
    "今天上午，市政府召开会议，",
    "import json\nfrom pathlib import Path\n\n",
    "In this article we will look at how",
    "如何学习一门新的编程语言？首先，",
    "class Stack:\n    ",
    "The most common causes of high blood pressure are",
    "高血压的常见原因包括",
    "#include <stdio.h>\n\nint main(",
    "According to the report, the company",
    "根据最新的统计数据，",
    "SELECT customer.name, SUM(",
    "Question: Why is the sky blue?\nAnswer:",
    "问：为什么天空是蓝色的？\n答：",
    "async def fetch(session, url):\n",
    "To install the program, first",
    "本合同由甲乙双方",
    "function debounce(fn, delay) {\n",
    "A recipe for a simple vegetable soup:",
    "这道菜的做法很简单：",
    "package main\n\nimport (\n",
    "Dear Sir or Madam,\n\nI am writing to",
    "她写信给朋友说，",
    "import numpy as np\n\ndef ",
    "In mathematics, a group is",
    "数学中，一个集合",
    '{\n  "name": "',
    "The patient was admitted with",
    "患者因发热三天入院，",
    "public class Order {\n    private",
    "Interest rates are expected to",
    "银行利率的变化对",
    "#!/bin/bash\nset -e\n",
    "Once upon a time, in a small village,",
    "从前有一个小村庄，",
    "fn main() {\n    let",
    "There are three main reasons for",
    "近年来，随着经济的发展，",
    "def test_",
    "The weather in the northern part of the country",
    "老师走进教室，对同学们说：",
    "from flask import Flask\n\napp",
    "The judge asked the witness whether",
    "第一章 总则\n第一条",
    "<!DOCTYPE html>\n<html>\n<head>\n",
)


def written(model: Path, tokenizer: Any) -> tuple[str, ...]:
    """A text for each opening. The whole model is in memory meanwhile, in its own type.

    Raises:
        QuantizeError: it cannot be loaded.
    """
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model,
            dtype="auto",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise QuantizeError(f"{model.name} cannot be loaded to write a text: {error}") from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    texts: list[str] = []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(_SEED)
        for begin in range(0, len(OPENINGS), _BATCH):
            batch = tokenizer(
                [*OPENINGS[begin : begin + _BATCH]], return_tensors="pt", padding=True
            )
            tokens = loaded.generate(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                max_new_tokens=NEW_TOKENS,
                min_new_tokens=NEW_TOKENS,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
            )
            texts += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return tuple(texts)
