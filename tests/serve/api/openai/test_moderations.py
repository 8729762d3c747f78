"""/v1/moderations: what the official client takes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai.types import ModerationCreateResponse

from serve.api.openai.moderations import MAX_INPUT_CHARS, MAX_INPUTS, PATH
from serve.api.openai.schemas import Moderations
from serve.governance.filtering.rules import CATEGORIES
from tests.serve.api.house import House, house
from tests.serve.api.openai.test_encoders import served

RULES = """
version = "5"
[[rules]]
name = "threats"
category = "violence"
words = ["kill"]
on = ["output"]
[[rules]]
name = "places"
category = "house/places"
words = ["暗室"]
action = "count"
"""


@pytest.fixture
def home(tmp_path: Path) -> House:
    path = tmp_path / "filter.toml"
    path.write_text(RULES, "utf-8")
    return house(content_filter_file=path)


async def test_the_official_client_takes_the_answer(home: House) -> None:
    async with served(home) as client:
        answer = await client.moderations.create(input=["I will KILL you", "hello"])
    ModerationCreateResponse.model_validate(answer.model_dump(), strict=True)
    assert answer.id.startswith("modr-")
    assert answer.model == "content-filter@5"
    hit, clean = answer.results
    assert (hit.flagged, clean.flagged) == (True, False)
    assert (hit.categories.violence, hit.category_scores.violence) == (True, 1.0)
    assert not hit.categories.harassment_threatening
    assert hit.category_applied_input_types.violence == ["text"]
    assert home.records.last.verdicts == ["filter:threats@5"]
    assert home.records.last.route == PATH


async def test_own_categories_and_rules_that_count_answer_too(home: House) -> None:
    async with home.client() as client:
        answer = (await client.post(PATH, json={"input": "去暗室", "model": "any"})).json()
    Moderations.model_validate(answer)
    (result,) = answer["results"]
    assert list(result["categories"]) == [*CATEGORIES, "house/places"]
    assert [name for name, is_flagged in result["categories"].items() if is_flagged] == [
        "house/places"
    ]
    assert result["rules"] == ["places@5"]


async def test_parts_of_type_text(home: House) -> None:
    body = {"input": [{"type": "text", "text": "kill"}, {"type": "text", "text": "x"}]}
    async with home.client() as client:
        answer = (await client.post(PATH, json=body)).json()
    assert [result["flagged"] for result in answer["results"]] == [True, False]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 3}, "input", "invalid_value"),
        ({"input": ["a", ""]}, "input[1]", "invalid_value"),
        ({"input": ["a", 3]}, "input[1]", "invalid_value"),
        ({"input": ["x"] * (MAX_INPUTS + 1)}, "input", "invalid_value"),
        ({"input": [{"type": "text"}]}, "input[0].text", "invalid_value"),
        ({"input": [{"type": "audio"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": "text", "text": "a", "x": 1}]}, "input[0]", "invalid_value"),
        (
            {"input": [{"type": "image_url", "image_url": {"url": "x"}}]},
            "input[0]",
            "unsupported_parameter",
        ),
        ({"input": "a", "messages": [1]}, "messages", "invalid_value"),
    ],
)
async def test_what_is_refused(home: House, body: Any, param: str, code: str) -> None:
    async with home.client() as client:
        refused = await client.post(PATH, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, param), error
    assert error["code"] in {code, "missing_required_parameter"}


async def test_too_many_characters(tmp_path: Path) -> None:
    path = tmp_path / "filter.toml"
    path.write_text(RULES, "utf-8")
    home = house(content_filter_file=path, max_body_bytes=4_000_000)
    async with home.client() as client:
        refused = await client.post(PATH, json={"input": "x" * (MAX_INPUT_CHARS + 1)})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")


async def test_a_server_without_a_filter_says_so() -> None:
    async with house().client() as client:
        refused = await client.post(PATH, json={"input": "a"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_content_filter")
    assert "--content-filter-file" in refused.json()["error"]["message"]
