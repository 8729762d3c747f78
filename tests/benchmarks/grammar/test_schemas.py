"""Schemas of the extraction: for so many people, closed, and checked as servers check them."""

from __future__ import annotations

import jsonschema
import pytest

from benchmarks.grammar.schemas import PROMPT, schemas
from serve.engine.grammars.references import check_circles

ANNA = {
    "texts": {"name": "Anna", "summary": "s" * 60},
    "records": {
        "family_name": "Keller",
        "given_name": "Anna",
        "age_in_years": 34,
        "place_of_residence": "Bern",
        "current_occupation": "nurse",
        "is_retired": False,
    },
}


@pytest.mark.parametrize("name", ANNA)
def test_an_extraction_of_so_many_is_valid_and_no_other(name):
    schema = schemas(2)[name]
    check = jsonschema.Draft202012Validator(schema)
    person = ANNA[name]
    assert check.is_valid({"people": [person, person]})
    assert not check.is_valid({"people": [person]})
    assert not check.is_valid({"people": [person, person | {"more": 1}]})
    short = {key: value for key, value in person.items() if key != next(iter(person))}
    assert not check.is_valid({"people": [person, short]})
    check_circles(schema)


def test_the_prompt_asks_for_an_answer():
    assert PROMPT.endswith("<|im_start|>assistant\n")
