"""The description of the API names what there is."""

from __future__ import annotations

from tests.serve.api.house import house


async def test_the_description_names_every_route_and_body() -> None:
    async with house().client() as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1/models/{model}",
        "/tokenize",
        "/detokenize",
        "/version",
        "/metrics",
    }
    schemas = document["components"]["schemas"]
    assert {"ChatRequest", "CompletionRequest", "ChatCompletion", "ProblemReply"} <= set(schemas)
    assert "HTTPValidationError" not in schemas
    assert document["security"] == [{"key": []}]


async def test_no_page_loads_anything_from_elsewhere() -> None:
    async with house().client() as client:
        for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
            assert (await client.get(path)).status_code == 404
        described = (await client.get("/openapi.json")).text
    assert "http://" not in described
    assert "https://" not in described
