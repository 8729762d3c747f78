"""Rules of masking: what becomes of each kind of data, for each tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from serve.governance.masking.detector import Detector

Action = Literal["mask", "pseudonymise", "block", "count"]
ACTIONS: tuple[Action, ...] = get_args(Action)
Side = Literal["prompts", "answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of data and what becomes of it.

    Attributes:
        name: of the detector, or of the operator's pattern.
    """

    name: str
    action: Action
    detectors: tuple[Detector, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """The rules for one tenant's requests.

    Attributes:
        rules: in the order in which they come first, where two find something at one place.
        prompts: whether they are for prompts.
        answers: whether they are for answers.
    """

    rules: tuple[Rule, ...] = ()
    prompts: bool = True
    answers: bool = True

    def apply_to(self, side: Side) -> bool:
        """Whether there is a rule for prompts, or for answers."""
        return bool(self.rules) and (self.prompts if side == "prompts" else self.answers)

    @property
    def pseudonymises(self) -> bool:
        return any(rule.action == "pseudonymise" for rule in self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A masking file.

    Attributes:
        version: a name for this state of the file, for verdicts.
        digest: of the file: other rules have another one, whatever version they claim.
        default: for tenants without a table of their own.
        tenants: the rules of the others, by their names.
    """

    version: str = ""
    digest: str = ""
    default: RuleSet = field(default_factory=RuleSet)
    tenants: Mapping[str, RuleSet] = field(default_factory=dict)

    def of(self, tenant: str) -> RuleSet:
        """The rules for a tenant."""
        return self.tenants.get(tenant, self.default)

    @property
    def sets(self) -> tuple[RuleSet, ...]:
        """All sets of rules."""
        return (self.default, *self.tenants.values())
