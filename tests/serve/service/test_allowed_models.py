"""A key that names models is served those alone, and told of no others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from serve.errors import ModelNotFound
from serve.service import allowed_models
from serve.service.directory import SHOWN_CHARS, Directory

DIRECTORY = Directory(("one", "two"), created=0)


def asking(*models: str) -> Any:
    """Who asks, by a key that names these models; none of them is a key for all."""
    return SimpleNamespace(models=frozenset(models) or None)


def names(principal: Any) -> list[str]:
    return [served.name for served in allowed_models.served_to(DIRECTORY, principal)]


def test_a_key_is_served_what_it_names():
    assert names(asking()) == [served.name for served in DIRECTORY.entries]
    assert names(asking("two", "three")) == ["two"]
    assert allowed_models.find(DIRECTORY, asking("two"), "two").name == "two"
    assert allowed_models.find(DIRECTORY, asking(), None) is DIRECTORY.default


@pytest.mark.parametrize("model", ["one", "three"])
def test_a_model_of_others_is_refused_as_one_that_is_not_there(model):
    with pytest.raises(ModelNotFound) as refused:
        allowed_models.find(DIRECTORY, asking("two"), model)
    assert str(refused.value).replace(model, "X") == (
        'The model "X" is not served to this key. /v1/models lists those that are.'
    )
    assert refused.value.param == "model"


def test_without_a_name_the_default_has_to_be_allowed():
    assert allowed_models.find(DIRECTORY, asking("one"), None) is DIRECTORY.default
    with pytest.raises(ModelNotFound, match="that is asked without a name"):
        allowed_models.find(DIRECTORY, asking("two"), None)


def test_what_was_found_is_checked_again():
    allowed_models.check(asking("one"), DIRECTORY.default)
    with pytest.raises(ModelNotFound, match='"one" is not served to this key'):
        allowed_models.check(asking("two"), DIRECTORY.default)


def test_a_long_name_is_shown_in_part():
    with pytest.raises(ModelNotFound) as refused:
        allowed_models.find(DIRECTORY, asking("two"), "x" * 10_000)
    assert len(str(refused.value)) < SHOWN_CHARS + 100
