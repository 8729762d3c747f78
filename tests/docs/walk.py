"""`python -m tests.docs.walk`: every command of the pages, in order, as a newcomer types it.

    python -m tests.docs.walk --set-up            everything new: environment too (4 GB, a registry)
    python -m tests.docs.walk --only workstation  one of the ways, with this environment

The ways are the workstation user's (README, its start page, the page on speed), the operator's, the
air-gap user's, whose other side has no network, and the page on tools. Each begins in a fresh copy
of the repository with a fresh home: no cache, no model, no key. Models come from an emulated hub,
all of them the demo model's files. What is left out, and why, is in ``LEFT_OUT`` and in comments of
the pages.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from models.store import DEMO_WEIGHTS
from tests.docs.blocks import Command, commands
from tests.docs.reader import Reader, Step
from tests.e2e.alone import UNSHARE
from tests.house.tree import ROOT
from tests.hub.emulator import Hub

LEFT_OUT = {
    "make test": "is the suite itself",
    "make bench": "takes ten minutes and measures; `make bench` is its own proof",
}
"""Commands that the walk passes by, and why."""
MAY_FAIL = {"python -m serve doctor": "1 is a finding about this machine, and no fault of the page"}
"""Commands whose exit code 1 is an answer, too."""
LONE = (
    "import os; from tests.e2e.alone import bring_loopback_up; bring_loopback_up(); "
    "os.execvp('bash', ['bash'])"
)
OTHER_SIDE = "## On the other side"
REPOSITORIES = ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen3-8B")


@dataclass(frozen=True)
class Way:
    """The pages of one kind of reader, in the order in which they are read.

    Attributes:
        crosses: whether what follows ``OTHER_SIDE`` in a page is done where there is no network.
    """

    pages: tuple[str, ...]
    crosses: bool = False


WAYS: Mapping[str, Way] = {
    "workstation": Way(("README.md", "docs/start/workstation.md", "docs/start/performance.md")),
    "operator": Way(("docs/start/operator.md",)),
    "air-gap": Way(("docs/air-gap.md",), crosses=True),
    "tools": Way(("docs/tools.md",)),
}


def why_not(command: Command) -> str | None:
    """The reason why a command is not run; None for one that is."""
    return command.not_run or LEFT_OUT.get(command.shown)


def is_well(step: Step) -> bool:
    """Whether the step did what its page says, or was left out for a reason."""
    may_be_one = any(step.command.shown.startswith(known) for known in MAY_FAIL)
    return step.code in ({None, 0, 1} if may_be_one else {None, 0})


def walk(name: str, place: Path, *, set_up: bool, hub: Hub) -> Iterator[Step]:
    """Walk one way in a new place; yields each step as it is done.

    Args:
        set_up: whether the environment is made anew; else the pages find this one, ready made.
    """
    way = WAYS[name]
    copy = place / "intramural"
    copy_tree(copy)
    if not set_up:
        lend_environment(copy)
    variables = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    for folder in ("media/usb1", "opt", "srv", "etc/intramural/trusted-keys"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    for page in way.pages:
        here, there = sides(ROOT / page, crosses=way.crosses)
        with closing(Reader(place, copy, variables)) as reader:
            if way.crosses:
                reader.run(page, activation(copy))
            yield from steps(reader, page, here)
        if there:
            shutil.copy(copy / "signer.pub", place / "etc/intramural/trusted-keys")
            alone = [*UNSHARE, sys.executable, "-c", LONE]
            lone = Reader(place, copy, {"PYTHONPATH": ""}, alone)
            with closing(lone) as reader:
                yield from steps(reader, page, there)


def steps(reader: Reader, page: str, read: Sequence[Command]) -> Iterator[Step]:
    """Run what is to be run; what is left out is a step, too."""
    for command in read:
        if why_not(command):
            yield Step(page, command)
        else:
            yield reader.run(page, command)


def sides(page: Path, *, crosses: bool) -> tuple[list[Command], list[Command]]:
    """The page's commands on this side of the gap, and on the other."""
    read = list(commands(page))
    if not crosses:
        return read, []
    text = page.read_text("utf-8")
    border = text.count("\n", 0, text.index(OTHER_SIDE)) + 1
    here = [command for command in read if command.line < border]
    return here, [command for command in read if command.line >= border]


def activation(copy: Path) -> Command:
    """What every page but the first takes for granted: the environment is there and active."""
    return Command(0, "sh", f"cd {copy} && make setup && . .venv/bin/activate")


def copy_tree(target: Path) -> None:
    """The files of the repository as they are here, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def lend_environment(copy: Path) -> None:
    """Let `make setup` find this environment, made and up to date."""
    folder = copy / ".venv"
    folder.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name not in {"bin", ".cpu", ".dev"}:
            (folder / path.name).symlink_to(path)
    (folder / "bin").symlink_to(Path(sys.prefix) / "bin")
    for mark in (".cpu", ".dev"):
        (folder / mark).touch()


def table(walked: Sequence[Step]) -> str:
    """What was run, how long it took, and what came of it; one line each."""
    lines = []
    page = ""
    for step in walked:
        if step.page != page:
            page = step.page
            lines.append(f"\n{page}")
        if step.code is None:
            result = f"left out: {why_not(step.command)}"
        else:
            result = f"{step.seconds:7.1f} s  {'ok' if is_well(step) else f'FAILED {step.code}'}"
        lines.append(f"  {step.command.line:4}  {step.command.shown[:68]:68}  {result}")
        if not is_well(step):
            lines += [f"        | {line}" for line in step.output.splitlines()[-20:]]
    return "\n".join(lines)


def stand_in_hub() -> Hub:
    """A hub whose every model is the demo model under another name."""
    hub = Hub()
    for name in REPOSITORIES:
        files = {
            path.name: path.read_bytes()
            for path in DEMO_WEIGHTS.iterdir()
            if path.name != "manifest.json"
        }
        hub.add(name, files)
    return hub


def main(argv: Sequence[str]) -> int:
    """Walk, print the table, and return 1 where a command failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.docs.walk", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--only", choices=WAYS, help="one of the ways; default: all")
    parser.add_argument("--set-up", action="store_true", help="make the environment anew")
    options = parser.parse_args(list(argv))
    walked: list[Step] = []
    for name in [options.only] if options.only else WAYS:
        with tempfile.TemporaryDirectory(prefix="walk-") as folder, stand_in_hub() as hub:
            began = time.monotonic()
            print(f"# {name}", flush=True)
            for step in walk(name, Path(folder), set_up=options.set_up, hub=hub):
                print(re.sub(r"\A\n[^\n]+\n", "", table([step])), flush=True)
                walked.append(step)
            print(f"  in all {time.monotonic() - began:.1f} s", flush=True)
    return int(not all(map(is_well, walked)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
