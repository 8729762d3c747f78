"""What every Dockerfile of ours holds to, beyond what hadolint knows."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator

from dockerfile_parse import DockerfileParser

USER = "10001:10001"
SET = {
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "INTRAMURAL_DATA_DIR": "/var/lib/intramural",
    "INTRAMURAL_STATE_DIR": "/var/lib/intramural/state",
}
LABELS = ("title", "licenses", "version", "revision", "base.name")
_SECRET = re.compile(r"TOKEN|PASSW|SECRET|CREDENTIAL|PRIVATE", re.IGNORECASE)
_KEY = re.compile(r"sk-[\w-]{8,}|hf_\w{8,}|://[^/\s@]+@")


class Dockerfile:
    """One file, as instructions: comments and continuation lines are gone."""

    def __init__(self, text: str) -> None:
        structure = DockerfileParser(fileobj=io.BytesIO(text.encode())).structure
        self.steps = [
            (step["instruction"], step["value"])
            for step in structure
            if step["instruction"] != "COMMENT"
        ]

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return next(iter(self.values(instruction)[::-1]), "")

    @property
    def environment(self) -> dict[str, str]:
        """Every NAME=VALUE of its ENV lines."""
        words = " ".join(self.values("ENV")).split()
        return dict(word.split("=", 1) for word in words)


def base(file: Dockerfile) -> bool:
    """It stands on what the builder names, by digest, and on nothing else."""
    stages = {value.split()[2] for value in file.values("FROM") if " AS " in value}
    froms = {value.split()[0] for value in file.values("FROM")}
    checked = any("*@sha256:*) ;;" in value and "exit 1" in value for value in file.values("RUN"))
    return "BASE" in file.values("ARG") and froms - stages <= {"scratch", "${BASE}"} and checked


def tag(file: Dockerfile) -> bool:
    return not any(":latest" in value for _, value in file.steps)


def user(file: Dockerfile) -> bool:
    return file.last("USER") == USER


def add(file: Dockerfile) -> bool:
    return not file.values("ADD")


def fetch(file: Dockerfile) -> bool:
    """Neither a downloader nor anything piped into a shell."""
    found = re.compile(r"\b(curl|wget)\b|\|\s*(ba|da)?sh\b")
    return not any(found.search(value) for value in file.values("RUN"))


def address(file: Dockerfile) -> bool:
    """No host is named: where things come from is the builder's business."""
    return not any(re.search(r"https?://(?!127\.0\.0\.1\b)", value) for _, value in file.steps)


def pip(file: Dockerfile) -> bool:
    """What is installed is in the lock, with its hash, or is our own."""
    calls = [
        call for value in file.values("RUN") for call in re.findall(r"pip install[^&;]*", value)
    ]
    return bool(calls) and all(
        "--no-deps" in call and ("--require-hashes" in call or "--no-index" in call)
        for call in calls
    )


def apt(file: Dockerfile) -> bool:
    calls = [value for value in file.values("RUN") if "apt-get install" in value]
    return all(
        "--no-install-recommends" in call and "rm -rf /var/lib/apt/lists/*" in call
        for call in calls
    )


def health(file: Dockerfile) -> bool:
    words = health_command(file)
    return bool(words) and words[0].endswith("/python") and "/livez" in words[-1]


def health_command(file: Dockerfile) -> list[str]:
    """The words of the health check; none where it is no list of words."""
    _, _, words = file.last("HEALTHCHECK").partition("CMD ")
    return list(json.loads(words)) if words.startswith("[") else []


def environment(file: Dockerfile) -> bool:
    return all(file.environment.get(name) == value for name, value in SET.items())


def secret(file: Dockerfile) -> bool:
    """No ENV, ARG or LABEL is named like a secret, or looks like one."""
    values = [value for name in ("ENV", "ARG", "LABEL") for value in file.values(name)]
    return not any(_SECRET.search(value) or _KEY.search(value) for value in values)


def entry(file: Dockerfile) -> bool:
    """A list of words, so that signals reach the server; and the port that it listens on."""
    words = json.loads(file.last("ENTRYPOINT") or "[]")
    return words[1:] == ["-m", "serve"] and file.last("EXPOSE") == "8000"


def labels(file: Dockerfile) -> bool:
    said = " ".join(file.values("LABEL"))
    return all(f"org.opencontainers.image.{name}=" in said for name in LABELS)


def root(file: Dockerfile) -> bool:
    """No program of the base makes its user root."""
    return any("-perm /6000 -exec chmod a-s" in value for value in file.values("RUN"))


RULES: tuple[Callable[[Dockerfile], bool], ...] = (
    *(base, tag, user, add, fetch, address, pip, apt),
    *(health, environment, secret, entry, labels, root),
)


def breaches(text: str) -> Iterator[str]:
    """The names of the rules that this Dockerfile breaks."""
    file = Dockerfile(text)
    return (rule.__name__ for rule in RULES if not rule(file))
