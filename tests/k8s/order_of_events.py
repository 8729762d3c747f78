"""A small model of a cluster: what is applied, what each pod then waits for, and what ends a wait.

It reads the rendered manifests and nothing else: a step's needs follow from its command, its mounts
and its environment, so a wait that is taken out of them is gone here too. That the commands do what
is said of them here, tests/k8s/test_waits.py tries by running them.

    apply ─ objects ─ settle ─┬─ image ─ init containers in order ─ container
                              └─ a step that lacks something: waits, or ends and is started again
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.store import DEMO
from tests.k8s.manifests import Manifest, Pod, filled, pods, settings
from tests.k8s.network_rules import selects

LOOP = "crash loop"
"""The state that none may end in."""
IMMUTABLE = {
    "Job": ("template", "selector"),
    "Deployment": ("selector",),
    "PersistentVolumeClaim": ("accessModes", "storageClassName", "volumeName"),
}
"""Fields below spec that the API server lets nobody change."""
BY_HAND = {"intramural-server-tls": "a certificate"}
"""Secrets that cannot be empty, so nothing but an operator makes them."""
_RETRIED = re.compile(r"until (?P<commands>.+); do sleep \d+; done")
_UNHEARD = re.compile(r" >/dev/null 2>&1")
IDLE = ["idle"]
"""What stands for the script of a container that does nothing more."""
_IDLE = "trap exit TERM; sleep infinity & wait"
_BUILT_IN = frozenset({DEMO})


@dataclass(frozen=True)
class State:
    """Of one workload.

    Attributes:
        name: as docs/operations.md has it.
        status: as `kubectl get pods` shows it: ``Init:0/2``, ``Running``.
    """

    name: str
    status: str


@dataclass
class Cluster:
    """What is there. Tests change the fields that an operator or a fault would.

    Attributes:
        data: names of the files in each Secret and ConfigMap that was filled by hand.
        store: names of models on the store's volume.
        media: models of bundles on the media's volume.
        mirror: models that the mirror has.
        faults: by the verb of a command (`quantize`, `pull`): what it fails for, whatever is there.
        asks_login: the registry of images does; the Secret's name is `intramural-pull`.
        mirror_asks_token: so does the mirror.
        has_volumes: there is a storage class for the claims.
        serving: for each workload the model that its ready pods serve.
        done: for each workload its pods' template, and how many of their steps are over. A step
            that is over is not done again in the same pod.
    """

    data: dict[str, set[str]] = field(default_factory=dict)
    store: set[str] = field(default_factory=set)
    media: set[str] = field(default_factory=set)
    mirror: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)
    asks_login: bool = False
    mirror_asks_token: bool = False
    has_volumes: bool = True
    objects: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    serving: dict[str, str] = field(default_factory=dict)
    done: dict[str, tuple[str, int]] = field(default_factory=dict)

    def apply(self, manifests: list[Manifest]) -> list[str]:
        """`kubectl apply`: returns what the API server refuses. Nothing is pruned."""
        refused = []
        for each in manifests:
            key = (each["kind"], each["metadata"]["name"])
            former = self.objects.get(key)
            changed = [
                f"{key[0]}/{key[1]}: spec.{name} is immutable"
                for name in IMMUTABLE.get(each["kind"], ())
                if former is not None and former["spec"].get(name) != each["spec"].get(name)
            ]
            refused += changed
            if not changed:
                self.objects[key] = each
        return refused

    def settle(self) -> dict[str, State]:
        """The state of each workload once nothing moves any more."""
        while True:
            before = set(self.store), dict(self.done)
            states = {pod.owner: self._state(pod) for pod in self.pods()}
            if before == (self.store, self.done):
                return states

    def restart(self, owner: str) -> None:
        """`kubectl rollout restart`."""
        self.done.pop(owner, None)

    def pods(self) -> list[Pod]:
        """Those that start when they are applied; jobs that wait for their hour do not."""
        found = pods(list(self.objects.values()))
        return [pod for pod in found if not pod.owner.startswith("CronJob/")]

    def _state(self, pod: Pod) -> State:
        if not self.has_volumes:
            return State("waiting for a node or a volume", "Pending")
        for volume in pod.spec["volumes"]:
            kind, name = _object_of(volume)
            if name and (kind, name) not in self.objects and name not in self.data:
                what = BY_HAND.get(name, f"{kind}/{name}, which no manifest makes")
                return State(f"waiting for {what}", "Init:0/2")
        if self.asks_login and not self._has_login(pod):
            return State("waiting for the image", "Init:ImagePullBackOff")
        steps = pod.spec.get("initContainers", [])
        template = json.dumps(pod.spec, sort_keys=True)
        former, num_done = self.done.get(pod.owner, ("", 0))
        for number, container in enumerate([*steps, *pod.spec["containers"]]):
            if former == template and number < num_done:
                continue
            self.done[pod.owner] = template, number
            status = f"Init:{number}/{len(steps)}" if number < len(steps) else "Running"
            commands, is_retried = commands_of(container)
            step = Step(self, pod, container)
            lacks: str | None = None
            for command in commands:
                if (lacks := step.lacks(command)) is None:
                    break
            if lacks is not None:
                if not is_retried:
                    return State(LOOP, "CrashLoopBackOff")
                return State(f"waiting for {lacks}", status)
        self.done[pod.owner] = template, len(steps) + 1
        if pod.component == "server":
            self.serving[pod.owner] = _wanted(self.environment(pod.spec["containers"][0]))
            return State("serving", "Running")
        return State("filled", "Running")

    def _has_login(self, pod: Pod) -> bool:
        account = self.objects.get(("ServiceAccount", pod.spec["serviceAccountName"]), {})
        names = [each["name"] for each in account.get("imagePullSecrets", ())]
        return any(self.data.get(name) for name in names)

    def environment(self, container: Manifest) -> dict[str, str]:
        return settings(list(self.objects.values()), container)


def commands_of(container: Manifest) -> tuple[list[list[str]], bool]:
    """The commands of ours that a container tries until one is done, and whether it goes on so.

    Raises:
        ValueError: the command is of a form that this model does not know.
    """
    words, is_retried = container["command"], False
    commands = [words]
    if words[:2] == ["sh", "-c"]:
        if words[2].endswith(_IDLE):
            return [IDLE], False
        match = _RETRIED.fullmatch(words[2])
        script, is_retried = (match["commands"] if match else words[2]), match is not None
        commands = [shlex.split(_UNHEARD.sub("", part)) for part in script.split(" || ")]
    if any(each[:2] != ["python", "-m"] for each in commands):
        raise ValueError(f"{words} is none that this model knows")
    return [each[2:] for each in commands], is_retried or words[2:4] == ["serve", "wait"]


@dataclass(frozen=True)
class Step:
    """One container of a pod, and what it can reach."""

    cluster: Cluster
    pod: Pod
    container: Manifest

    def lacks(self, command: list[str]) -> str | None:
        """What the command does not get; None when it is done, and has left what it makes.

        Raises:
            ValueError: the command is none that this model knows.
        """
        if command == IDLE:
            return None
        values = self.cluster.environment(self.container)
        words = [filled(word, values) for word in command]
        verb = words[1] if words[0] in {"models", "serve"} and len(words) > 1 else words[0]
        if verb in self.cluster.faults:
            return self.cluster.faults[verb]
        match words:
            case ["models", "pull", name]:
                return self._pulled(name)
            case ["models", "show", name]:
                return None if self._has(name) else "the model"
            case ["models", "import", index, "--trust", keys]:
                return self._imported(index, keys)
            case ["models", "verify", name, *_]:
                return None if self._has(name) else "the model"
            case ["quantize", name, "--scheme", scheme, "--tp", _, "--if-needed"]:
                return self._made(name, name if scheme == "none" else f"{name}--{scheme}")
            case ["serve", "wait", "model", *_]:
                return None if self._has(_wanted(values)) else "the model"
            case ["serve", "wait", "keys", *_]:
                return None if self._has_key(values) else "a key"
            case ["serve"]:
                is_complete = self._has(_wanted(values)) and self._has_key(values)
                return None if is_complete else "what it was not given"
        raise ValueError(f"{words} is none that this model knows")

    def _has(self, name: str) -> bool:
        return name in _BUILT_IN | (
            self.cluster.store if self._volume("/var/lib/intramural") else set()
        )

    def _has_key(self, values: dict[str, str]) -> bool:
        folder, _, name = values["INTRAMURAL_API_KEY_FILE"].rpartition("/")
        return name in self._files(folder)

    def _pulled(self, name: str) -> str | None:
        if self._has(name):
            return None
        variables = {each["name"]: each for each in self.container.get("env", ())}
        if not self._may_leave() or name not in self.cluster.mirror:
            return "the mirror"
        certificates = variables.get("SSL_CERT_FILE", {}).get("value")
        if certificates and not self._has_file(certificates):
            return "the mirror"
        if self.cluster.mirror_asks_token and not self._has_file(
            variables.get("HF_TOKEN_PATH", {}).get("value", "/nowhere")
        ):
            return "the mirror"
        return self._stored(name)

    def _imported(self, index: str, keys: str) -> str | None:
        folder, _, file = index.rpartition("/")
        name = file.removesuffix(".bundle.json")
        if self._volume(folder) is None or name not in self.cluster.media:
            return "media"
        return self._stored(name) if self._files(keys) else "a trusted key"

    def _made(self, name: str, made: str) -> str | None:
        if not self._has(name):
            return "the model"
        return None if self._has(made) else self._stored(made)

    def _stored(self, name: str) -> str | None:
        volume = self._volume("/var/lib/intramural")
        if volume is None or volume["persistentVolumeClaim"].get("readOnly"):
            return "a store that it may write"
        self.cluster.store.add(name)
        return None

    def _may_leave(self) -> bool:
        return any(
            selects(each["spec"]["podSelector"], self.pod.labels) and each["spec"].get("egress")
            for (kind, _), each in self.cluster.objects.items()
            if kind == "NetworkPolicy"
        )

    def _has_file(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self._files(folder)

    def _files(self, folder: str) -> set[str]:
        _, name = _object_of(self._volume(folder) or {})
        return self.cluster.data.get(name, set())

    def _volume(self, folder: str) -> Manifest | None:
        """The volume that is mounted there, if the manifests have its object."""
        names = {each["mountPath"]: each["name"] for each in self.container["volumeMounts"]}
        volumes = {each["name"]: each for each in self.pod.spec["volumes"]}
        return volumes.get(names.get(folder, ""))


def _object_of(volume: Manifest) -> tuple[str, str]:
    """Kind and name of what a volume shows; empty for one that shows no object."""
    if "secret" in volume:
        return "Secret", volume["secret"]["secretName"]
    if "configMap" in volume:
        return "ConfigMap", volume["configMap"]["name"]
    return "", ""


def _wanted(values: dict[str, str]) -> str:
    """The name in the store of what a server with these settings serves."""
    name, scheme = values["INTRAMURAL_MODEL"], values["INTRAMURAL_QUANT"]
    return name if scheme == "none" else f"{name}--{scheme}"


def loops(states: dict[str, State]) -> Iterator[str]:
    """The workloads that start again and again."""
    for owner, state in states.items():
        if state.name == LOOP:
            yield owner
