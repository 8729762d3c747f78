"""A server with a model, and what its clients got, each asked once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.clients.environments import NotInstalled
from tests.clients.table import Outcome, outcomes


@dataclass
class Served:
    """A model that is served.

    Attributes:
        url: without /v1.
        model: its name in the API.
        variables: of the environment, for clients.
    """

    url: str
    model: str
    variables: dict[str, str] = field(default_factory=dict)
    told: dict[str, dict[str, Outcome]] = field(default_factory=dict)

    def of(self, client: str) -> dict[str, Outcome]:
        """The outcome of each call of a client, which runs at the first question."""
        if client not in self.told:
            try:
                self.told[client] = outcomes(client, self.url, self.model, **self.variables)
            except NotInstalled as error:
                pytest.skip(f"{client} could not be installed: {error}")
        return self.told[client]

    def check(self, client: str, call: str) -> None:
        """Fail where a call did not pass."""
        error = self.of(client)[call].error
        if error is not None:
            pytest.fail(f"{client}.{call}: {error}", pytrace=False)
