"""A conversation as the text of a prompt: what a client says of it is checked and followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from models.rules.names import quoted
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import ChatPrompt
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tool_arguments import with_parsed_arguments
from serve.pipeline.traced_text import of_client
from serve.suggestion import near

ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
"""What the API lets through as a role. Templates make control tokens from these words."""
HINTS: Final = frozenset({"enable_thinking", "thinking", "reasoning_effort"})
"""Options that a template need not know: to a model that does not reason they say nothing."""
_OPEN_END: Final = "open-end-of-this-message "
"""What is written behind a message that is continued, to find where it ends. The space at its end
tells whether a template trims: then it would have trimmed the message, too."""


Follows = Callable[[str, int, str], bool]
"""Whether a part is followed: ``messages`` or ``tools`` with its number, and a message's field."""


def chat_text(
    template: ChatTemplate | None,
    prompt: ChatPrompt,
    *,
    is_inline: bool = False,
    follows: Follows | None = None,
) -> str:
    """The text of a prompt; a TracedText where a client has a part.

    Args:
        is_inline: see ``ChatTemplate.render``.
        follows: the parts that count as a client's, to find where one stands; None is all. The text
            is the same, and is not for a tokenizer then.

    Raises:
        InvalidRequest: there is no template, it refuses the messages, or reads no such option.
        UnsupportedField: there are tools or documents, and the template does not render them.
        TooMuchInlineError: see ``ChatTemplate.render``.
    """
    if template is None:
        raise InvalidRequest(
            "This model has no chat template, so it cannot take messages. Use /v1/completions.",
            param="messages",
        )
    _check(template, prompt)
    messages = [
        _of_client(with_parsed_arguments(message), number, follows)
        for number, message in enumerate(prompt.messages)
    ]
    if prompt.continues_last:
        messages[-1] = {**messages[-1], "content": messages[-1]["content"] + _OPEN_END}
    text = template.render(
        messages,
        [
            of_client(tool) if follows is None or follows("tools", number, "") else tool
            for number, tool in enumerate(prompt.tools)
        ],
        options={
            name: of_client(value) if follows is None else value
            for name, value in prompt.options.items()
        },
        opens_answer=prompt.opens_answer and not prompt.continues_last,
        is_inline=is_inline,
    )
    return _cut_open(text) if prompt.continues_last else text


def _check(template: ChatTemplate, prompt: ChatPrompt) -> None:
    """Refuse what the model would never see."""
    if prompt.tools and not template.has_tools:
        raise UnsupportedField(
            "This model's chat template does not render tools, so the model would never see "
            "them. Leave tools out, or tell of them in a message.",
            param="tools",
        )
    for name in prompt.options:
        if name in template.variables or name in HINTS:
            continue
        if name == "documents":
            raise UnsupportedField(
                "This model's chat template does not render documents, so the model would never "
                "see them. Leave documents out, or put them into a message.",
                param=name,
            )
        param = f"chat_template_kwargs.{name}"
        raise InvalidRequest(
            f"{param} is no variable that this model's chat template reads: it has no "
            f"{quoted(name)}.{near(name, template.variables)} Leave it out.",
            param=param,
        )


def _cut_open(text: str) -> str:
    """The text up to where the last message ends, without what the template writes behind it.

    The idea is that of transformers' continue_final_message, utils/chat_template_utils.py.

    Raises:
        InvalidRequest: the template does not write that message.
    """
    at = text.rfind(_OPEN_END.strip())
    if at < 0:
        raise InvalidRequest(
            "continue_final_message is true, and this model's chat template does not write the "
            "last message as it is, so it cannot be continued.",
            param="continue_final_message",
        )
    is_whole = text.startswith(_OPEN_END, at)
    return text[:at] if is_whole else text[:at].rstrip()


def _of_client(message: Mapping[str, Any], number: int, follows: Follows | None) -> dict[str, Any]:
    """A message whose texts are known for a client's; its role is one of a few words, and ours."""
    return {
        key: of_client(value)
        if (follows is None or follows("messages", number, key))
        and not (key == "role" and value in ROLES)
        else value
        for key, value in message.items()
    }
