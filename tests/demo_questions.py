"""Questions of the demo model's evaluation, as token ids."""

from __future__ import annotations

import json
from pathlib import Path

from models.store import DEMO_WEIGHTS
from serve.pipeline.events import ChatPrompt
from serve.pipeline.render import Renderer

QUESTIONS = Path(DEMO_WEIGHTS).parent / "eval.jsonl"


async def prompts(count: int) -> list[list[int]]:
    """So many of the held-out questions, evenly spaced: all kinds of them."""
    lines = QUESTIONS.read_text("utf-8").splitlines()
    renderer = Renderer.load(DEMO_WEIGHTS)
    chosen = [json.loads(line)["messages"] for line in lines[:: len(lines) // count]]
    return [
        await renderer.render(ChatPrompt(messages=tuple(messages))) for messages in chosen[:count]
    ]
