"""What /v1/models tells of the weights."""

from __future__ import annotations

import dataclasses

from models.refs import QuantScheme
from tests.models.test_quality import QUALITY
from tests.serve.api.house import house


async def test_quality_stands_beside_quantization() -> None:
    home = house()
    home.publish(scheme=QuantScheme.INT8, quality=QUALITY)
    async with home.client() as client:
        card = (await client.get("/v1/models/demo")).json()
    assert card["quantization"] == "int8"
    assert card["quality"] == {
        "kl_mean": 0.0123,
        "kl_p99": 0.07,
        "top1": 0.951,
        "perplexity_ratio": 1.02,
        "num_tokens": 600,
        "texts": ["english"],
        "is_enough": False,
    }
    home.publish(scheme=QuantScheme.INT8, quality=dataclasses.replace(QUALITY, kl_mean=0.001))
    async with home.client() as client:
        (card,) = (await client.get("/v1/models")).json()["data"]
    assert card["quality"]["is_enough"]


async def test_what_is_not_known_is_null() -> None:
    home = house()
    home.publish(scheme=QuantScheme.INT8)
    async with home.client() as client:
        (card,) = (await client.get("/v1/models")).json()["data"]
    assert card["quality"] is None


async def test_names_with_slashes_are_models() -> None:
    home = house(served_model_name=("org/model-7b", "alias"))
    async with home.client() as client:
        listed = (await client.get("/v1/models")).json()
        card = (await client.get("/v1/models/org/model-7b")).json()
        quoted = (await client.get("/v1/models/org%2Fmodel-7b")).json()
        alias = await client.post("/v1/completions", json={"model": "alias", "prompt": "x"})
    assert [model["id"] for model in listed["data"]] == ["org/model-7b", "alias"]
    assert card == quoted == listed["data"][0]
    assert card["max_model_len"] == 1024
    assert alias.json()["model"] == "alias"
