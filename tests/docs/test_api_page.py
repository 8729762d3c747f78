"""docs/api.md has every route, and every field of a body that means something."""

from __future__ import annotations

import re

from tests.house.tree import ROOT
from tests.serve.api.house import house

BODIES = ("ChatRequest", "CompletionRequest", "TokenizeRequest", "DetokenizeRequest")


async def test_the_page_has_every_route_and_field() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    async with house().client() as client:
        document = (await client.get("/openapi.json")).json()
    spelt = page.replace("{id}", "{model}")
    assert [path for path in document["paths"] if path not in spelt] == []
    schemas = document["components"]["schemas"]
    words = set(re.findall(r"\w+", page))
    fields = {field for body in BODIES for field in schemas[body]["properties"]}
    assert fields - words == set()
