"""`python -m benchmarks.overload SCENARIO`: a server of its own under more than it can do.

Without --model it is the fake engine at a set pace, which costs no processor: what is measured is
the queue. The last line of stdout is the report as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.child import Child, StartError, free_port, wait_ready
from benchmarks.overload import scenarios
from benchmarks.overload.asking import Question
from serve.governance.identity import keys

SCENARIOS = ("peak", "flood", "overload")
START_S = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--model", default=None, help="a model folder (default: the fake engine)")
    parser.add_argument("--max-num-seqs", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--queue", type=int, default=32, help="its bound (default: %(default)s)")
    parser.add_argument("--pace", type=float, default=50.0, help="tokens/s of a fake stream")
    parser.add_argument("--max-tokens", type=int, default=32, help="of an answer")
    parser.add_argument("--tenants", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--times", type=float, default=10.0, help="the share, or the capacity")
    parser.add_argument("--load", type=float, default=0.9, help="of the capacity, all at shares")
    parser.add_argument("--seconds", type=float, default=60.0, help="(default: %(default)s)")
    parser.add_argument("--capacity", type=float, default=None, help="(default: it is measured)")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(_measure(options))))


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        tokens = [keys.create(file, name=f"tenant-{i}") for i in range(options.tenants)]
        server, url = await _started(options, Path(folder), file)
        try:
            questions = [Question(url=url, key=k, max_tokens=options.max_tokens) for k in tokens]
            figures = await _run(options, questions)
        finally:
            await server.close()
    return {"scenario": options.scenario, "settings": vars(options), "figures": figures}


async def _run(options: argparse.Namespace, questions: list[Question]) -> dict[str, Any]:
    capacity = options.capacity
    if capacity is None:
        streams = 2 * options.max_num_seqs
        capacity = await scenarios.peak(questions[-1], streams, min(20.0, options.seconds))
        print(f"capacity: {capacity:.2f} answers/s", flush=True)
        await asyncio.sleep(2)
    if options.scenario == "flood":
        rate = options.load * capacity
        return await scenarios.flood(questions, rate, options.seconds, options.times)
    if options.scenario == "overload":
        return await scenarios.overload(
            questions[0], capacity, options.seconds, options.times, options.queue
        )
    return {"answers_per_s": capacity}


async def _started(options: argparse.Namespace, folder: Path, file: Path) -> tuple[Child, str]:
    port = free_port()
    arguments = ["--model", options.model or "demo", "--served-model-name", "measured"]
    if options.model is None:
        arguments += ["--engine", "fake", "--fake-tokens-per-s", str(options.pace)]
    arguments += [
        *("--max-num-seqs", str(options.max_num_seqs)),
        *("--max-num-queued-reqs", str(options.queue)),
        *("--api-key-file", str(file), "--port", str(port)),
    ]
    server = Child([sys.executable, "-m", "serve", *arguments], folder / "server.log")
    url = f"http://127.0.0.1:{port}"
    try:
        await wait_ready(server, f"{url}/readyz", timeout_s=START_S)
    except StartError as error:
        await server.close()
        raise SystemExit(f"the server {error}") from None
    return server, url


if __name__ == "__main__":
    main()
