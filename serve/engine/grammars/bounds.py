"""Bounds of a grammar: of its text, and of the work that it may make.

Compiling cannot be interrupted, so what is given to llguidance is small enough to end soon: the
worst within these bounds that is known takes some 150 ms of one core without the interpreter's
lock (docs/lab-notes.md). A step's mask is bounded by llguidance itself.
"""

from __future__ import annotations

from llguidance import LLParserLimits

MAX_TEXT = 256 * 1024
"""Characters of one grammar, its parts included."""
MAX_CHOICES = 5_000
MAX_PARTS = 256
MAX_DEPTH = 64
"""Levels of objects and arrays in a schema. llguidance's own reader takes 128, ours around it."""
MAX_PROPERTIES = 1_000
"""Properties of one object. Compiling takes time by their square: 1,000 take 55 ms."""
MAX_REPEATS = 10_000
"""The largest minItems, maxItems, minProperties or maxProperties; each is a rule of its own."""
MAX_INTERSECTIONS = 4
"""Operators of Lark that intersect or negate expressions, and different patterns that an allOf
joins. Compiling takes time by a power of their number: 12 take 150 ms, 16 took 111 s."""
MAX_JOINED = 20_000
"""Schemas that are looked at to find out which of them an allOf or a reference joins into one."""
MAX_PATTERN_PAIRS = 4_000
"""Pairs of patternProperties of one object, in all objects together. Each pair is compared, which
takes 33 us: 90 patterns in one object take 130 ms."""
MAX_REGEX = 16 * 1024
"""Characters of one regular expression."""
MAX_GBNF = 16 * 1024
"""Characters of a grammar in GBNF. It is read in Python: 8 ms for each 1,000."""

STACK_BYTES = 256 * 1024 * 1024
"""Of the thread that compiles. The deepest grammar of MAX_TEXT that is known takes some 90 MB."""
MOST_COMPILE_S = 1.0
"""Seconds after which nobody waits for a grammar to be compiled: a backstop for what is not known
to be slow. Its thread cannot be ended; with ``MOST_STUCK`` such threads none is begun."""
MOST_STUCK = 2

CACHED_GRAMMARS = 64
CACHED_TEXT = 4 * 1024 * 1024
"""Characters of all grammars that are kept compiled. A compiled one is some 8 times as large."""
MOST_MASK_S = 1.0
"""Seconds of masks after which a compiled grammar is made anew. What its lexer learns from texts is
never freed, and in the worst case is 0.3 MB for each millisecond."""


def limits() -> LLParserLimits:
    """Bounds that llguidance holds while it compiles and while it computes a mask.

    At the speeds that its documentation names, a mask takes 15 ms at most.
    """
    return LLParserLimits(
        initial_lexer_fuel=150_000,
        step_lexer_fuel=100_000,
        step_max_items=50_000,
        max_items_in_row=2_000,
        max_lexer_states=50_000,
        max_grammar_size=60_000,
        verbose_errors=False,
    )
