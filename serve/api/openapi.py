"""/openapi.json: FastAPI describes the routes, we add what it cannot see.

The routes read their bodies themselves, so FastAPI knows nothing of them: ``request_body`` names
the wire model of a route, and ``describe`` puts the models' schemas into the document.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from serve.api.openai.chat_request import ChatRequest
from serve.api.openai.completion_request import CompletionRequest
from serve.api.openai.fields import IGNORED_FIELDS
from serve.api.openai.parsing import Wire
from serve.api.operations.tokenize_request import DetokenizeRequest, TokenizeRequest

BODIES: tuple[type[Wire], ...] = (
    ChatRequest,
    CompletionRequest,
    TokenizeRequest,
    DetokenizeRequest,
)
_REF = "#/components/schemas/"


def request_body(kind: type[Wire]) -> dict[str, Any]:
    """A route's ``openapi_extra``: its body is one of BODIES."""
    content = {"application/json": {"schema": {"$ref": _REF + kind.__name__}}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the protected routes."""
    document: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description=(
            "An OpenAI-compatible server. Accepted and without effect: "
            f"{', '.join(sorted(IGNORED_FIELDS))}."
        ),
    )
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in BODIES], ref_template=_REF + "{model}"
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    return document
