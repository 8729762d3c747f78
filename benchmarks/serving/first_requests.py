"""The first requests to a server: which model it has, and how it counts tokens."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from typing import Any

from benchmarks.direct_http import direct
from benchmarks.serving import datasets
from benchmarks.serving.client import Endpoint, route_of, stream
from benchmarks.serving.datasets import Shape

_PROBE_WORDS = 60


def first_model(endpoint: Endpoint) -> str:
    """The first that the server lists.

    Raises:
        ValueError: it lists none, or does not answer.
    """
    request = urllib.request.Request(f"{endpoint.url}/models")  # noqa: S310 - http(s), by parse
    if endpoint.api_key:
        request.add_header("Authorization", f"Bearer {endpoint.api_key}")
    try:
        with direct.open(request, timeout=10) as response:
            return str(json.load(response)["data"][0]["id"])
    except (urllib.error.URLError, OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{endpoint.url}/models: {error}. Is the server up, the key in OPENAI_API_KEY? "
            "Else name the model with --model"
        ) from None


async def words_per_token(endpoint: Endpoint, shape: Shape) -> float:
    """The number of our words for one token of this server's tokenizer, by one short request.

    Raises:
        ValueError: it was not answered.
    """
    probe = replace(shape, input_tokens=_PROBE_WORDS, output_tokens=1, spread=0.0)
    body = next(datasets.requests("synthetic", probe, 0)).body
    num_words = len(body["messages"][0]["content"].split())
    trace = await stream(endpoint, endpoint.request(body), timeout_s=120)
    if trace.error is not None:
        raise ValueError(f"{endpoint.url}: a first request was not answered: {trace.error}")
    return num_words / (trace.prompt_tokens or unstreamed_tokens(endpoint, body) or num_words)


def unstreamed_tokens(endpoint: Endpoint, body: dict[str, Any]) -> int:
    """The prompt's tokens by an answer in one piece, for servers without usage in streams; or 0."""
    asked = {name: value for name, value in body.items() if not name.startswith("stream")}
    request = urllib.request.Request(  # noqa: S310 - http(s), by parse
        endpoint.url + route_of(asked),
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    if endpoint.api_key:
        request.add_header("Authorization", f"Bearer {endpoint.api_key}")
    try:
        with direct.open(request, timeout=120) as response:
            return int(json.load(response)["usage"]["prompt_tokens"])
    except (urllib.error.URLError, OSError, ValueError, LookupError, TypeError):
        return 0
