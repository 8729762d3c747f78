"""`python -m docs.monitoring_files [--check]`: two files of k8s/components/monitoring.

prometheusrule.yaml is rules.yaml, which plain Prometheus reads, as the resource of its operator;
dashboard.json is made of docs/dashboard.py. ``--check`` writes nothing and exits with 1 when one is
stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from docs import dashboard_json

FOLDER = Path(__file__).parent.parent / "k8s" / "components" / "monitoring"
RULES = "rules.yaml"

_HEAD = f"""\
# Made by `python -m docs.monitoring_files` from {RULES}. Change that, not this.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: intramural
  namespace: intramural
spec:
"""


def prometheus_rule() -> str:
    """The groups of the rule file under ``spec``: they mean the same to operator and Prometheus."""
    rules = (FOLDER / RULES).read_text("utf-8")
    lines = rules[rules.index("\ngroups:") + 1 :].splitlines()
    return _HEAD + "\n".join(f"  {line}".rstrip() for line in lines) + "\n"


FILES: dict[str, Callable[[], str]] = {
    "prometheusrule.yaml": prometheus_rule,
    "dashboard.json": dashboard_json.text,
}


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of the files in the folder that differ from their source, or are missing."""
    return [
        name
        for name, made in FILES.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != made()
    ]


def main(argv: Sequence[str], folder: Path = FOLDER) -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(prog="python -m docs.monitoring_files", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    stale_files = stale(folder)
    if parser.parse_args(argv).check:
        for name in stale_files:
            print(f"{name} is stale: run `python -m docs.monitoring_files`", file=sys.stderr)
        return 1 if stale_files else 0
    for name in stale_files:
        (folder / name).write_text(FILES[name](), "utf-8")
        print(f"wrote {folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
