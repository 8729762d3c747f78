"""Feedback from the settings: kept where there is a ledger of the answers that it is on."""

from __future__ import annotations

from serve.composition.stores import Stores
from serve.config import Config
from serve.governance.feedback.book import FeedbackBook, OnFeedback
from serve.governance.sealing import SealingKey, read_sealing_key


def build_feedback(
    config: Config, stores: Stores, on_feedback: OnFeedback | None = None
) -> FeedbackBook | None:
    """The book of feedback; None where no ledger is kept.

    Raises:
        StartupError: the key file cannot be used.
    """
    key = feedback_key(config)
    if stores.database is None:
        return None
    return FeedbackBook(stores.database, key, on_feedback)


def feedback_key(config: Config) -> SealingKey | None:
    """The key of texts; None without one. Raises StartupError where its file cannot be used."""
    path = config.feedback_key_file
    return None if path is None else read_sealing_key(path, "--feedback-key-file")
