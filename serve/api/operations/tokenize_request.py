"""The bodies of /tokenize and /detokenize, in vLLM's shapes (entrypoints/serve/tokenize)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from serve.api.openai.bodies import WHOLE_ITEMS, Body
from serve.api.openai.messages import Messages
from serve.api.openai.template_fields import TemplateFields
from serve.api.openai.tools import Tools
from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.events import Prompt, TextPrompt


class TokenizeRequest(TemplateFields):
    """``prompt`` or ``messages``; ``add_special_tokens`` is true by default for a prompt only."""

    kept_fields: ClassVar = frozenset({"prompt"})
    elsewhere: ClassVar = {
        "tokens": "is a field of /detokenize: send this body there, or a prompt here.",
        "content": "is another server's name: here it is prompt.",
        "text": "is another server's name: here it is prompt.",
        "input": "is a field of other routes: this one takes a prompt or messages.",
    }

    model: str | None = None
    prompt: str | None = None
    messages: Messages | None = None
    tools: Tools | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None

    def to_prompt(self) -> Prompt:
        """The prompt to tokenise.

        Raises:
            InvalidRequest: neither or both of prompt and messages, or an empty prompt.
            UnsupportedField: special tokens on top of a chat template's own.
        """
        has_prompt = bool(self.prompt) or (self.prompt is not None and self.messages is None)
        if has_prompt == (self.messages is not None):
            given = (
                "Both prompt and messages are" if has_prompt else "Neither prompt nor messages is"
            )
            raise InvalidRequest(f"{given} given: send one of them.", param="prompt")
        if self.messages is not None:
            if self.add_special_tokens:
                raise UnsupportedField(
                    "add_special_tokens cannot be true with messages: the chat template writes its "
                    "own.",
                    param="add_special_tokens",
                )
            tools = [tool.function.plain() for tool in self.tools or ()]
            return self.chat_prompt(self.messages, tools)
        if not self.prompt:
            raise InvalidRequest("prompt is empty: give some text.", param="prompt")
        for name in ("tools", *TemplateFields.model_fields):
            if getattr(self, name) is not None:
                raise InvalidRequest(
                    f"{name} is for a conversation: it goes with messages, not with a prompt.",
                    param=name,
                )
        return TextPrompt(self.prompt, add_special_tokens=self.add_special_tokens is not False)

    def counts(self) -> dict[str, int]:
        """The sizes of what is to be tokenised: messages, or characters of a prompt."""
        if self.messages is not None:
            return {"messages": len(self.messages)}
        return {"chars": len(self.prompt or "")}


class DetokenizeRequest(Body):
    elsewhere: ClassVar = {
        "prompt": "is a field of /tokenize: send this body there, or tokens here.",
        "messages": "is a field of /tokenize: send this body there, or tokens here.",
        "token_ids": "is another server's name: here it is tokens.",
    }

    model: str | None = None
    tokens: Annotated[list[int], Field(fail_fast=True), WHOLE_ITEMS]

    def check_length(self, max_model_len: int) -> None:
        """Raises InvalidRequest for more tokens than a context holds: no answer has so many."""
        if len(self.tokens) > max_model_len:
            raise InvalidRequest(
                f"tokens has {len(self.tokens)} ids: at most {max_model_len}. Send them in parts.",
                param="tokens",
            )
