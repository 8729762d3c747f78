"""Fields of OpenAI's API, and vLLM's extras to it, that this server knows and does not honour.

A field that changes nothing about the answer is ignored; one that would change it is refused,
unless its value asks for what happens anyway. So no client ever gets another answer than it asked
for, and clients that spell out defaults are served. What is in neither table is an unknown field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTable:
    """The fate of fields that a dialect knows and does not declare.

    Attributes:
        ignored: accepted with any value, without effect; the value is the reason.
        refused: refused unless null or neutral.
    """

    ignored: Mapping[str, str]
    refused: Mapping[str, Unsupported]


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The reason why a field is refused, and values that ask for nothing and so are accepted."""

    reason: str
    neutral: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "neutral", (None, *self.neutral))


IGNORED_FIELDS: dict[str, str] = {
    "user": "names the client's own user; this server keeps nothing about users",
    "safety_identifier": "as user",
    "metadata": "labels for stored answers; none are stored",
    "store": "asks to keep the answer for later retrieval; nothing is kept, and nothing trained on",
    "service_tier": "all requests run in the same tier",
    "prompt_cache_key": "a hint for routing between caches; there is one",
    "prompt_cache_options": "as prompt_cache_key",
    "prompt_cache_retention": "as prompt_cache_key",
    "prediction": "a hint that may speed up an answer and never changes it",
    "session_id": "a hint for routing between replicas",
    "stream_interval": "how many tokens to gather per event; events come as tokens do",
}
"""Accepted with any value, without effect. The value is the reason."""

_TEXT_ONLY = "this server reads and writes text only"
_NO_GRAMMAR = "answers cannot be constrained to a grammar"
_TEMPLATE = "prompts are rendered by the model's own chat template only"
_TOKENS = "it would change which tokens the sampler may choose in a way that no engine here offers"
_ENGINE = "it is an internal matter of another engine"

UNSUPPORTED_FIELDS: dict[str, Unsupported] = {
    # OpenAI's
    "audio": Unsupported(_TEXT_ONLY),
    "modalities": Unsupported(_TEXT_ONLY, (["text"],)),
    "best_of": Unsupported("all n choices are returned; use n"),
    "echo": Unsupported("the prompt is not repeated in the answer", (False,)),
    "suffix": Unsupported("text can be continued, not filled in"),
    "functions": Unsupported("it is deprecated; use tools", ([],)),
    "function_call": Unsupported("it is deprecated; use tool_choice"),
    "parallel_tool_calls": Unsupported("the model decides how many tools it calls", (True,)),
    "reasoning_effort": Unsupported("the model has no such control"),
    "verbosity": Unsupported("the model has no such control"),
    "web_search_options": Unsupported("this server reaches nothing outside its walls"),
    "moderation": Unsupported("there is no moderation service"),
    # vLLM's
    "use_beam_search": Unsupported("tokens are sampled", (False,)),
    "length_penalty": Unsupported("it belongs to beam search", (1, 1.0)),
    "early_stopping": Unsupported("it belongs to beam search", (False,)),
    "include_stop_str_in_output": Unsupported("stop strings are cut off", (False,)),
    "min_tokens": Unsupported(_TOKENS, (0,)),
    "allowed_token_ids": Unsupported(_TOKENS),
    "bad_words": Unsupported(_TOKENS, ([],)),
    "repetition_detection": Unsupported(_TOKENS),
    "thinking_token_budget": Unsupported(_TOKENS),
    "watermarking": Unsupported(_TOKENS, (False,)),
    "logits_processors": Unsupported("clients cannot bring code"),
    "skip_special_tokens": Unsupported("special tokens are never shown", (True,)),
    "spaces_between_special_tokens": Unsupported("special tokens are never shown", (True,)),
    "truncate_prompt_tokens": Unsupported("a prompt that is too long is refused, never cut"),
    "truncation_side": Unsupported("a prompt that is too long is refused, never cut"),
    "prompt_logprobs": Unsupported("only generated tokens have logprobs"),
    "logprob_token_ids": Unsupported("logprobs are of the most likely tokens; use top_logprobs"),
    "return_tokens_as_token_ids": Unsupported("tokens are returned as text", (False,)),
    "return_token_ids": Unsupported("tokens are returned as text", (False,)),
    "return_token_offsets": Unsupported("offsets are in the logprobs of completions", (False,)),
    "return_prompt_text": Unsupported("the prompt is not repeated in the answer", (False,)),
    "include_reasoning": Unsupported("reasoning is not told apart from the answer", (True,)),
    "prompt_embeds": Unsupported("prompts are text or token ids"),
    "add_generation_prompt": Unsupported(_TEMPLATE, (True,)),
    "continue_final_message": Unsupported(_TEMPLATE, (False,)),
    "chat_template": Unsupported(_TEMPLATE),
    "chat_template_kwargs": Unsupported(_TEMPLATE, ({},)),
    "documents": Unsupported(_TEMPLATE, ([],)),
    "add_special_tokens": Unsupported("the tokenizer's and the template's own rules hold"),
    "media_io_kwargs": Unsupported(_TEXT_ONLY),
    "mm_processor_kwargs": Unsupported(_TEXT_ONLY),
    "mm_payload": Unsupported(_TEXT_ONLY),
    "return_mm_kwargs": Unsupported(_TEXT_ONLY, (False,)),
    "structured_outputs": Unsupported(_NO_GRAMMAR),
    "guided_json": Unsupported(_NO_GRAMMAR),
    "guided_regex": Unsupported(_NO_GRAMMAR),
    "guided_choice": Unsupported(_NO_GRAMMAR),
    "guided_grammar": Unsupported(_NO_GRAMMAR),
    "guided_decoding_backend": Unsupported(_NO_GRAMMAR),
    "priority": Unsupported("requests are served in the order in which they come", (0,)),
    "request_id": Unsupported("the server names requests; send x-client-request-id"),
    "kv_transfer_params": Unsupported(_ENGINE),
    "ec_transfer_params": Unsupported(_ENGINE),
    "routed_experts_prompt_start": Unsupported(_ENGINE, (0,)),
    "vllm_xargs": Unsupported(_ENGINE, ({},)),
}
"""Refused as ``unsupported_parameter`` unless null or neutral. Fields a route does declare (such as
``add_special_tokens`` of /tokenize) are its own, whatever stands here."""

FIELDS = FieldTable(ignored=IGNORED_FIELDS, refused=UNSUPPORTED_FIELDS)
"""The table of all routes of this family."""
