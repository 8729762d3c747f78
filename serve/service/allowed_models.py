"""The models that a caller may ask: all that are served, or those that the key names."""

from __future__ import annotations

from models.rules.names import quoted
from serve.errors import ModelNotFound
from serve.governance.principal import Principal
from serve.service.directory import SHOWN_CHARS, Directory, Served


def served_to(directory: Directory, principal: Principal) -> list[Served]:
    """All that is served to the caller."""
    return [served for served in directory.entries if _may_ask(principal, served)]


def find(directory: Directory, principal: Principal, model: str | None) -> Served:
    """Find what serves the model that the caller names. What others there are is not told.

    Raises:
        ModelNotFound: in the same words whether such a model is served to others or not.
    """
    if principal.models is not None:
        own = {served.name for served in served_to(directory, principal)}
        if (directory.default.name if model is None else model) not in own:
            raise _not_served(model)
    return directory.find(model)


def check(principal: Principal, served: Served) -> None:
    """Check that the caller may ask it.

    Raises:
        ModelNotFound: the key names others.
    """
    if not _may_ask(principal, served):
        raise _not_served(served.name)


def _may_ask(principal: Principal, served: Served) -> bool:
    return principal.models is None or served.name in principal.models


def _not_served(model: str | None) -> ModelNotFound:
    named = "that is asked without a name" if model is None else quoted(model[:SHOWN_CHARS])
    return ModelNotFound(
        f"The model {named} is not served to this key. /v1/models lists those that are.",
        param="model",
    )
