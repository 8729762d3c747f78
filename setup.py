"""The one step of the build that pyproject.toml cannot say: the commit goes into the wheel.

It is the checkout's, or what SOURCE_COMMIT says where the sources were copied without one, as for
an image. Where neither is known the wheel has none, and /version says null.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from serve import commit  # noqa: E402


class BuildWithCommit(build_py):
    """Writes serve/commit.txt beside the modules that are built."""

    def run(self) -> None:
        """Build, then write the commit."""
        super().run()
        known = os.environ.get("SOURCE_COMMIT", "") or commit.of_checkout(ROOT)
        if known is not None and commit.is_commit(known) and not self.editable_mode:
            (Path(self.build_lib) / "serve" / commit.BAKED).write_text(f"{known}\n", "utf-8")


setup(cmdclass={"build_py": BuildWithCommit})
