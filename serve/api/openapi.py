"""/openapi.json: FastAPI describes the routes, and this adds what it cannot see.

The routes read their bodies themselves, so FastAPI knows nothing of them.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve.api.openai.fields import IGNORED_FIELDS
from serve.api.routes import RouteSpec

_REF = "#/components/schemas/"


class Documentation:
    """The routes' own descriptions, gathered as they are added."""

    def __init__(self) -> None:
        self._bodies: list[type[BaseModel]] = []

    def add(self, router: APIRouter, route: RouteSpec) -> None:
        """Add a route to the router, and remember the type of its body."""
        documented = dict(route.openapi)
        body = documented.pop("body", None)
        if body is not None:
            self._bodies.append(body)
            documented["openapi_extra"] = _request_body(body)
        router.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            include_in_schema=bool(route.openapi),
            **documented,
        )

    def describe(self, app: FastAPI) -> dict[str, Any]:
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
            [(kind, "validation") for kind in self._bodies], ref_template=_REF + "{model}"
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions["$defs"])
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        return document


def _request_body(kind: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF + kind.__name__}}}
    return {"requestBody": {"required": True, "content": content}}
