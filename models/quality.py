"""The cost of a quantisation, as ``quality`` in a manifest. It is measured in quantize/measuring.

::

    {"num_weights": 494032768, "num_tokens": 2006, "kl_mean": 0.0011, "kl_median": …, "kl_p99": …,
     "top1": 0.981, "base_perplexity": 9.1, "perplexity": 9.12, "better": {"scheme": …, "bytes": …},
     "texts": [{"name": "english", "sha256": "…", "num_tokens": 625, "kl_mean": …, …}, …]}

KL divergence is of the quantised distribution from the full model's, in nats, over the whole
vocabulary; ``top1`` the share of positions at which both find the same token most likely.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, TypeVar

_SHA256 = re.compile(r"[0-9a-f]{64}")


class QualityFault(ValueError):
    """A document that is no quality; the message completes 'quality …'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures over some positions of a text.

    Attributes:
        num_tokens: positions that were compared.
        kl_mean: nats; so are ``kl_median`` and ``kl_p99``, both by the nearest rank.
        top1: in [0, 1].
        base_perplexity: of the full model.
        perplexity: of the quantised one.
    """

    num_tokens: int
    kl_mean: float
    kl_median: float
    kl_p99: float
    top1: float
    base_perplexity: float
    perplexity: float

    @property
    def perplexity_ratio(self) -> float:
        """Quantised over full."""
        return self.perplexity / self.base_perplexity


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFigures(Figures):
    """Figures of one text.

    Attributes:
        name: ``english``, or the name of a file.
        sha256: of its bytes, which shows that two measurements are of the same text.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Better:
    """The scheme that loses less, and what its weights would take.

    Attributes:
        scheme: ``none`` is the full weights.
    """

    scheme: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality(Figures):
    """Figures over all texts together.

    Attributes:
        num_weights: of the full model: the limits for a scheme depend on it.
        texts: at least one.
        better: None where nothing is.
    """

    num_weights: int
    texts: tuple[TextFigures, ...]
    better: Better | None

    @property
    def name(self) -> str:
        """The texts, in words: ``english, chinese, code``."""
        return ", ".join(text.name for text in self.texts)

    @property
    def line(self) -> str:
        """One line for people."""
        return (
            f"KL {self.kl_mean:.4f}, same token {self.top1:.1%}, perplexity × "
            f"{self.perplexity_ratio:.3f} ({self.num_tokens:,} tokens: {self.name})"
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON object in the manifest."""
        document = asdict(self)
        return document | {"texts": list(document["texts"])}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read the JSON object of a manifest, strictly.

        Raises:
            QualityFault: a key is missing or unknown, or a value is of another kind.
        """
        values = _keys(document, cls, "it")
        texts = values["texts"]
        if not isinstance(texts, list) or not texts:
            raise QualityFault("has no list of texts")
        if not _is_count(values["num_weights"]):
            raise QualityFault(f"has num_weights {values['num_weights']!r}")
        parts = {
            "texts": tuple(_figures(text, TextFigures, "a text") for text in texts),
            "better": None if values["better"] is None else _better(values["better"]),
        }
        return _figures(values | parts, cls, "it")


AnyFigures = TypeVar("AnyFigures", bound=Figures)


def _figures(document: Any, kind: type[AnyFigures], who: str) -> AnyFigures:
    values = _keys(document, kind, who)
    for field in fields(Figures):
        value = values[field.name]
        is_right = _is_count(value) if field.name == "num_tokens" else _is_amount(value)
        if not is_right:
            raise QualityFault(f"has {field.name} {value!r}")
    if not values["base_perplexity"]:
        raise QualityFault("has base_perplexity 0")
    if kind is TextFigures and not (
        isinstance(values["name"], str)
        and isinstance(values["sha256"], str)
        and _SHA256.fullmatch(values["sha256"])
    ):
        raise QualityFault("has a text without name or hash")
    return kind(**values)


def _better(document: Any) -> Better:
    values = _keys(document, Better, "better")
    if not isinstance(values["scheme"], str) or not _is_count(values["bytes"]):
        raise QualityFault(f"has better {document!r}")
    return Better(**values)


def _keys(document: Any, kind: type, who: str) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    if not isinstance(document, Mapping) or set(document) != names:
        raise QualityFault(f"is not of the keys {', '.join(sorted(names))}: {who}")
    return dict(document)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_amount(value: Any) -> bool:
    """A finite number that is not negative."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0
