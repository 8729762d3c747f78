"""The description of the API names what there is."""

from __future__ import annotations

from serve.api.app import routes_of
from serve.api.openai.meanings import MEANINGS
from tests.serve.api.house import FILTER_FILE, house


async def test_the_description_names_every_route_and_body() -> None:
    async with house().client() as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/moderations",
        "/tokenize",
        "/detokenize",
        "/v1/usage",
        "/admin/usage",
        "/v1/feedback",
        "/v1/feedback/{answer_id}",
        "/admin/feedback",
        "/admin/feedback/counts",
        "/version",
        "/metrics",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/startupz",
        "/health",
    }
    schemas = document["components"]["schemas"]
    assert {"ChatRequest", "CompletionRequest", "ChatCompletion", "ProblemReply"} <= set(schemas)
    assert "HTTPValidationError" not in schemas
    assert document["security"] == [{"key": []}]


async def test_what_needs_no_key_says_so() -> None:
    home = house()
    async with home.client() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    public = {route.path for route in routes_of(home.state) if route.policy.is_public}
    open_paths = {
        path
        for path, methods in paths.items()
        if next(iter(methods.values())).get("security") == []
    }
    assert open_paths == public & paths.keys()
    assert "/livez" in open_paths


async def test_every_field_of_a_body_has_a_meaning_and_every_body_an_example() -> None:
    async with house(content_filter_file=FILTER_FILE).client() as client:
        document = (await client.get("/openapi.json")).json()
        schemas = document["components"]["schemas"]
        assert set(MEANINGS) <= set(schemas)
        for path, methods in document["paths"].items():
            if "post" not in methods:
                continue
            content = methods["post"]["requestBody"]["content"]["application/json"]
            name = content["schema"]["$ref"].rpartition("/")[2]
            properties = schemas[name]["properties"]
            assert MEANINGS[name].keys() == properties.keys()
            assert all(field["description"].endswith(".") for field in properties.values())
            answered = await client.post(path, json=content["example"])
            # No ledger, so no answer that there could be feedback on.
            assert answered.status_code == (404 if path == "/v1/feedback" else 200), path


async def test_descriptions_are_for_callers() -> None:
    async with house().client() as client:
        described = (await client.get("/openapi.json")).text
    assert "Raises:" not in described
    assert "``" not in described


async def test_no_page_loads_anything_from_elsewhere() -> None:
    async with house().client() as client:
        for path in ("/redoc", "/docs/oauth2-redirect"):
            assert (await client.get(path)).status_code == 404
        described = (await client.get("/openapi.json")).text
    assert "http://" not in described
    assert "https://" not in described
