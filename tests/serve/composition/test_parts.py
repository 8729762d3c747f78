"""A server's parts: what is imported where nothing asks for it."""

from __future__ import annotations

import subprocess
import sys

LIBRARIES = (
    *("sqlalchemy", "alembic", "psycopg", "redis", "jwt", "smtplib", "re2", "ahocorasick"),
    *(f"serve.governance.audit.{part}" for part in ("content", "log", "records", "tlog")),
)


def test_a_server_without_a_database_imports_none_of_its_libraries() -> None:
    program = (
        "import asyncio, sys\n"
        "from contextlib import AsyncExitStack\n"
        "import serve.bootstrap\n"
        "from serve.composition.parts import open_parts\n"
        "from serve.composition.stores import open_stores\n"
        "from serve.config import Config\n"
        "from serve.observe.metrics import Metrics\n"
        "async def opened():\n"
        "    config, metrics = Config(), Metrics()\n"
        "    async with AsyncExitStack() as stack, open_stores(config, metrics) as stores:\n"
        "        await open_parts(config, stores, metrics, stack)\n"
        "asyncio.run(opened())\n"
        f"sys.exit(str(found) if (found := {{*{LIBRARIES!r}}} & set(sys.modules)) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
