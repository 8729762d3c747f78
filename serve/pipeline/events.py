"""The pipeline's input (GenerateRequest) and output (Event): a table of values, one file.

Both are read by the whole pipeline; none of them does anything.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.errors import RequestError
from serve.timeline import CacheCause, FinishReason, Timeline, Usage

if TYPE_CHECKING:  # which are made of these events
    from serve.pipeline.stages import StagesOf

UNBOUNDED_TOKENS = sys.maxsize
"""``SamplingParams.max_tokens`` of a request that named none: as many as fit the context."""

Channel = Literal["content", "reasoning", "refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt:
    """Messages for the model's chat template, as plain JSON values, with tools if any.

    Attributes:
        options: further variables for the template, plain JSON, none of them one that the server
            sets itself.
        opens_answer: whether the prompt ends where the assistant's turn begins.
        continues_last: the last message, the assistant's, is left open and continued. Not with
            ``opens_answer``.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    opens_answer: bool = True
    continues_last: bool = False


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to continue, tokenised as it stands.

    Attributes:
        add_special_tokens: with the tokenizer's own BOS/EOS.
    """

    text: str
    add_special_tokens: bool = True


@dataclass(frozen=True, slots=True)
class FillPrompt:
    """Text with a gap, for models that were taught to fill one (FIM tokens)."""

    prefix: str
    suffix: str


@dataclass(frozen=True, slots=True)
class TokensPrompt:
    """Token ids to continue. Whether they are in the vocabulary is checked by the pipeline."""

    token_ids: tuple[int, ...]


Prompt = ChatPrompt | TextPrompt | FillPrompt | TokensPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableTool:
    """A function that a model may call.

    Attributes:
        parameters: the JSON schema of its arguments; None where the client gave none.
        is_strict: arguments are to be of the schema, whatever the model would write.
    """

    name: str
    parameters: Mapping[str, Any] | None = None
    is_strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """The way in which an answer may call tools.

    Attributes:
        tools: those that may be called; the prompt may tell of more. At least one.
        is_required: at least one call has to come, and nothing but calls.
        is_parallel: more than one call may come.
    """

    tools: tuple[CallableTool, ...]
    is_required: bool = False
    is_parallel: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningUse:
    """The way in which an answer may reason before it says anything.

    Attributes:
        is_shown: whether the client is sent the reasoning.
        max_tokens: most tokens of it; None is as many as come.
    """

    is_shown: bool = True
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A client's wish for text, in no API's words. ``len(prompts) * n`` choices.

    Attributes:
        prompts: one or more; choice ``i * n + k`` is the k-th continuation of prompt ``i``.
        sampling: ``max_tokens`` is UNBOUNDED_TOKENS where the client named none.
        stop: strings that end a choice; they are not part of its text.
        cache_salt: of the client's own: only its requests of the same salt share prefixes.
        format: the language of the answer's content: not of its reasoning, and not of a turn of
            calls. ``sampling.grammar`` is made of it, and is never set by a dialect itself.
        format_param: the client's field that asked for it, for errors.
        tool_use: None where no tool may be called; for chats only.
        forbids_calls: there are tools, and none of them may be called: what begins a call may not
            come.
        reasoning: for chats only.
        bad_words: texts that may not come; token ids of them go into ``sampling``.
        best_of: candidates for each prompt, of which the ``n`` likeliest are returned; None is
            ``n``. At least ``n``.
        echoes: each choice's text begins with its prompt's; with log-probabilities, so do they.
        keeps_stop: a stop string that ends a choice is part of its text.
        shows_special: special tokens are part of the text, by their names.
        wants_token_ids: PromptTokens and TokenIds are sent.
        shows_token_ids: the client sees the ids, and not only how many they are.
        explains_cache: CacheExplained is sent.
        truncates_to: only the last so many tokens of each prompt count; None is all.
        truncates_end: the first so many instead.
        given: fields of ``sampling`` that the client gave; others have defaults.
        preset: the one that the client chose.
    """

    prompts: tuple[Prompt, ...]
    n: int = 1
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    cache_salt: str | None = None
    format: Grammar | None = None
    format_param: str = "response_format"
    tool_use: ToolUse | None = None
    forbids_calls: bool = False
    reasoning: ReasoningUse = ReasoningUse()
    bad_words: tuple[str, ...] = ()
    best_of: int | None = None
    echoes: bool = False
    keeps_stop: bool = False
    shows_special: bool = False
    wants_token_ids: bool = False
    shows_token_ids: bool = False
    explains_cache: bool = False
    truncates_to: int | None = None
    truncates_end: bool = False
    given: frozenset[str] = frozenset()
    preset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(Generation):
    """A generation that may run: who wants it, by what it is served, and its record.

    Attributes:
        request_id: unique among those in flight.
        tenant: tenants never share cached prefixes.
        adapter: one of the engine's; None is the plain model.
        stages: those that each choice's events pass behind the stop strings; None is none.
        timeline: the pipeline writes stamps and usage into it.
    """

    request_id: str
    tenant: str
    adapter: str | None = None
    stages: StagesOf | None = None
    timeline: Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenText:
    """One token as clients see it in ``logprobs``.

    Attributes:
        text: lossy: a part of a character is U+FFFD. Of a special token its name.
        raw: its exact bytes; none where it has no text, as a special token. The bytes of all tokens
            joined are the UTF-8 of the text, but for characters that nobody finished.
        top: the most likely tokens at its place, most likely first.
        logprob: None for a prompt's first token, which nothing stands before.
        token_id: None where it is not known.
        offset: characters of the choice's text before the one in which it begins.
        rank: among all tokens, from 1; for prompt tokens only.
    """

    text: str
    raw: bytes
    logprob: float | None
    top: tuple[TokenText, ...] = ()
    token_id: int | None = None
    offset: int = 0
    rank: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The request is admitted and rendered. After this there is no HTTP status to choose.

    Attributes:
        prompt_tokens: of all prompts together.
        max_completion_tokens: most that may be generated, over all candidates.
        num_sequences: candidates, of all prompts together.
        width: of these, those that run at once.
    """

    prompt_tokens: int
    max_completion_tokens: int = 0
    num_sequences: int = 1
    width: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The request waits for its turn; of the service, to callers that asked to be told.

    Attributes:
        position: 1 is the next whose turn comes, as far as it is known.
        expected_wait_s: None where it is not known.
    """

    position: int
    expected_wait_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens:
    """One prompt as the model read it; after Started, where the client asked for it.

    Attributes:
        prompt: which of the request's, from 0.
        logprobs: one per token, where they were asked for; without offsets.
    """

    prompt: int
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenText, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """Ids of the tokens of one choice that came, where the client asked for them. Stages pass it
    on.
    """

    index: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """More text of one choice. Text may be empty only where ``logprobs`` is not."""

    index: int
    text: str
    channel: Channel = "content"
    logprobs: tuple[TokenText, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """More of one tool call of one choice.

    Attributes:
        call: which of the choice's calls, from 0.
        call_id: in the call's first delta only, as is ``name``.
        arguments: more of the arguments' JSON text.
    """

    index: int
    call: int
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of one choice; exactly one per choice, and nothing of that choice after it.

    Attributes:
        usage: tokens of this choice alone. The request's sum is in its timeline.
        error: with reason ``error`` only.
    """

    index: int
    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    error: RequestError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheExplained:
    """The fate of one prompt in the prefix cache; behind all choices, where the client asked.

    Attributes:
        prompt: which of the request's, from 0.
        cause: why the prompt left the longest prefix that was known.
        token: the first one that was not, or could not be, taken from the cache.
        at: the part of the request that it is of: ``messages[3].content``, ``tools[1]``,
            ``chat_template_kwargs``; ``chat_template`` where it is the template's own. None where
            there is nothing to explain, or it is not known.
        near: the nearest part, where it is the template's own.
        known_tokens: of the longest prefix that was computed before, for the same tenant and salt.
        cached_tokens: taken from the cache.
    """

    prompt: int
    cause: CacheCause
    token: int
    at: str | None = None
    near: str | None = None
    prompt_tokens: int
    known_tokens: int
    cached_tokens: int


ChoiceEvent = TextDelta | ToolCallDelta | TokenIds | Finished
"""Events of one choice, which pass its stages (stages.py)."""

Event = Started | Queued | PromptTokens | ChoiceEvent | CacheExplained
