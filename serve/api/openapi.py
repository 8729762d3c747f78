"""/openapi.json: FastAPI describes the routes, and this adds what it cannot see.

The routes read their bodies themselves, so FastAPI knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve.api.openai.fields import IGNORED_FIELDS
from serve.api.openai.meanings import MEANINGS
from serve.api.routes import RouteSpec

_REF = "#/components/schemas/"


class Documentation:
    """The routes' own descriptions, gathered as they are added."""

    def __init__(self) -> None:
        self._bodies: list[type[BaseModel]] = []
        self._public = APIRouter()

    def add(self, router: APIRouter, route: RouteSpec) -> None:
        """Remember the type of a route's body, and add the route to the router.

        Not if it is public: then it is described here, and served by another.
        """
        documented = dict(route.openapi)
        body, example = documented.pop("body", None), documented.pop("example", None)
        parameters = documented.pop("parameters", None)
        if body is not None:
            self._bodies.append(body)
            documented["openapi_extra"] = _request_body(body, example)
        elif route.policy.is_public:
            documented["openapi_extra"] = {"security": []}
        elif parameters is not None:
            documented["openapi_extra"] = {"parameters": parameters}
        (self._public if route.policy.is_public else router).add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            include_in_schema=bool(route.openapi),
            **documented,
        )

    def describe(self, app: FastAPI) -> dict[str, Any]:
        """The OpenAPI document of all routes that are part of the API."""
        document: dict[str, Any] = get_openapi(
            title=app.title,
            version=app.version,
            routes=[*app.routes, *self._public.routes],
            description=(
                "An OpenAI-compatible server.\n\nAccepted and without effect: "
                f"{', '.join(f'`{name}`' for name in sorted(IGNORED_FIELDS))}."
            ),
        )
        _, definitions = models_json_schema(
            [(kind, "validation") for kind in self._bodies], ref_template=_REF + "{model}"
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas.update(definitions["$defs"])
        for name in MEANINGS.keys() & schemas.keys():
            for field, meaning in MEANINGS[name].items():
                schemas[name]["properties"][field]["description"] = meaning
        for described in (*schemas.values(), *_operations(document)):
            if "description" in described:
                described["description"] = _for_callers(described["description"])
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        return document


def _request_body(kind: type[BaseModel], example: object) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _REF + kind.__name__}}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _for_callers(docstring: str) -> str:
    """A docstring without what it raises, in Markdown's marks for code."""
    return docstring.partition("\n\nRaises:")[0].replace("``", "`")
