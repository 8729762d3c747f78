"""`python -m docs.cluster_settings [--check]`: k8s/base/server/settings.env from serve/config.py.

Every setting of the server stands there: those that a cluster needs with their value, the others as
comments with their default. Kustomize makes a ConfigMap of it. ``--check`` writes nothing and exits
with 1 when the file is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from serve.cli.flags import GROUPS, default_text
from serve.config import Config
from serve.config_sources import load_config
from serve.setting_names import env_of

FILE = Path(__file__).parent.parent / "k8s" / "base" / "server" / "settings.env"

CLUSTER = {
    "model": "demo",
    "quant": "int8",
    "offline": "true",
    "host": "0.0.0.0",  # noqa: S104 - of a pod; the network policies say who reaches it
    "api_key_file": "/etc/intramural/keys/keys.json",
    "behind_proxy": "true",  # the gateway's or the ingress'; components/tls sets it to false
    "shutdown_timeout": "120",
    "data_dir": "/var/lib/intramural",
    "state_dir": "/tmp/state",  # noqa: S108 - a volume of the pod's own
}
"""What differs from a workstation's defaults. Overlays change what differs from this."""

_HEAD = """\
# Made by `python -m docs.cluster_settings` from serve/config.py. Change that, not this;
# an overlay changes values with a configMapGenerator of its own (behavior: merge).
"""


def text() -> str:
    """The file. Raises StartupError where the server would not accept it."""
    load_config({}, env={env_of(name): value for name, value in CLUSTER.items()})
    lines = [_HEAD]
    for name, field in Config.model_fields.items():
        if name in GROUPS:
            lines.append(f"\n# == {GROUPS[name].capitalize()}\n")
        lines.append(f"# {field.description}")
        if name in CLUSTER:
            lines.append(f"{env_of(name)}={CLUSTER[name]}")
        else:
            default = default_text(name, field).removeprefix("default: ")
            lines.append(f"# {env_of(name)}={default}")
    return "\n".join(lines) + "\n"


def is_stale(file: Path) -> bool:
    """Whether the file differs from what the code says, or is missing."""
    return not file.is_file() or file.read_text("utf-8") != text()


def main(argv: Sequence[str], file: Path = FILE) -> int:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(prog="python -m docs.cluster_settings", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    options = parser.parse_args(argv)
    if not is_stale(file):
        return 0
    if options.check:
        print(f"{file.name} is stale: run `python -m docs.cluster_settings`", file=sys.stderr)
        return 1
    file.write_text(text(), "utf-8")
    print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
