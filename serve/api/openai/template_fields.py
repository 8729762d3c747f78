"""Fields of how a conversation is rendered, and the prompt that it comes to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from models.rules.names import quoted
from serve.api.openai.messages import AssistantMessage, Message, plain_messages
from serve.api.openai.reasoning import ReasoningFields
from serve.api.openai.refusals import MAX_ECHO_CHARS, param_of
from serve.errors import InvalidRequest
from serve.pipeline.events import ChatPrompt

MAX_OPTIONS: Final = 64
MAX_OPTION_CHARS: Final = 65_536
"""Of the JSON of all of them: they say how to render a conversation, and are none."""

OURS: Final = frozenset(
    {
        *("messages", "tools", "documents", "add_generation_prompt", "continue_final_message"),
        *("chat_template", "tokenize", "raise_exception", "strftime_now", "range", "dict"),
        *("lipsum", "cycler", "joiner", "namespace", "loop", "self", "super", "caller"),
        *("varargs", "kwargs"),
    }
)
"""Names that the server, or Jinja, gives a meaning to; special tokens are told by their ending."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_Document = dict[str, Any]


class TemplateFields(ReasoningFields):
    """The fields that change a prompt and not its messages."""

    flags: ClassVar = ReasoningFields.flags | {"chat_template_kwargs", "documents"}

    chat_template_kwargs: dict[str, Any] | None = None
    documents: Annotated[list[_Document], Field(fail_fast=True)] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    def chat_prompt(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
    ) -> ChatPrompt:
        """The prompt of a conversation.

        Args:
            tools: as templates expect them.

        Raises:
            InvalidRequest: fields that contradict each other or the messages, or a variable that a
                client cannot set.
        """
        continues = bool(self.continue_final_message)
        if continues:
            self._check_continued(messages[-1])
        options = self._options()
        if self.documents:
            options["documents"] = self.documents
        return ChatPrompt(
            messages=plain_messages(messages),
            tools=tuple(tools),
            options=options,
            opens_answer=self.add_generation_prompt is not False and not continues,
            continues_last=continues,
        )

    def _check_continued(self, last: Message) -> None:
        param = "continue_final_message"
        if self.add_generation_prompt:
            raise InvalidRequest(
                f"{param} and add_generation_prompt are both true: the last message is either "
                "continued or answered. Send one of them.",
                param=param,
            )
        if not isinstance(last, AssistantMessage) or last.tool_calls or last.function_call:
            raise InvalidRequest(
                f"{param} needs a last message of the role assistant, without tool calls: that is "
                "what is continued.",
                param=param,
            )

    def _options(self) -> dict[str, Any]:
        """Variables for the template, of whichever field."""
        options = self.reasoning_options()
        given = self.chat_template_kwargs or {}
        where = "chat_template_kwargs"
        if len(given) > MAX_OPTIONS:
            raise InvalidRequest(
                f"{where} has {len(given)} names: at most {MAX_OPTIONS}.", param=where
            )
        for name, value in given.items():
            param = f"{where}.{param_of((name,))}"
            if name in OURS or name.endswith(("_token", "_tokens")):
                raise InvalidRequest(
                    f"{param} is set by the server, and by no client. Leave it out.", param=param
                )
            if not _NAME.fullmatch(name):
                raise InvalidRequest(
                    f"{where} has the name {quoted(name[:MAX_ECHO_CHARS])}, which no template can "
                    "read: names are letters, digits and _, at most 64, a letter first.",
                    param=where,
                )
            if options.get(name, value) != value:
                raise InvalidRequest(
                    f"{param} says something else of how to reason than another field does: send "
                    "one of them.",
                    param=param,
                )
        num_chars = len(json.dumps(given, ensure_ascii=False)) if given else 0
        if num_chars > MAX_OPTION_CHARS:
            raise InvalidRequest(
                f"{where} has {num_chars} characters: at most {MAX_OPTION_CHARS}.", param=where
            )
        return {**options, **given}
