from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rules import budget
from models.rules.budget import Budget, BudgetFault, values_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def values_in(document) -> int:
    inner = document.values() if isinstance(document, dict) else document
    return 1 + (sum(map(values_in, inner)) if isinstance(document, list | dict) else 0)


@given(document=JSON)
def test_no_document_has_more_values_than_were_counted(document):
    assert values_in(document) <= values_of(json.dumps(document).encode())


def test_values_of_all_files_count():
    left = Budget()
    left.take_values(budget.MAX_VALUES)
    with pytest.raises(BudgetFault, match=r"to 2,600,001 values; at most 2,600,000"):
        left.take_values(1)


def test_templates_count_by_bytes_and_by_number():
    left = Budget()
    left.take_template(budget.MAX_TEMPLATE_BYTES)
    with pytest.raises(BudgetFault, match="262,145 bytes"):
        left.take_template(1)
    left = Budget()
    with pytest.raises(BudgetFault, match="to 65; at most 64"):
        left.take_template(0, count=65)
