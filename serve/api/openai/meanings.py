"""Meanings of the fields of requests, a sentence each, for /openapi.json and the page at /docs.

Types and limits are in the fields' own declarations, the rules for all of them in docs/api.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_MODEL: Final = "Name of the model, or of an adapter of it, as `/v1/models` lists it."
_MESSAGES: Final = "The conversation so far, oldest first."
_TOOLS: Final = "Functions that the model is told of, rendered into the prompt."
_LOGPROBS: Final = "Log-probabilities of the tokens"

_SAMPLING: Final[Mapping[str, str]] = {
    "model": _MODEL,
    "n": "How many answers; each is a sequence of the engine's. 1 where it is left out.",
    "stop": "Texts that end an answer where they appear; they are cut off.",
    "max_tokens": "Most tokens of an answer; more than fit are as many as fit, and so is -1.",
    "temperature": "0 takes the most likely token each time, more makes others likelier. "
    "1 where it is left out.",
    "top_p": "Only the most likely tokens are drawn from, whose probabilities add up to this.",
    "top_k": "Only this many of the most likely tokens are drawn from; 0 and -1 are all.",
    "min_p": "Only tokens are drawn from that have this share of the likeliest one's probability.",
    "seed": "Makes the same request give the same tokens; README.md says where not.",
    "presence_penalty": "Taken from the logit of each token that the answer already has.",
    "frequency_penalty": "The same, as many times as the answer has it.",
    "repetition_penalty": "Divides the logits of tokens that prompt or answer already have; "
    "1 is none.",
    "logit_bias": "Added to the logits of these token ids, which are the names of the object.",
    "stop_token_ids": "Token ids that end an answer.",
    "ignore_eos": "Go on behind the model's own end of an answer, for measurements.",
    "cache_salt": "Requests share cached prefixes only where this text is equal.",
    "stream": "Send the answer as server-sent events while it is made.",
    "stream_options": "How a stream is sent.",
    "response_format": 'Only `{"type": "text"}`: answers cannot be constrained.',
}

MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "ChatRequest": {
        **_SAMPLING,
        "messages": _MESSAGES,
        "max_completion_tokens": "The same as `max_tokens`, under OpenAI's newer name.",
        "logprobs": f"{_LOGPROBS} of the answer.",
        "top_logprobs": "For each token also this many of the likeliest; needs `logprobs`.",
        "tools": _TOOLS,
        "tool_choice": "`none` hides the tools from the model; a call cannot be forced.",
        "parallel_tool_calls": "The model decides how many it calls: false is refused.",
    },
    "CompletionRequest": {
        **_SAMPLING,
        "max_tokens": f"{_SAMPLING['max_tokens'].rstrip('.')}. 16 where it is left out.",
        "prompt": "A text or token ids, or an array of either. It is not rendered: control tokens "
        "count as such.",
        "logprobs": f"{_LOGPROBS}, and of this many of the likeliest for each.",
        "best_of": "As large as `n`: all answers are returned.",
        "add_special_tokens": "Only true: the tokenizer's own rules hold.",
    },
    "TokenizeRequest": {
        "model": _MODEL,
        "prompt": "A text, as `/v1/completions` takes it; or else `messages`.",
        "messages": "A conversation, as `/v1/chat/completions` takes it.",
        "tools": _TOOLS,
        "add_special_tokens": "False leaves out those that the tokenizer adds to a prompt.",
        "return_token_strs": "Return each token's text, too.",
    },
    "DetokenizeRequest": {
        "model": _MODEL,
        "tokens": "Token ids; at most as many as the model's context holds.",
    },
    "StreamOptions": {
        "include_usage": "End the stream with a chunk that counts the tokens.",
        "continuous_usage_stats": "Without effect: usage comes in the last chunk.",
        "include_obfuscation": "Without effect: chunks are not padded.",
    },
}
"""By the type of the body, then by the field."""
