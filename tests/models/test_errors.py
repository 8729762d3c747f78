from __future__ import annotations

import inspect
import re

from models import errors
from models.errors import InvalidRefError, ModelError, OriginError, TransientOriginError


def classes() -> dict[str, type[Exception]]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, Exception)
    }


def test_errors_are_one_tree():
    assert issubclass(InvalidRefError, ModelError)
    assert all(issubclass(kind, ModelError) for kind in classes().values())


def test_the_tree_that_is_drawn_is_the_tree():
    branch = re.compile(r"^([ │]*)[├└]── (\w+Error)", re.MULTILINE)
    drawn = [(len(indent), name) for indent, name in branch.findall(errors.__doc__ or "")]
    assert {name for _, name in drawn} == set(classes()) - {"ModelError"}
    for place, (depth, name) in enumerate(drawn):
        parents = [other for above, other in drawn[:place] if above < depth]
        assert classes()[name].__base__.__name__ == (parents[-1] if parents else "ModelError")


def test_how_long_to_wait_is_known_or_not():
    assert TransientOriginError("busy").retry_after_s is None
    assert TransientOriginError("busy", retry_after_s=2.0).retry_after_s == 2.0
    assert str(TransientOriginError("busy")) == "busy"
    assert issubclass(TransientOriginError, OriginError)
