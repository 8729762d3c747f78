"""Feedback from settings: kept where there is a ledger, with texts where there is a key."""

from __future__ import annotations

import pytest

from serve.composition.feedback import build_feedback, feedback_key
from serve.composition.stores import Stores
from serve.config import Config
from serve.errors import StartupError


def test_without_a_ledger_there_is_none() -> None:
    assert build_feedback(Config(), Stores()) is None
    assert feedback_key(Config()) is None


def test_the_key_is_read_at_the_start(tmp_path) -> None:
    path = tmp_path / "key"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    config = Config(usage_ledger=True, feedback_key_file=path)
    book = build_feedback(config, Stores(database=object()))  # type: ignore[arg-type]
    assert book is not None
    assert book._key == feedback_key(config)
    path.chmod(0o644)
    with pytest.raises(StartupError, match="--feedback-key-file"):
        build_feedback(config, Stores())
