"""/v1/moderations: what the content filter's rules find in texts, in OpenAI's shape.

A rule says yes or no, so a score is 1 or 0. No model is asked.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.http.off_loop import off_loop
from serve.api.http.strict_json import parse_object
from serve.api.http.turnstile import Turnstile
from serve.api.openai.bodies import Body
from serve.api.openai.fields import PROMPT_FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.refusals import shown
from serve.api.openai.schemas import JsonReply, Moderations, described
from serve.api.policy import INFER
from serve.api.routes import RouteSpec, ServerState
from serve.errors import InvalidRequest, UnsupportedField
from serve.governance.moderating import Moderation

PATH: Final = "/v1/moderations"
MAX_INPUTS: Final = 128
MAX_INPUT_CHARS: Final = 1_000_000
"""The bound of all inputs together."""
MAX_RUNNING: Final = 2
MAX_WAITING: Final = 62

_TEXT = {"type": "string", "minLength": 1}
_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": _TEXT},
    "required": ["type", "text"],
}
InputField = Annotated[
    Any,  # checked by texts(): pydantic's messages for a union would name its branches
    WithJsonSchema(
        {
            "anyOf": [
                _TEXT,
                {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": _TEXT},
                {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": _PART},
            ]
        }
    ),
]


class ModerationRequest(Body):
    elsewhere: ClassVar = {
        "prompt": "is a field of /v1/completions: here it is input.",
        "messages": "is a field of /v1/chat/completions: here it is input.",
    }

    input: InputField
    model: Annotated[str, Field(max_length=256)] | None = None

    def texts(self) -> list[str]:
        """The texts to look at.

        Raises:
            InvalidRequest: none, too many, too long, or no text.
            UnsupportedField: a picture.
        """
        if isinstance(self.input, str):
            given: list[Any] = [self.input]
        elif isinstance(self.input, list) and self.input:
            given = self.input
        else:
            raise InvalidRequest(
                f"input must be a string or an array of texts, not {shown(self.input)}.",
                param="input",
            )
        if len(given) > MAX_INPUTS:
            raise InvalidRequest(
                f"input has {len(given)} texts: at most {MAX_INPUTS}. Send them in parts.",
                param="input",
            )
        texts = [_text(number, item) for number, item in enumerate(given)]
        num_chars = sum(map(len, texts))
        if num_chars > MAX_INPUT_CHARS:
            raise InvalidRequest(
                f"input has {num_chars} characters: at most {MAX_INPUT_CHARS}. Send it in parts.",
                param="input",
            )
        return texts


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """The one route."""
    turnstile = Turnstile(max_running=MAX_RUNNING, max_waiting=MAX_WAITING)

    async def moderate(request: Request) -> Response:
        """The findings of the content filter's rules in each text.

        Raises:
            RequestError: see docs/errors.md.
        """
        raw = await request.body()
        async with turnstile.passed():
            body = await off_loop(
                len(raw), lambda: parse_body(ModerationRequest, parse_object(raw), PROMPT_FIELDS)
            )
            call = call_of(request.scope)
            texts = body.texts()
            version, found = await state.service.moderate(call, texts)
        call.details |= {
            "rules": version,
            "texts": len(texts),
            "chars": sum(map(len, texts)),
            "flagged": sum(bool(moderation.flagged) for moderation in found),
        }
        return JsonReply(
            {
                "id": "modr-" + call.record.request_id.removeprefix("req-"),
                "model": f"content-filter@{version}",
                "results": [_result(moderation) for moderation in found],
            }
        )

    return (
        RouteSpec(
            path=PATH,
            handler=moderate,
            policy=INFER,
            method="POST",
            openapi={
                "tags": ["moderations"],
                "responses": described(Moderations),
                "body": ModerationRequest,
                "example": {"input": "How do I get to the station?"},
            },
        ),
    )


def _result(moderation: Moderation) -> dict[str, Any]:
    flags = {name: name in moderation.flagged for name in moderation.categories}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {name: float(is_flagged) for name, is_flagged in flags.items()},
        "category_applied_input_types": {name: ["text"] for name in flags},
        "rules": list(moderation.rules),
    }


def _text(number: int, item: object) -> str:
    param = f"input[{number}]"
    if isinstance(item, dict):
        if item.get("type") == "image_url":
            raise UnsupportedField(
                f"{param} is a picture: the content filter reads text alone.", param=param
            )
        if unknown := sorted(item.keys() - {"type", "text"}):
            raise InvalidRequest(
                f"{param} has the unknown field {shown(unknown[0])}: it has type and text.",
                param=param,
            )
        if item.get("type") != "text":
            raise InvalidRequest(
                f"{param}.type must be text, not {shown(item.get('type'))}.", param=f"{param}.type"
            )
        item, param = item.get("text"), f"{param}.text"
    if not isinstance(item, str) or not item:
        told = "an empty string" if item == "" else shown(item)
        raise InvalidRequest(
            f"{param} must be a text that says something, not {told}.", param=param
        )
    return item
