"""The control map: which control is met by what, which file shows it, and what is not covered."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from serve.evidence.part import Part, json_bytes

NAME: Final = "controls"
TABLE: Final = Path(__file__).with_name("controls.toml")
FRAMEWORKS: Final = {
    "AISVS": "OWASP Artificial Intelligence Security Verification Standard 1.0",
    "NIST": "NIST SP 800-53, revision 5, family AU (audit and accountability)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One row.

    Attributes:
        framework: of FRAMEWORKS.
        control: its number there.
        subject: in a few words of ours.
        met_by: what the product does.
        evidence: the parts of the folder that show it.
        not_covered: what it does not do, or what the site has to do.
    """

    framework: str
    control: str
    subject: str
    met_by: str
    evidence: tuple[str, ...]
    not_covered: str


def rows() -> tuple[Control, ...]:
    """All rows of the map."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    return tuple(
        Control(**{**row, "evidence": tuple(row["evidence"])}) for row in table["controls"]
    )


def controls(parts: Sequence[Part]) -> Part:
    """The part of the control map.

    Args:
        parts: all others; a row whose evidence is missing says so.
    """
    states = {part.name: part.state for part in parts}
    told = []
    for row in rows():
        lacking = [name for name in row.evidence if states.get(name, "missing") == "missing"]
        told.append((row, lacking))
    num_lacking = sum(bool(lacking) for _, lacking in told)
    documents = [asdict(row) | {"evidence_missing": lacking} for row, lacking in told]
    return Part(
        name=NAME,
        state="whole",
        summary=f"{len(told)} controls; {num_lacking} of them lack evidence in this folder.",
        files={
            "controls.json": json_bytes({"frameworks": FRAMEWORKS, "controls": documents}),
            "controls.md": _page(told).encode(),
        },
    )


def _page(told: Sequence[tuple[Control, Sequence[str]]]) -> str:
    lines = ["# Control map", ""]
    lines += [f"- {short}: {name}" for short, name in FRAMEWORKS.items()]
    lines += [
        "",
        "What is met is said in our words; the standards' texts are theirs. The last column is as",
        "much a part of this map as the others.",
        "",
        "| control | subject | met by | evidence here | not covered |",
        "|---|---|---|---|---|",
    ]
    for row, lacking in told:
        shown = ", ".join(f"{name} (missing)" if name in lacking else name for name in row.evidence)
        lines.append(
            f"| {row.framework} {row.control} | {row.subject} | {row.met_by} | {shown or 'none'} "
            f"| {row.not_covered} |"
        )
    return "\n".join(lines) + "\n"
