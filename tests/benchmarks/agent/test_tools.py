"""The tools are as OpenAI's API takes them."""

from __future__ import annotations

from benchmarks.agent.tools import TOOLS


def test_ten_tools_with_schemas_that_require_what_they_describe():
    assert len({tool["function"]["name"] for tool in TOOLS}) == len(TOOLS) == 10
    for tool in TOOLS:
        parameters = tool["function"]["parameters"]
        assert tool["type"] == "function"
        assert tool["function"]["description"]
        assert set(parameters["required"]) <= set(parameters["properties"])
        assert all("type" in schema for schema in parameters["properties"].values())
