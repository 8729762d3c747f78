"""instructor: one answer of a type, by each of its modes for OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterable

import instructor
import openai
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel


class City(BaseModel):
    """A city of the world."""

    name: str
    country: str


class Weather(BaseModel):
    """The weather in a city."""

    city: str


CITY = [
    {
        "role": "user",
        "content": "Paris is the capital of France. Extract the city's name and country as JSON.",
    }
]
WEATHER = [
    {"role": "system", "content": "You must always use the tools."},
    {"role": "user", "content": "What is the weather in Paris, and what is it in Rome?"},
]


def _client(server, mode, **more):
    client = openai.OpenAI(base_url=server.url, api_key="unused")
    return instructor.from_openai(client, mode=mode, model=server.model, **more)


def _asked(**more):
    return {"messages": CITY, "response_model": City, "max_tokens": 200, "temperature": 0} | more


def _one(server, mode):
    city = _client(server, mode).chat.completions.create(**_asked(), max_retries=0)
    assert isinstance(city, City)


def tools(server):
    _one(server, instructor.Mode.TOOLS)


def tools_strict(server):
    _one(server, instructor.Mode.TOOLS_STRICT)


def json(server):
    _one(server, instructor.Mode.JSON)


def json_schema(server):
    _one(server, instructor.Mode.JSON_SCHEMA)


def md_json(server):
    _one(server, instructor.Mode.MD_JSON)


def _parallel(server, **more):
    told = _client(server, instructor.Mode.PARALLEL_TOOLS).chat.completions.create(
        **_asked(messages=WEATHER, response_model=Iterable[Weather]), max_retries=0, **more
    )
    found = list(told)
    assert found
    assert all(isinstance(item, Weather) for item in found)
    return {"called": len(found)}


def parallel_tools(server):
    """It asks with `auto`: a model that does not call is no fault of the server's."""
    try:
        return _parallel(server)
    except InstructorRetryException as error:
        if "No tool calls in response" not in str(error):
            raise
        return {"called": 0}


def parallel_tools_required(server):
    return _parallel(server, extra_body={"tool_choice": "required"})


def tools_partial(server):
    client = _client(server, instructor.Mode.TOOLS)
    parts = list(client.chat.completions.create_partial(**_asked()))
    City.model_validate(parts[-1].model_dump())


def json_schema_partial(server):
    client = _client(server, instructor.Mode.JSON_SCHEMA)
    parts = list(client.chat.completions.create_partial(**_asked()))
    City.model_validate(parts[-1].model_dump())


def tools_iterable(server):
    client = _client(server, instructor.Mode.TOOLS)
    cities = client.chat.completions.create_iterable(**_asked())
    assert all(isinstance(city, City) for city in cities)


async def tools_async(server):
    client = instructor.from_openai(
        openai.AsyncOpenAI(base_url=server.url, api_key="unused"), model=server.model
    )
    assert isinstance(await client.chat.completions.create(**_asked(), max_retries=0), City)


def with_completion(server):
    client = _client(server, instructor.Mode.TOOLS)
    city, raw = client.chat.completions.create_with_completion(**_asked())
    assert isinstance(city, City)
    assert raw.usage.completion_tokens > 0
