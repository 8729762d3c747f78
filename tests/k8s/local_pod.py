"""Containers of the rendered manifests as processes here: their commands, as they stand.

What stands in for a cluster: folders for volumes, whose paths take the place of the mounts' in
commands and settings; the tests' Python for the image's; and a `sleep` that counts and returns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.server import REPOSITORY, environment
from tests.k8s.manifests import Manifest, expanded, settings

PLACES = (
    *("/var/lib/intramural", "/etc/intramural/keys", "/etc/intramural/trusted-keys"),
    *("/etc/intramural/hub", "/etc/intramural/ca", "/media", "/tmp/state"),
)
"""Where volumes are mounted, and what the settings call a place within one."""
PATIENCE_S = 120


@dataclass(frozen=True)
class User:
    """Another user, who may read what root may: the tests' Python can lie in root's home."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @property
    def words(self) -> list[str]:
        """What is put before a command."""
        groups = (
            ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        )
        reading = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", *groups, *reading, "--"]


@dataclass(frozen=True)
class Node:
    """A folder with all that pods here see."""

    folder: Path

    def place(self, mount: str) -> Path:
        """The folder that stands for a mount."""
        return Path(f"{self.folder}{mount}")

    def prepare(self) -> None:
        """Make the volumes, and the programs that an image would have."""
        for mount in PLACES:
            self.place(mount).mkdir(parents=True, exist_ok=True)
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        for name, script in {
            "python": f'exec "{sys.executable}" "$@"',
            # Not for ever, nor for nothing: what waits is looked at before it goes on.
            "sleep": f'echo "$1" >> "{self.folder}/slept"; exec /bin/sleep 0.05',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)

    def local(self, text: str) -> str:
        """A text with the mounts' paths in it, as it is here."""
        for mount in PLACES:
            text = text.replace(mount, f"{self.folder}{mount}")
        return text

    def values(self, manifests: list[Manifest], container: Manifest) -> dict[str, str]:
        """The container's environment."""
        return {
            name: self.local(value)
            for name, value in settings(manifests, container).items()
            if name != "HOME"  # no caches of the tests' user
        }

    @property
    def num_tries(self) -> int:
        """How often a step has waited to be tried again."""
        file = self.folder / "slept"
        return len(file.read_text().splitlines()) if file.exists() else 0

    @contextmanager
    def running(
        self,
        manifests: list[Manifest],
        container: Manifest,
        variables: Mapping[str, str] | None = None,
        user: User | None = None,
    ) -> Iterator[Running]:
        """The container's command in a process group of its own, which ends with the block.

        Args:
            variables: that differ from the manifest's.
            user: that it runs as; the tests' own unless given.
        """
        values = self.values(manifests, container) | dict(variables or {})
        command = [self.local(expanded(word, values)) for word in container["command"]]
        if command[0] == "python":
            command[0] = f"{self.folder}/bin/python"
        command = [*(user.words if user else ()), *command]
        log = self.folder / f"{container['name']}.log"
        path = f"{self.folder}/bin:/usr/bin:/bin"
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=environment(**(values | {"PATH": path})),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.wait(30)

    def run(self, manifests: list[Manifest], container: Manifest, **variables: str) -> str:
        """Run it to its end, which is to be a good one. Returns what it said."""
        with self.running(manifests, container, variables) as running:
            assert running.process.wait(PATIENCE_S) == 0, running.said
            return running.said


@dataclass(frozen=True)
class Running:
    """A container that runs, or has ended."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8")

    def says(self, text: str) -> None:
        """Wait until it has said this; it must not end before."""
        give_up_at = time.monotonic() + PATIENCE_S
        while text not in self.said:
            assert self.process.poll() is None, f"it ended: {self.said}"
            assert time.monotonic() < give_up_at, self.said
            time.sleep(0.02)

    def ends(self) -> None:
        """Wait for its good end."""
        assert self.process.wait(PATIENCE_S) == 0, self.said
