"""/v1/models: the names under which clients may ask for the model, or for an adapter of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from quantize.measuring import gates
from serve.api.context import ServerState, record_of, state_of
from serve.api.openai.schemas import JsonReply, ModelCard, ModelList, described

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", responses=described(ModelList))
async def list_models(request: Request) -> Response:
    """List the models."""
    state = state_of(request)
    cards = [_card(state, name) for name in (*state.config.model_names, *state.config.adapters)]
    return JsonReply({"object": "list", "data": cards})


@router.get("/models/{model:path}", responses=described(ModelCard))
async def retrieve_model(request: Request) -> Response:
    """Describe one model. Its name may hold slashes.

    Raises:
        ModelNotFound: no such model.
    """
    state = state_of(request)
    name = state.check_model(request.path_params["model"])
    record_of(request.scope).model = name
    return JsonReply(_card(state, name))


def _card(state: ServerState, name: str) -> dict[str, Any]:
    # OpenAI's names for what an adapter was made from. vLLM's root is a path: nobody's business.
    base = state.config.model_names[0]
    lineage = {"root": base, "parent": base} if name in state.config.adapters else {}
    return {
        "id": name,
        "object": "model",
        "created": state.model_created,
        "owned_by": "intramural",
        "max_model_len": state.loaded_pipeline().engine.info.max_model_len,
        "digest": state.digest,
        "quantization": str(state.scheme),
        "quality": _quality(state),
        **lineage,
    }


def _quality(state: ServerState) -> dict[str, Any] | None:
    """The headlines; the manifest has the rest."""
    quality = state.quality
    if quality is None:
        return None
    return {
        "kl_mean": quality.kl_mean,
        "kl_p99": quality.kl_p99,
        "top1": quality.top1,
        "perplexity_ratio": quality.perplexity_ratio,
        "num_tokens": quality.num_tokens,
        "texts": [text.name for text in quality.texts],
        "is_enough": gates.complaint(quality, state.scheme) is None,
    }
