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

_FORMATS: Final[Mapping[str, str]] = {
    "response_format": "The answer's language: text, any JSON object, JSON of a schema (strict or "
    "not), or vLLM's structural tags.",
    "structured_outputs": "vLLM's: one of `json`, `regex`, `choice`, `grammar`, `json_object` and "
    "`structural_tag`, and rules for white space and further properties.",
    "guided_json": "The same as `structured_outputs.json`, under vLLM's older name: a schema or "
    "its text.",
    "guided_regex": "The same as `structured_outputs.regex`.",
    "guided_choice": "The same as `structured_outputs.choice`.",
    "guided_grammar": "The same as `structured_outputs.grammar`: a Lark grammar, or GBNF.",
    "guided_json_object": "The same as `structured_outputs.json_object`.",
    "guided_whitespace_pattern": "The same as `structured_outputs.whitespace_pattern`; goes with "
    "any format of JSON.",
    "grammar": "llama.cpp's: a grammar in GBNF, or in Lark.",
    "json_schema": "llama.cpp's: a schema.",
}
_TEMPLATE: Final[Mapping[str, str]] = {
    "reasoning_effort": "How much the model is to think first; `none` is not at all. A hint: some "
    "chat templates read it, others do not.",
    "reasoning": "OpenRouter's: `effort`, `enabled`, `max_tokens` and `exclude`, or a truth.",
    "enable_thinking": "Whether the model is to think first. A hint, as `reasoning_effort`.",
    "thinking": "Anthropic's and Z.ai's: whether to think, and with how many tokens; or a truth.",
    "think": "Ollama's: whether to think, or an effort.",
    "include_reasoning": "False leaves the reasoning out of the answer.",
    "thinking_token_budget": "Most tokens of reasoning; -1 is as many as come.",
    "chat_template_kwargs": "Variables for the model's chat template, of those that it reads.",
    "documents": "Texts for chat templates that read them, each an object.",
    "add_generation_prompt": "False leaves out what opens the assistant's turn.",
    "continue_final_message": "Continue the last message, the assistant's, in place of answering.",
}
_TOKENS: Final[Mapping[str, str]] = {
    "min_tokens": "Tokens before which the answer does not end by itself.",
    "bad_words": "Texts that may not come, as tokens spell them at a start and behind a space.",
    "allowed_token_ids": "No other tokens may come, but for those that end the answer.",
    "include_stop_str_in_output": "Keep the stop string, or the token, that ended the answer.",
    "skip_special_tokens": "False shows special tokens in the answer, by their names.",
    "spaces_between_special_tokens": "Without effect: names of special tokens stand as they come.",
    "truncate_prompt_tokens": "Only so many tokens of a prompt count, the last ones; -1 is as "
    "many as fit.",
    "truncation_side": "`right` keeps the first tokens of a cut prompt in place of the last.",
    "prompt_logprobs": f"{_LOGPROBS} of the prompt, and of this many of the likeliest for each.",
    "return_token_ids": "Return the ids of the prompt's and the answer's tokens, too.",
    "explain_cache": "Say in `prefix_cache` where the prompt left the longest prefix that was "
    "computed before, and why.",
    "return_tokens_as_token_ids": "Name tokens in log-probabilities `token_id:` and their id.",
}
_SAMPLING: Final[Mapping[str, str]] = {
    **_TOKENS,
    "model": _MODEL,
    "n": "How many answers; each is a sequence of the engine's. 1 where it is left out.",
    "stop": "Texts that end an answer where they appear; they are cut off unless it is asked for.",
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
    "service_tier": "The class of its turn while the engine is full (docs/queue.md): `flex` is "
    "batch, all others are interactive. `x-request-class` goes before it.",
    "cache_salt": "Requests share cached prefixes only where this text is equal.",
    "preset": "Name of a preset of the operator's, or `technical`, `creative` or `qa`: it fills "
    "what is left out of `temperature`, `max_tokens` and the like (docs/presets.md).",
    "stream": "Send the answer as server-sent events while it is made.",
    "stream_options": "How a stream is sent.",
    **_FORMATS,
}

MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "ChatRequest": {
        **_SAMPLING,
        "messages": _MESSAGES,
        "max_completion_tokens": "The same as `max_tokens`, under OpenAI's newer name.",
        "logprobs": f"{_LOGPROBS} of the answer.",
        "top_logprobs": "For each token also this many of the likeliest; needs `logprobs`.",
        "tools": f"{_TOOLS.rstrip('.')}, and may call.",
        "tool_choice": "`none` hides the tools, `auto` leaves it to the model, `required` wants a "
        "call; or the one tool, or those, that may be called.",
        "parallel_tool_calls": "False is one call at most.",
        "functions": "The older name of `tools`; then the answer has a `function_call`.",
        "function_call": "The older name of `tool_choice`.",
        **_TEMPLATE,
    },
    "CompletionRequest": {
        **_SAMPLING,
        "max_tokens": f"{_SAMPLING['max_tokens']} 16 where it is left out; 0 says nothing behind "
        "an `echo`.",
        "prompt": "A text or token ids, or an array of either. It is not rendered: control tokens "
        "count as such.",
        "logprobs": f"{_LOGPROBS}, and of this many of the likeliest for each.",
        "best_of": "Make so many answers and return the `n` likeliest, by the mean over tokens.",
        "echo": "Begin each answer with its prompt; with `logprobs`, with those of the prompt.",
        "suffix": "Text behind the answer: fill the gap between, where the model knows how.",
        "add_special_tokens": "False leaves out those that the tokenizer adds to a prompt.",
    },
    "TokenizeRequest": {
        "model": _MODEL,
        "prompt": "A text, as `/v1/completions` takes it; or else `messages`.",
        "messages": "A conversation, as `/v1/chat/completions` takes it.",
        "tools": _TOOLS,
        "add_special_tokens": "False leaves out those that the tokenizer adds to a prompt.",
        "return_token_strs": "Return each token's text, too.",
        **_TEMPLATE,
    },
    "DetokenizeRequest": {
        "model": _MODEL,
        "tokens": "Token ids; at most as many as the model's context holds.",
    },
    "FeedbackRequest": {
        "id": "The `id` of an answer that the caller was given.",
        "score": "From -1, bad, to 1, good, with at most three decimals: thumbs are -1 and 1, five "
        "stars -1, -0.5, 0, 0.5 and 1.",
        "labels": "Up to 16 words of the client's own, of up to 64 characters, none twice.",
        "text": "Up to 4,000 characters, kept encrypted; refused by a server that has no key for "
        "it.",
    },
    "ModerationRequest": {
        "input": "A text, an array of texts, or an array of parts of type `text`.",
        "model": "Any name, or none: the rules of the server's content filter answer.",
    },
    "StreamOptions": {
        "include_usage": "End the stream with a chunk that counts the tokens.",
        "continuous_usage_stats": "Count the tokens so far in each chunk.",
        "include_obfuscation": "Without effect: chunks are not padded.",
    },
}
"""By the type of the body, then by the field."""
