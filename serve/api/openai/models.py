"""/v1/models: the names under which clients may ask for the model, or for an adapter of it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from quantize.measuring import gates
from serve.api.http.middleware import call_of
from serve.api.openai.schemas import JsonReply, ModelCard, ModelList, described
from serve.api.policy import INFER
from serve.api.routes import RouteSpec, ServerState
from serve.service.directory import Served, Weights


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """The list, and one model."""
    service = state.service

    async def list_models(request: Request) -> Response:
        """List the models."""
        cards = [_card(served) for served in service.models_of(call_of(request.scope))]
        return JsonReply({"object": "list", "data": cards})

    async def retrieve_model(request: Request) -> Response:
        """Describe one model. Its name may hold slashes.

        Raises:
            ModelNotFound: no such model.
        """
        return JsonReply(
            _card(service.served(call_of(request.scope), request.path_params["model"]))
        )

    tags = ["models"]
    return (
        RouteSpec(
            path="/v1/models",
            handler=list_models,
            policy=INFER,
            openapi={"tags": tags, "responses": described(ModelList)},
        ),
        RouteSpec(
            path="/v1/models/{model:path}",
            handler=retrieve_model,
            policy=INFER,
            openapi={"tags": tags, "responses": described(ModelCard)},
        ),
    )


def _card(served: Served) -> dict[str, Any]:
    # OpenAI's names for what an adapter was made from. vLLM's root is a path: nobody's business.
    lineage = {"root": served.model, "parent": served.model} if served.adapter else {}
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "intramural",
        "max_model_len": served.resident().engine.info.max_model_len,
        "digest": served.weights.digest,
        "quantization": str(served.weights.scheme),
        "quality": _quality(served.weights),
        **lineage,
    }


def _quality(weights: Weights) -> dict[str, Any] | None:
    """The headlines; the manifest has the rest."""
    quality = weights.quality
    if quality is None:
        return None
    return {
        "kl_mean": quality.kl_mean,
        "kl_p99": quality.kl_p99,
        "top1": quality.top1,
        "perplexity_ratio": quality.perplexity_ratio,
        "num_tokens": quality.num_tokens,
        "texts": [text.name for text in quality.texts],
        "is_enough": gates.complaint(quality, weights.scheme) is None,
    }
