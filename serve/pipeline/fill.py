"""Filling a gap in a text: the tokens that models were taught it with, found by their names.

Bavarian et al. 2022, "Efficient training of language models to fill in the middle": the prefix and
the suffix stand before the middle, in one of two orders, each behind a token of its own. Which
tokens and which order is known of a model's family alone; the names tell the family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class FillFamily:
    """The names of a family's tokens.

    Attributes:
        middle: what the gap's text follows; empty where it follows the prefix.
        is_suffix_first: the suffix stands before the prefix.
        end: further tokens that end the gap's text.
    """

    prefix: str
    suffix: str
    middle: str = ""
    is_suffix_first: bool = False
    end: tuple[str, ...] = ()


FAMILIES: Final = (
    FillFamily(  # Qwen coders, CodeGemma
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        end=("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>", "<|endoftext|>"),
    ),
    FillFamily(  # StarCoder, Granite
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        end=("<fim_pad>", "<file_sep>", "<|endoftext|>"),
    ),
    FillFamily(  # SantaCoder
        prefix="<fim-prefix>",
        suffix="<fim-suffix>",
        middle="<fim-middle>",
        end=("<fim-pad>", "<|endoftext|>"),
    ),
    FillFamily(prefix="▁<PRE>", suffix="▁<SUF>", middle="▁<MID>", end=("▁<EOT>",)),  # Code Llama
    FillFamily(  # DeepSeek
        prefix="<｜fim▁begin｜>", suffix="<｜fim▁hole｜>", middle="<｜fim▁end｜>"
    ),
    FillFamily(  # Seed coders
        prefix="<[fim-prefix]>",
        suffix="<[fim-suffix]>",
        middle="<[fim-middle]>",
        is_suffix_first=True,
    ),
    FillFamily(prefix="[PREFIX]", suffix="[SUFFIX]", is_suffix_first=True),  # Codestral
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillTokens:
    """The ids of one model's tokens for a gap.

    Attributes:
        middle: empty where the gap's text follows the prefix.
        ends: a token of these ends the gap's text: no text of a gap holds them.
    """

    prefix: int
    suffix: int
    middle: tuple[int, ...]
    is_suffix_first: bool
    ends: frozenset[int]

    def join(self, prefix: list[int], suffix: list[int]) -> list[int]:
        """The prompt of a gap between two texts."""
        before, behind = [self.prefix, *prefix], [self.suffix, *suffix]
        both = [*behind, *before] if self.is_suffix_first else [*before, *behind]
        return [*both, *self.middle]


def fill_tokens(token_id: Callable[[str], int | None]) -> FillTokens | None:
    """The tokens for a gap of the model; None where it has none.

    Args:
        token_id: of a control token's name; None where there is no such token.
    """
    for family in FAMILIES:
        names = tuple(filter(None, (family.prefix, family.suffix, family.middle)))
        ids = [found for name in names if (found := token_id(name)) is not None]
        if len(ids) < len(names):
            continue
        ends = {found for name in family.end if (found := token_id(name)) is not None}
        return FillTokens(
            prefix=ids[0],
            suffix=ids[1],
            middle=tuple(ids[2:]),
            is_suffix_first=family.is_suffix_first,
            ends=frozenset({*ids, *ends}),
        )
    return None
