"""The options of a quantisation, and the plan that comes of them: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from models.refs import QuantScheme
from quantize.formats.forms import Form, Linear, Part
from quantize.plan.choices import SENSITIVE, VARIANTS, Choice
from quantize.plan.tables import Width
from quantize.protocol import Method, SchemeOptions

GROUP_SIZES = (128, 64, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantOptions:
    """The options of a quantisation, as a user gives them.

    Attributes:
        method: None takes ``default_method``.
        group_size: columns that share a scale, of a scheme that has groups.
        tensor_parallel: devices that will share each matrix.
        ignore: a regular expression; modules in whose names it is found stay.
        head: what becomes of the output head; None does what is the scheme's default.
        embeddings: the same of the embedding.
        sensitive: of int4: a regular expression; layers in whose names it is found get 8 bits.
        is_symmetric: of int4: no zero points.
    """

    scheme: QuantScheme
    method: Method | None = None
    group_size: int = GROUP_SIZES[-1]
    tensor_parallel: int = 1
    ignore: str | None = None
    head: Width | None = None
    embeddings: Width | None = None
    sensitive: str | None = SENSITIVE
    is_symmetric: bool = False

    def with_choice(self, choice: Choice) -> Self:
        """The same options for another scheme or variant."""
        return replace(self, scheme=choice.scheme, sensitive=VARIANTS[choice.variant])

    def scheme_options(self, *, is_tied: bool) -> SchemeOptions:
        """The part of them that the scheme gets.

        An embedding of its own is looked up a row at a time and costs little in 4 bits. One that is
        the head too has the head's 8, so that an engine may hold both once.
        """
        width = self.embeddings or (Width.EIGHT if is_tied else Width.FOUR)
        is_narrow = width is Width.FOUR and self.scheme is QuantScheme.INT4
        return SchemeOptions(
            method=self.method or default_method(self.scheme),
            group_size=self.group_size,
            is_symmetric=self.is_symmetric,
            sensitive=self.sensitive,
            embedding_bits=4 if is_narrow else 8,
        )


def default_method(scheme: QuantScheme) -> Method:
    """Searched scales where they were measured to be better: docs/lab-notes.md has the figures."""
    return Method.SEARCH if scheme is QuantScheme.INT4 else Method.RTN


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A matrix that stays as it is, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One tensor of the result.

    Attributes:
        name: in the result.
        source: name of the tensor that it is made from.
        linear: set for a part of a quantised matrix; None for a copy.
        suffix: which part.
        is_by_row: see ``StoredTensor``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int
    source: str
    linear: Linear | None = None
    suffix: str = ""
    is_by_row: bool = True

    def bytes_before(self, row: int) -> int:
        """The number of its bytes that come before the matrix's row of this number."""
        if self.linear is None or not self.is_by_row:
            return 0
        return row * self.num_bytes // self.linear.num_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of some quantised matrices: how many, their numbers, and bytes with scales."""

    num_matrices: int = 0
    num_weights: int = 0
    num_bytes: int = 0

    def plus(self, num_matrices: int, num_weights: int, num_bytes: int) -> Size:
        """The size with so many more."""
        return Size(
            num_matrices=self.num_matrices + num_matrices,
            num_weights=self.num_weights + num_weights,
            num_bytes=self.num_bytes + num_bytes,
        )

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.num_bytes / self.num_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemePlan:
    """All that is known before the first weight is read.

    Attributes:
        form: of most layers.
        layers: what is quantised, the head and the embedding among them.
        skipped: matrices that are not.
        outputs: every tensor of the result, in the order in which they are made.
        source_bytes: of the weights that are read.
        output_bytes: of the weights that are written.
        peak_memory_bytes: of the process, as estimated; the model's size is no part of it.
        config: the result's config.json.
        tensor_parallel: devices that the result must be shareable by.
        tensor_parallel_faults: what stands against it.
    """

    scheme: QuantScheme
    method: Method
    form: Form
    layers: tuple[Linear, ...]
    skipped: tuple[Skip, ...]
    outputs: tuple[Output, ...]
    source_bytes: int
    output_bytes: int
    peak_memory_bytes: int
    config: Mapping[str, Any] = field(repr=False)
    tensor_parallel: int = 1
    tensor_parallel_faults: tuple[str, ...] = ()

    @property
    def num_weights(self) -> int:
        """Numbers in the matrices that are quantised."""
        return sum(linear.num_weights for linear in self.layers)

    @property
    def bits_per_weight(self) -> float:
        """Bits of a number in the quantised matrices, with their scales."""
        return 8 * sum(size.num_bytes for size in self.sizes.values()) / self.num_weights

    @property
    def sizes(self) -> Mapping[Part, Size]:
        """The size of what is quantised, part by part."""
        sizes: dict[Part, Size] = {}
        for linear in self.layers:
            sizes[linear.part] = sizes.get(linear.part, Size()).plus(1, linear.num_weights, 0)
        for output in self.outputs:
            if output.linear is not None:
                part = output.linear.part
                sizes[part] = sizes[part].plus(0, 0, output.num_bytes)
        return sizes
