"""Fields of OpenAI's API, and vLLM's extras to it, that this server knows and does not honour.

A field that changes nothing about the answer is ignored; one that would change it is refused,
unless its value asks for what happens anyway. So no client ever gets another answer than it asked
for, and clients that spell out defaults are served. What is in neither table is an unknown field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve.api.openai.bodies import is_empty


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
    """The reason why a field is refused, and values that ask for nothing and so are accepted.

    Attributes:
        neutral: null and values that ask for what happens anyway. Empty strings, arrays and objects
            are neutral too, and false is, unless true is: then false asks for something.
        is_wish_if_empty: an empty object asks for the thing with its defaults.
    """

    reason: str
    neutral: tuple[object, ...] = ()
    is_wish_if_empty: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "neutral", (None, *self.neutral))

    def is_neutral(self, value: object) -> bool:
        if value == {} and self.is_wish_if_empty:
            return False
        if is_empty(value) or any(_is_same(value, neutral) for neutral in self.neutral):
            return True
        return value is False and not any(neutral is True for neutral in self.neutral)


def _is_same(value: object, other: object) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, and not true."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


IGNORED_FIELDS: dict[str, str] = {
    "user": "names the client's own user; this server keeps nothing about users",
    "safety_identifier": "as user",
    "metadata": "labels for stored answers; none are stored",
    "store": "asks to keep the answer for later retrieval; nothing is kept, and nothing trained on",
    "prompt_cache_key": "a hint for routing between caches; there is one",
    "prompt_cache_options": "as prompt_cache_key",
    "prompt_cache_retention": "as prompt_cache_key",
    "prediction": "a hint that may speed up an answer and never changes it",
    "session_id": "a hint for routing between replicas",
    "usage": "asks for figures that every answer has, or is echoed from one",
    "id": "echoed from an answer",
    "object": "echoed from an answer",
    "created": "echoed from an answer",
    "system_fingerprint": "echoed from an answer",
    "cache_control": "a hint for another server's cache",
    "cache_prompt": "llama.cpp's hint for its cache",
    "provider": "a router's choice among upstream servers; there is one",
    "keep_alive": "how long Ollama keeps a model in memory; this one stays",
    "mirostat_tau": "of mirostat, which is refused unless it is off",
    "mirostat_eta": "of mirostat, which is refused unless it is off",
    "dynatemp_exponent": "of dynatemp_range, which is refused unless it is off",
    "dry_base": "of dry_multiplier, which is refused unless it is off",
    "dry_allowed_length": "of dry_multiplier, which is refused unless it is off",
    "dry_penalty_last_n": "of dry_multiplier, which is refused unless it is off",
    "dry_sequence_breakers": "of dry_multiplier, which is refused unless it is off",
    "xtc_threshold": "of xtc_probability, which is refused unless it is off",
    "smoothing_curve": "of smoothing_factor, which is refused unless it is off",
    "adaptive_decay": "of adaptive_target, which is refused unless it is off",
    "repeat_last_n": "of repeat_penalty, which is refused unless it is off",
    "penalize_nl": "of repeat_penalty, which is refused unless it is off",
    "guided_decoding_backend": "a choice among vLLM's libraries for grammars; here there is one",
    "stream_interval": "how many tokens to gather per event; events come as tokens do",
}
"""Accepted with any value, without effect. The value is the reason."""

_TEXT_ONLY = "this server reads and writes text only"
_TEMPLATE = "prompts are rendered by the model's own chat template only"
_TOKENS = "it would change which tokens the sampler may choose in a way that no engine here offers"
_ENGINE = "it is an internal matter of another engine"

_AT_TOP = "its fields belong into the body itself; client libraries put them there"

UNSUPPORTED_FIELDS: dict[str, Unsupported] = {
    # OpenAI's
    "audio": Unsupported(_TEXT_ONLY),
    "modalities": Unsupported(_TEXT_ONLY, (["text"],)),
    "best_of": Unsupported("it is for completions; all n choices are returned", (1,)),
    "echo": Unsupported("it is for completions; a conversation is not repeated in its answer"),
    "suffix": Unsupported("it is for completions; a conversation has no gap"),
    "verbosity": Unsupported("the model has no such control", ("medium",)),
    "web_search_options": Unsupported(
        "this server reaches nothing outside its walls", is_wish_if_empty=True
    ),
    "moderation": Unsupported("there is no moderation service"),
    # vLLM's
    "use_beam_search": Unsupported("tokens are sampled"),
    "length_penalty": Unsupported("it belongs to beam search", (1, 1.0)),
    "early_stopping": Unsupported("it belongs to beam search"),
    "repetition_detection": Unsupported("an answer ends by its own end, stop or max_tokens"),
    "watermarking": Unsupported(_TOKENS),
    "logits_processors": Unsupported("clients cannot bring code"),
    "logprob_token_ids": Unsupported("logprobs are of the most likely tokens; use top_logprobs"),
    "return_token_offsets": Unsupported("offsets are in the logprobs of completions"),
    "return_prompt_text": Unsupported("the prompt is not repeated in the answer"),
    "prompt_embeds": Unsupported("prompts are text or token ids"),
    "chat_template": Unsupported(_TEMPLATE),
    "add_special_tokens": Unsupported("the tokenizer's and the template's own rules hold"),
    "media_io_kwargs": Unsupported(_TEXT_ONLY),
    "mm_processor_kwargs": Unsupported(_TEXT_ONLY),
    "mm_payload": Unsupported(_TEXT_ONLY),
    "return_mm_kwargs": Unsupported(_TEXT_ONLY),
    "priority": Unsupported("requests are served in the order in which they come", (0,)),
    "request_id": Unsupported("the server names requests; send x-client-request-id"),
    "kv_transfer_params": Unsupported(_ENGINE),
    "ec_transfer_params": Unsupported(_ENGINE),
    "routed_experts_prompt_start": Unsupported(_ENGINE, (0,)),
    "vllm_xargs": Unsupported(_ENGINE),
    # others'
    "extra_body": Unsupported(_AT_TOP),
    "options": Unsupported(_AT_TOP),
    "extra_headers": Unsupported("headers are sent as headers"),
    "extra_query": Unsupported("there are no such parameters"),
    "do_sample": Unsupported("for the most likely tokens set temperature to 0", (True,)),
    "num_beams": Unsupported("tokens are sampled", (1,)),
    "typical_p": Unsupported(_TOKENS, (1,)),
    "typical": Unsupported(_TOKENS, (1,)),
    "tfs": Unsupported(_TOKENS, (1,)),
    "tfs_z": Unsupported(_TOKENS, (1,)),
    "top_a": Unsupported(_TOKENS, (0,)),
    "top_n_sigma": Unsupported(_TOKENS, (-1, 0)),
    "nsigma": Unsupported(_TOKENS, (0,)),
    "adaptive_target": Unsupported(_TOKENS, (-1,)),
    "skew": Unsupported(_TOKENS, (0,)),
    "penalty_alpha": Unsupported(_TOKENS, (0,)),
    "encoder_repetition_penalty": Unsupported(_TOKENS, (1,)),
    "repetition_penalty_range": Unsupported("the penalty is over the whole text", (0,)),
    "min_keep": Unsupported(_TOKENS, (0,)),
    "min_length": Unsupported(_TOKENS, (0,)),
    "samplers": Unsupported("their order is this server's own"),
    "sampler_order": Unsupported("their order is this server's own"),
    "mirostat": Unsupported(_TOKENS, (0,)),
    "mirostat_mode": Unsupported(_TOKENS, (0,)),
    "dynatemp_range": Unsupported(_TOKENS, (0,)),
    "dry_multiplier": Unsupported(_TOKENS, (0,)),
    "xtc_probability": Unsupported(_TOKENS, (0,)),
    "smoothing_factor": Unsupported(_TOKENS, (0,)),
    "no_repeat_ngram_size": Unsupported(_TOKENS, (0,)),
    "epsilon_cutoff": Unsupported(_TOKENS, (0,)),
    "eta_cutoff": Unsupported(_TOKENS, (0,)),
    "guidance_scale": Unsupported(_TOKENS, (1,)),
    "rep_pen": Unsupported("it is repetition_penalty here", (1,)),
    "repeat_penalty": Unsupported("it is repetition_penalty here", (1,)),
    "max_new_tokens": Unsupported("it is max_tokens here"),
    "n_predict": Unsupported("it is max_tokens here", (-1,)),
    "n_keep": Unsupported("a long prompt is cut by truncate_prompt_tokens alone", (0,)),
    "n_discard": Unsupported("a long prompt is cut by truncate_prompt_tokens alone", (0,)),
    "n_indent": Unsupported("an answer is sent as the model writes it", (0,)),
    "t_max_predict_ms": Unsupported("bound an answer by max_tokens", (0, -1)),
    "id_slot": Unsupported(_ENGINE, (-1,)),
    "n_probs": Unsupported("it is logprobs here", (0,)),
}
"""Refused as ``unsupported_parameter`` unless null or neutral. Fields a route does declare (such as
``add_special_tokens`` of /tokenize) are its own, whatever stands here."""

FIELDS = FieldTable(ignored=IGNORED_FIELDS, refused=UNSUPPORTED_FIELDS)
"""The table of chats."""

_CHATS = "it is for conversations: send messages to /v1/chat/completions"
CHAT_FIELDS: dict[str, Unsupported] = {
    "tools": Unsupported(_CHATS),
    "tool_choice": Unsupported(_CHATS, ("none", "auto")),
    "functions": Unsupported(_CHATS),
    "function_call": Unsupported(_CHATS, ("none", "auto")),
    "reasoning_effort": Unsupported(_CHATS, ("none",)),
    "reasoning": Unsupported(_CHATS),
    "enable_thinking": Unsupported(_CHATS, (False,)),
    "thinking": Unsupported(_CHATS),
    "think": Unsupported(_CHATS),
    "include_reasoning": Unsupported(_CHATS, (True,)),
    "thinking_token_budget": Unsupported(_CHATS, (-1,)),
    "chat_template_kwargs": Unsupported(_CHATS),
    "documents": Unsupported(_CHATS),
    "add_generation_prompt": Unsupported(_CHATS, (True,)),
    "continue_final_message": Unsupported(_CHATS),
}
"""What chats honour, and nothing can be done about in a text that is continued as it stands."""

PROMPT_FIELDS = FieldTable(
    ignored={**IGNORED_FIELDS, "parallel_tool_calls": "there are no tools with a prompt"},
    refused={**UNSUPPORTED_FIELDS, **CHAT_FIELDS},
)
"""That of routes that know of no conversations, but for what they declare."""
