"""lm-eval's API models: loglikelihood and generate_until, as its tasks ask them.

What it computes is returned: the tests compare it with what the model itself says. TOKENIZER names
the folder with the model's tokenizer.
"""

from __future__ import annotations

import os

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

PAIRS = [
    ["The capital of France is", " Paris"],
    ["The capital of France is", " Rome, of course"],
    ["1, 2, 3, 4,", " 5, 6, 7"],
    ["def add(a, b):\n    return", " a + b"],
    ["你好", "，世界"],
    ["The sky is", " blue"],
]


def _model(server, **more):
    asked = {"model": server.model, "base_url": f"{server.url}/completions", "max_retries": 1}
    asked |= {"tokenizer": os.environ["TOKENIZER"], "max_length": 2048}
    return get_model("local-completions").create_from_arg_obj(asked | more)


def _chat(server, **more):
    return get_model("local-chat-completions").create_from_arg_obj(
        {"model": server.model, "base_url": f"{server.url}/chat/completions", "max_retries": 1}
        | more
    )


def _instances(kind, arguments):
    return [
        Instance(request_type=kind, doc={}, arguments=tuple(item), idx=index)
        for index, item in enumerate(arguments)
    ]


def _loglikelihoods(server, **more):
    told = _model(server, **more).loglikelihood(_instances("loglikelihood", PAIRS))
    assert len(told) == len(PAIRS)
    return [[value, bool(is_greedy)] for value, is_greedy in told]


def loglikelihood(server):
    return _loglikelihoods(server)


def loglikelihood_in_batches(server):
    """Several prompts in a request, of lengths that differ."""
    return _loglikelihoods(server, batch_size=4)


def loglikelihood_concurrent(server):
    return _loglikelihoods(server, num_concurrent=3, batch_size=2)


def loglikelihood_of_text(server):
    """Prompts as text: the server's tokens, not the client's."""
    return _loglikelihoods(server, tokenized_requests=False)


def loglikelihood_rolling(server):
    text = "The quick brown fox jumps over the lazy dog."
    asked = _instances("loglikelihood_rolling", [[text]])
    (value,) = _model(server).loglikelihood_rolling(asked)
    assert value < 0
    return {"text": text, "value": value}


UNTIL = [
    ["1, 2, 3, 4,", {"until": ["\n", "9"], "max_gen_toks": 12}],
    ["The capital of France is", {"until": ["."], "max_gen_toks": 12, "temperature": 0}],
]


def generate_until(server):
    told = _model(server).generate_until(_instances("generate_until", UNTIL))
    assert len(told) == 2
    assert "9" not in told[0]
    assert all(told)


def generate_until_in_batches(server):
    told = _model(server, batch_size=2).generate_until(_instances("generate_until", UNTIL))
    assert all(told)


def generate_until_by_chat(server):
    model = _chat(server)
    asked = [
        [model.apply_chat_template([{"role": "user", "content": text}]), how] for text, how in UNTIL
    ]
    told = model.generate_until(_instances("generate_until", asked))
    assert all(told)
