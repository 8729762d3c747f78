"""`python -m serve chat`: a terminal chat with any OpenAI-compatible server. docs/chat.md."""

from serve.cli.chat.command import run_chat

__all__ = ["run_chat"]
