"""Adapters as clients see them: names like a model's. The engine is the fake one."""

from __future__ import annotations

import pytest

from serve.errors import ModelNotFound, NotReady
from serve.service.directory import Directory, Weights
from tests.serve.api.house import House, house, pipeline_of

LORA = ("clerk=/srv/adapters/clerk", "org/poet=/srv/adapters/poet")


@pytest.fixture
def home() -> House:
    # No script: the fake's own tokens depend on the adapter.
    return house(pipeline_of(script=None, adapters=("clerk", "org/poet")), lora=LORA)


async def test_they_are_listed_with_what_they_adapt(home: House) -> None:
    async with home.client() as client:
        base, clerk, poet = (await client.get("/v1/models")).json()["data"]
        card = (await client.get("/v1/models/org/poet")).json()
    assert [base["id"], clerk["id"], poet["id"]] == ["demo", "clerk", "org/poet"]
    assert "parent" not in base
    assert (poet["root"], poet["parent"]) == ("demo", "demo")
    assert poet == card
    assert {**poet, "id": "clerk"} == clerk
    assert "/srv" not in str([base, clerk, poet])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "prompt"),
    [
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    ],
)
async def test_the_models_name_chooses(
    home: House, path: str, prompt: dict[str, object], stream: bool
) -> None:
    said = {}
    async with home.client() as client:
        for name in ("demo", "clerk", "org/poet"):
            body = {"model": name, "max_tokens": 8, "temperature": 0, "stream": stream} | prompt
            response = await client.post(path, json=body)
            assert response.status_code == 200
            assert f'"model":"{name}"' in response.text
            assert home.records.last.model == name
            text = response.text
            said[name] = text[text.index('"choices"') :].partition('"usage"')[0]
    assert len(set(said.values())) == 3


async def test_the_fingerprint_is_the_adapters_own(home: House) -> None:
    async with home.client() as client:
        prints = [
            (await client.post("/v1/completions", json={"model": name, "prompt": "x"})).json()[
                "system_fingerprint"
            ]
            for name in ("demo", "clerk", "org/poet", "clerk")
        ]
    assert len(set(prints)) == 3
    assert prints[1] == prints[3]


async def test_an_unknown_name_is_told_all_of_them(home: House) -> None:
    async with home.client() as client:
        response = await client.post("/v1/completions", json={"model": "nobody", "prompt": "x"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert error["message"].endswith("Served: demo, clerk, org/poet.")


async def test_prompts_are_tokenised_under_every_name(home: House) -> None:
    async with home.client() as client:
        for name in ("demo", "clerk"):
            response = await client.post("/tokenize", json={"model": name, "prompt": "Hello"})
            assert response.status_code == 200
        assert home.records.last.model == "clerk"


# The directory itself


def test_names_are_known_before_anything_serves_them() -> None:
    directory = Directory(("demo", "alias"), ("bank",), created=7)
    assert [served.name for served in directory.entries] == ["demo", "alias", "bank"]
    assert {served.state for served in directory.entries} == {"loading"}
    assert directory.find(None) == directory.default == directory.find("demo")
    with pytest.raises(NotReady, match="startupz"):
        directory.default.resident()


def test_an_adapter_knows_the_model_that_it_adapts() -> None:
    directory = Directory(("demo", "alias"), ("bank",), created=7)
    adapter, alias = directory.find("bank"), directory.find("alias")
    assert (adapter.model, adapter.adapter) == ("demo", "bank")
    assert (alias.model, alias.adapter) == ("demo", None)


def test_what_is_published_serves_every_name() -> None:
    directory, pipeline = Directory(("demo", "alias"), created=7), pipeline_of()
    directory.publish(pipeline, Weights(digest="sha256:1"))
    for served in directory.entries:
        assert served.state == "resident"
        assert served.resident() is pipeline
        assert served.weights.digest == "sha256:1"
        assert served.created == 7
    demo, alias = directory.entries
    assert demo.fingerprint == alias.fingerprint


def test_a_long_name_is_cut_in_the_refusal() -> None:
    with pytest.raises(ModelNotFound) as refused:
        Directory(("demo",), created=0).find("x" * 1000)
    assert "x" * 60 in refused.value.message
    assert "x" * 61 not in refused.value.message


def test_an_unknown_name_is_shown_in_jsons_words_with_one_like_it() -> None:
    directory = Directory(("demo", "org/poet"), created=0)
    with pytest.raises(ModelNotFound, match=r'"dem" is not served here\. Did you mean demo\?'):
        directory.find("dem")
    with pytest.raises(ModelNotFound) as refused:
        directory.find("a\0b'\x1b[31m")
    assert r"""The model "a\u0000b'\u001b[31m" is not served""" in refused.value.message
