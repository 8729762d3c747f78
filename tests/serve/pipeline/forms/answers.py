"""What a model of a form would write for the last turn of a conversation, and its true parse."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import Template
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from serve.pipeline.template_environment import compile_template
from serve.pipeline.template_meter import Bounds, Meter, metering
from serve.pipeline.tokenizer import ModelTokenizer
from serve.pipeline.tool_arguments import with_parsed_arguments
from serve.pipeline.traced_text import client, of_client
from tests.serve.pipeline.forms.conversations import Call, Conversation, Result, Turn, User
from tests.serve.pipeline.forms.form import Form

_TEXT = [
    'The audit log is in the state directory. {"name": "get_weather", "arguments": {"city": 1}}',
    "function parameter tool call think response assistant user system naïve café 你好，世界 🙂",
] * 4


@dataclass(frozen=True, slots=True)
class Answer:
    """The last turn of a conversation as text and as tokens.

    Attributes:
        prompt: what the model continues.
        text: what it writes, special tokens by their names, without what ends the turn.
        ids: of ``text``; a client's word that spells a token is plain text in them.
        end: the text that ends the turn, "" where the template writes none.
        expected: what the parser has to find.
    """

    prompt: str
    text: str
    ids: list[int]
    end: str
    expected: Turn


def answer(form: Form, conversation: Conversation) -> Answer:
    """The prompt and the answer, rendered with what a client wrote marked as a client's."""
    prompt, whole = _rendered(form, conversation)
    written = _written(form, prompt, whole, conversation.last)
    if written is None:  # the template renders history otherwise once a turn follows it
        alone = replace(conversation, parts=(User("Well?"), conversation.last))
        written = _written(form, *_rendered(form, alone), conversation.last)
    assert written is not None, f"{form}: the prompt is no beginning of the whole"
    body, end = without_end(form, written)
    ids = tokenizer_of(form).encode_rendered(body)
    return Answer(str(prompt), str(body), ids, end, conversation.last)


def difference(
    form: Form, expected: Turn, reasoning: str, content: str, calls: Sequence[Call]
) -> str | None:
    """What a parse has otherwise than it should; None where it is true.

    Numbers and booleans are told apart, keys of objects may come in any order, and an id counts
    only where the model itself writes one.
    """
    if reasoning.strip() != expected.reasoning:
        return f"reasoning {reasoning!r} is not {expected.reasoning!r}"
    found = content if form.exact else content.strip()
    if found != expected.content:
        return f"content {content!r} is not {expected.content!r}"
    written = [_comparable(form, call) for call in calls]
    true = [_comparable(form, call) for call in expected.calls]
    return None if written == true else f"calls {written} are not {true}"


def _comparable(form: Form, call: Call) -> tuple[str, str, str]:
    arguments = json.dumps(call.arguments, sort_keys=True, ensure_ascii=False)
    return call.name, arguments, "" if form.ids == "none" else call.id


def _rendered(form: Form, conversation: Conversation) -> tuple[str, str]:
    """The prompt, and the whole with the last turn."""
    messages, tools = messages_of(form, conversation), conversation.tools
    prompt = render(form, messages[:-1], tools)
    return prompt, render(form, messages, tools, add_generation_prompt=False)


def _written(form: Form, prompt: str, whole: str, turn: Turn) -> str | None:
    """The whole without the prompt, and with the reasoning where the template leaves it out."""
    base = prompt if whole.startswith(str(prompt)) else prompt.removesuffix(form.opened)
    if not whole.startswith(str(base)):
        return None
    body = whole[len(base) :]
    if form.reasoning == "dropped" and turn.reasoning:
        before, after = form.thought.split("{}")
        body = before + client(turn.reasoning) + after + body
    return body


def without_end(form: Form, body: str) -> tuple[str, str]:
    """A turn's text up to what ends it, and that."""
    for end in form.ends:
        at = body.rfind(end)
        if at >= 0 and not body[at + len(end) :].strip():
            return body[:at], end
    assert not form.ends, f"{form}: no end in {body[-80:]!r}"
    return body, ""


def messages_of(form: Form, conversation: Conversation) -> list[dict[str, Any]]:
    """The messages of a request, arguments as the pipeline gives them to a template."""
    made: list[dict[str, Any]] = []
    if conversation.system is not None:
        made.append({"role": "system", "content": conversation.system})
    for part in conversation.parts:
        match part:
            case User(content):
                made.append({"role": "user", "content": content})
            case Result(call, content):
                made.append(
                    {
                        "role": "tool",
                        "tool_call_id": call.id,
                        "name": call.name,
                        "content": content,
                    }
                )
            case Turn():
                made.append(_assistant(form, part))
    return made


def _assistant(form: Form, turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.content}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for call in turn.calls
        ]
    match form.reasoning:
        case None:
            pass
        case "blocks":
            if turn.reasoning:
                blocks = [{"type": "thinking", "thinking": turn.reasoning}]
                text = [{"type": "text", "text": turn.content}] if turn.content else []
                message["content"] = [*blocks, *text]
        case "inline":
            if turn.reasoning:
                thought = form.thought.replace("{}", turn.reasoning)
                message["content"] = form.opened + thought + turn.content
        case "dropped":
            message["reasoning_content"] = turn.reasoning
        case key:
            if turn.reasoning:
                message[key] = turn.reasoning
    return message


def render(
    form: Form,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]],
    *,
    add_generation_prompt: bool = True,
) -> str:
    """A prompt, by the environment of serve.pipeline.template, with a client's text marked."""
    given = [_of_client(form, with_parsed_arguments(message)) for message in messages]
    with metering(Meter(Bounds.of(200_000))):
        return _template(form).render(
            messages=given,
            tools=[of_client(tool) for tool in tools] or None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **form.special_tokens,
            **form.arguments,
        )


def _of_client(form: Form, message: Any) -> dict[str, Any]:
    made = {key: value if key == "role" else of_client(value) for key, value in message.items()}
    if form.reasoning == "inline" and message["role"] == "assistant":
        # The markup within is the model's own, so it counts as markup.
        made["content"] = str(message["content"])
    return made


@functools.cache
def _template(form: Form) -> Template:
    return compile_template(form.source)


@functools.cache
def tokenizer_of(form: Form) -> ModelTokenizer:
    """A byte-level tokenizer of a few hundred pieces, with the form's added tokens."""
    tokenizer = Tokenizer.from_str(_base())
    tokenizer.add_tokens(
        [
            *(AddedToken(token, special=True, normalized=False) for token in form.special),
            *(AddedToken(token, special=False, normalized=False) for token in form.added),
        ]
    )
    config = {"chat_template": form.source, **form.special_tokens}
    return ModelTokenizer(tokenizer, config, tokenizer.get_vocab_size())


@functools.cache
def _base() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    made: str = tokenizer.to_str()
    return made
