"""All parts of the evidence, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from serve.config import Config
from serve.doctor.checks import examine_machine
from serve.doctor.machine import this_machine
from serve.engine.protocol import Progress
from serve.evidence.audit_logs import audit_logs
from serve.evidence.controls import controls
from serve.evidence.egress_trace import egress
from serve.evidence.part import Part, json_bytes
from serve.evidence.settings import settings
from serve.evidence.software import software
from serve.evidence.weights import weights

HERE: Final = Path(__file__).parent
READ_ME: Final = """\
Evidence of an Intramural deployment, at the time that evidence.json names.

    python3 verify_evidence.py FOLDER --key PUBLIC_KEY

checks it with Python alone. Take the program and the public key from elsewhere than this folder:
both are in the product's sources (serve/evidence/verify_evidence.py) and in its keeper's hands.

evidence.json   what is here, with digests; which parts are whole, and which are missing
evidence.note   the signature over it
controls.md     which controls are met by what, and what is not covered
settings.json   every setting in force; digests of the files of rules; of secrets only their modes
doctor.json     the findings of the machine's checks
software.cdx.json   what is installed (CycloneDX)
models/         manifests and signatures, and whether the files are theirs
audit/          each audit log's checkpoint, its key, and whether the log holds
egress.json     connections that a trace saw
"""


def collect(config: Config, trace: Path | None, progress: Progress) -> Iterator[Part]:
    """Each part, as soon as it is there.

    Args:
        trace: of system calls; None where there is none.
        progress: told of files that are hashed, and of entries that are read.

    Raises:
        StartupError: the trace cannot be read.
    """
    steps: tuple[Callable[[], Part], ...] = (
        lambda: egress(trace),
        lambda: settings(config),
        lambda: _doctor(config, progress),
        software,
        lambda: weights(config, progress),
        lambda: audit_logs(config, progress),
    )
    parts = []
    for step in steps:
        parts.append(step())
        yield parts[-1]
    yield controls(parts)
    yield Part(
        name="verifier",
        state="whole",
        summary="The program that checks this folder, and how to use it.",
        files={
            "README.txt": READ_ME.encode(),
            "verify_evidence.py": (HERE / "verify_evidence.py").read_bytes(),
        },
    )


def _doctor(config: Config, progress: Progress) -> Part:
    examined = examine_machine(this_machine(config, probe=None, progress=progress))
    # The address is taken by the very server that this is about, where it runs.
    findings = [(name, finding) for name, finding in examined if name != "address"]
    failures = [name for name, finding in findings if finding.level == "failure"]
    warnings = sum(finding.level == "warning" for _, finding in findings)
    told = f"; failed: {', '.join(failures)}" if failures else ""
    return Part(
        name="doctor",
        state="partly" if failures else "whole",
        summary=f"{len(findings)} checks, {warnings} warnings, {len(failures)} failures{told}.",
        files={"doctor.json": json_bytes([finding.as_json(name) for name, finding in findings])},
    )
