"""Three replicas behind nginx where there is no network but loopback, from a bundle on a medium.

    unshare --user --map-root-user --net python -m tests.e2e.replicas_alone FOLDER ENGINE

FOLDER has the medium as ``usb``. Client and servers have to be in the same network namespace, so
this is a program and not a test. The last line of stdout is a JSON object.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.e2e.alone import bring_loopback_up
from tests.e2e.replicas import Load, proxy, replicas

NUM_REQUESTS = 30


def main(folder: Path, engine: str) -> None:
    bring_loopback_up()
    models = [sys.executable, "-m", "models"]
    there = ["--data-dir", str(folder / "there")]
    subprocess.run([*models, "import", folder / "usb", *there], check=True, capture_output=True)
    served = ["--model", "acme--demo", "--served-model-name", "demo", "--offline", *there]
    with replicas(folder / "replicas", [*served, "--engine", engine]) as fleet:
        ports = [replica.port for replica in fleet.values()]
        with proxy(folder / "nginx", ports) as nginx, Load(nginx.url, num_callers=4) as load:
            load.wait_for_more(NUM_REQUESTS)
        codes = [replica.drain() for replica in fleet.values()]
    told = {
        **load.counts(),
        "arms": sorted({outcome.arm for outcome in load.outcomes}),
        "codes": codes,
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "elsewhere": ask_elsewhere(),
    }
    print(json.dumps(told))


def ask_elsewhere() -> str:
    """Why no connection to TEST-NET-1 (RFC 5737) can be made, or that one can."""
    with socket.socket() as client:
        client.settimeout(5)
        error = client.connect_ex(("192.0.2.1", 80))
    return os.strerror(error) if error else "connected"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
